//! What the command line says of itself.

use clap::CommandFactory;
use hallpass::cli::Cli;

use crate::workspace::{Workspace, outcome_of};

/// Every command with the words that call it, `hallpass` itself left out.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    fn below(words: &[String], command: &clap::Command, all: &mut Vec<(Vec<String>, clap::Command)>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let words = [words, &[command.get_name().to_owned()]].concat();
            below(&words, command, all);
            all.push((words, command.clone()));
        }
    }
    let mut cli = Cli::command();
    cli.build();
    let mut all = Vec::new();
    below(&[], &cli, &mut all);
    all
}

#[test]
fn the_help_of_every_command_names_its_options_and_says_what_it_does() {
    let workspace = Workspace::new();
    for (words, command) in commands() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = workspace.ok(&arguments);
        assert!(help.starts_with(&command.get_about().unwrap().to_string()), "{words:?}: {help}");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(help.contains(&format!("--{option}")), "{words:?} {option}: {help}");
        }
    }
}

#[test]
fn the_help_shows_the_first_steps() {
    let help = Workspace::new().ok(&["--help"]);
    for step in
        ["hallpass api-key create --name my-backend", "hallpass serve", "/v1/client-side-access-tokens"]
    {
        assert!(help.contains(step), "{help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(Workspace::new().ok(&["--version"]), format!("hallpass {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let refusal = Workspace::new().refusal(2, &["tokens", "list"]);
    assert!(refusal.contains("unrecognized subcommand 'tokens'") && refusal.contains("'token'"), "{refusal}");
}

#[test]
fn commands_that_need_a_database_say_where_one_comes_from() {
    let workspace = Workspace::new();
    for command in [
        &["api-key", "list"][..],
        &["api-key", "revoke", "key_0000000000"],
        &["project", "list"],
        &["project", "agents", "default", "--any"],
        &["signing-key", "list"],
        &["signing-key", "rotate"],
        &["token", "list"],
        &["token", "verify", "abc"],
        &["token", "revoke", "--all"],
    ] {
        let refusal = workspace.refusal(1, command);
        assert!(refusal.contains("there is no database at `hallpass.db` yet"), "{refusal}");
        assert!(refusal.contains("`hallpass api-key create`"), "{refusal}");
    }
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn the_openapi_document_is_printed_as_json() {
    let document = Workspace::new().json(&["openapi"]);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    assert_eq!(document, serde_json::to_value(hallpass::api::openapi_document()).unwrap());
}

#[test]
fn bash_takes_its_completions() {
    let workspace = Workspace::new();
    let script = workspace.ok(&["completions", "bash"]);
    workspace.write("completions", &script);
    let mut bash = workspace.program("bash");
    bash.args(["-n", "completions"]);
    assert_eq!(outcome_of(bash, "").expect_code(0).stderr, "");
    // Bash offers what the script says: the words below `hallpass token`.
    let mut bash = workspace.program("bash");
    let ask = "source completions; COMP_WORDS=(hallpass token ''); COMP_CWORD=2; _hallpass hallpass '' token; echo ${COMPREPLY[@]}";
    bash.args(["-c", ask]);
    let offered = outcome_of(bash, "").expect_ok();
    for word in ["create", "inspect", "verify", "list", "revoke"] {
        assert!(offered.split_whitespace().any(|offered| offered == word), "{offered}");
    }
}

#[test]
fn every_shells_completions_name_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = Workspace::new().ok(&["completions", shell]);
        assert!(script.contains("signing-key") && script.contains("healthcheck"), "{shell}");
    }
}
