//! The documentation says what is so: commands and samples are run as they are written, tables and
//! snapshots equal what the code says.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test docs` writes the generated files anew. The samples for SDKs
//! need those installed by `tests/e2e/run`; after it, `cargo test --test docs -- --ignored` runs them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use hallpass::access::Table;
use hallpass::api::Kind;
use hallpass::cli::Cli;
use hallpass::config::Config;
use hallpass::gateway::Proxy;
use serde_json::Value;

use crate::upstream::Upstream;
use crate::workspace::{HALLPASS, Outcome, Server, Workspace, outcome_of};

#[path = "cli/workspace.rs"]
#[expect(dead_code, reason = "shared with the tests of the command line")]
mod workspace;

#[path = "docs/upstream.rs"]
mod upstream;

const DEFAULT_URL: &str = "http://127.0.0.1:8284";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All pages, by path from the root.
fn pages() -> BTreeMap<String, String> {
    let below_docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let below_docs = below_docs.map(|name| format!("docs/{}", name.to_str().unwrap()));
    let at_root = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    let paths = below_docs.chain(at_root).filter(|path| path.ends_with(".md"));
    paths.map(|path| (path.clone(), read(&path))).collect()
}

/// The fenced blocks of a page in this language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(named), None) => open = Some((named == language, String::new())),
            (Some(_), Some(_)) => {
                let (wanted, text) = open.take().unwrap();
                blocks.extend(wanted.then_some(text));
            }
            (None, Some((_, text))) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block isn't closed");
    blocks
}

/// The only block of a page in this language.
fn block(page: &str, language: &str) -> String {
    let [block] = blocks(page, language).try_into().unwrap();
    block
}

/// Whether a text is as it is shown, `…` standing for anything within a line. White space counts as
/// one space, since the width of a table's columns depends on what is in it.
fn is_as_shown(text: &str, shown: &str) -> bool {
    let simple = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = |line: &str, shown: &str| {
        let mut parts = shown.split('…');
        let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let parts: Vec<_> = parts.collect();
        let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
        for part in between {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    };
    text.lines().count() == shown.lines().count()
        && text.lines().zip(shown.lines()).all(|(line, shown)| fits(&simple(line), &simple(shown)))
}

/// Compares a generated file with what it must be, or writes it.
fn assert_snapshot(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(root().join(path), wanted).unwrap();
    }
    assert!(
        read(path) == wanted,
        "{path} is out of date: UPDATE_SNAPSHOTS=1 cargo test --test docs writes it"
    );
}

#[test]
fn what_is_shown_may_leave_out_what_differs_and_nothing_else() {
    for (text, shown, fits) in [
        ("key_1  web", "key_… web", true),
        ("a 2026Z b", "a …Z b", true),
        ("a 2026Z b", "a …Z c", false),
        ("a b", "a", false),
        ("a", "a\nb", false),
        ("x a", "a", false),
    ] {
        assert_eq!(is_as_shown(text, shown), fits, "{text} / {shown}");
    }
}

#[test]
fn the_page_of_errors_lists_every_kind() {
    let mut page = "# Errors\n\n\
        Every error is a problem detail ([api.md](api.md#errors)). Its `type` is `<public URL>/errors/<name>`, which is stable and\n\
        is also a page of the server. `detail` and `message` say what was wrong this time.\n\n\
        | name | status | title | what it means, and what to do |\n|---|---|---|---|\n"
        .to_owned();
    for kind in Kind::ALL {
        let (name, status) = (kind.name(), kind.status().as_u16());
        page.push_str(&format!("| `{name}` | {status} | {} | {} |\n", kind.title(), kind.explanation()));
    }
    assert_snapshot("docs/errors.md", &page);
}

const PERMISSIONS: &str = "\
# What client tokens may do

All that a client token may ask a Letta server for, through the [gateway](gateway.md) or with [forward-auth](forward-auth.md).
**What isn't listed is denied.** `hallpass routes` prints the table in force; `[[gateway.routes]]`
[adds rows and takes them away](configuration.md#the-permission-table).

- A row's access must be granted for the agent that the request concerns, by any of the token's grants: `{agent}` in the path or
  the query, or the agent whose conversation or run it is. `any` asks for nothing but a valid token.
- Ids are Letta's own: `agent-`, `conv-` or `run-`, and a UUID of version 4 in lower case. The aliases that the server takes there
  (`default`, an agent's id in place of a conversation's) are refused, since they select by something else.
- A slash at the end of a path may be there or not. Query keys that a row names are passed, each once, or as often as it comes with a
  star; the gateway drops all others.
- Forward-auth can only say yes or no: it refuses rows with something in the last column, and query keys that the row doesn't name,
  unless `forward_auth.allow_unchecked` is set.

| method and path | access | query keys | the gateway also |
|---|---|---|---|
";

/// What lies near and is denied all the same.
const DENIED: &str = "
## Near, and denied on purpose

| | because |
|---|---|
| making, deleting, exporting and importing agents; tools, sources, files, archives and blocks: attaching, detaching, running | a backend's business; running a tool is running code |
| `generate`, `capture`, `preview-raw-payload`, `reset-messages`, `summarize`, `recompile` | they go round the rules for messages, or change what the agent remembers of them |
| deleting passages | the server deletes those of any agent |
| `/v1/messages/{message}` | it shows any agent's message |
| lists and searches that name no agent | they show the whole server |
| `/latest/…` | the same as `/v1/…` once more |
| `/v1/client-side-access-tokens` | a client token makes, lists and deletes no tokens |
";

#[test]
fn the_page_of_permissions_lists_every_row() {
    let table = Table::new(&Config::default().gateway.access()).unwrap();
    let mut page = PERMISSIONS.to_owned();
    for row in table.rows() {
        let (method, path, access) = (row.method.as_str(), &row.template, row.needs.as_str());
        let query: Vec<_> = row.query.iter().map(|key| format!("`{key}`")).collect();
        page.push_str(&format!("| `{method} {path}` | `{access}` | {} | {} |\n", query.join(", "), row.also));
    }
    page.push_str(DENIED);
    assert_snapshot("docs/permissions.md", &page);
}

#[test]
fn the_openapi_snapshot_is_what_the_server_says() {
    let document = hallpass::api::openapi_document().to_pretty_json().unwrap();
    assert_snapshot("docs/openapi.json", &format!("{document}\n"));
}

/// A configuration that leaves nothing unset.
fn everything_set() -> toml::Table {
    let mut config = Config::default();
    config.database.direct_url = Some("postgres://db/x".parse().unwrap());
    config.gateway.upstream = Some("http://127.0.0.1:8283".parse().unwrap());
    config.gateway.upstream_ca = Some("ca.pem".into());
    config.forward_auth.proxy = Some(Proxy::Nginx);
    let mut everything = toml::Table::try_from(config).unwrap();
    // A secret is never written.
    everything["gateway"].as_table_mut().unwrap().insert("upstream_token".to_owned(), "x".into());
    everything
}

/// Each setting as `section.key`, with its value.
fn settings_of(table: &toml::Table) -> BTreeMap<String, &toml::Value> {
    let sections = table.iter().map(|(section, keys)| (section, keys.as_table().unwrap()));
    sections
        .flat_map(|(section, keys)| keys.iter().map(move |(key, value)| (format!("{section}.{key}"), value)))
        .collect()
}

#[test]
fn the_page_of_settings_lists_every_key_with_its_default() {
    let (everything, example) = (everything_set(), read("config.example.toml").parse().unwrap());
    let defaults = settings_of(&example);
    let shown = |default: &toml::Value| {
        let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        format!("`{text}`")
    };
    let settings = settings_of(&everything).into_keys().map(|key| {
        let default = defaults.get(&key).map_or("not set".to_owned(), |default| shown(default));
        (key, default)
    });
    let page = read("docs/configuration.md");
    let table = page.split("| key | default | meaning |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|line| {
        let (key, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (default, _) = rest.split_once(" | ")?;
        Some((key.to_owned(), default.to_owned()))
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), settings.collect());
}

#[test]
fn the_example_names_what_is_not_set() {
    let (everything, example) = (everything_set(), read("config.example.toml"));
    let defaults = example.parse().unwrap();
    let mut unset = settings_of(&everything);
    unset.retain(|key, _| !settings_of(&defaults).contains_key(key));
    assert!(unset.len() > 4, "{unset:?}");
    for key in unset.keys() {
        let name = key.split_once('.').unwrap().1;
        assert!(example.contains(&format!("\n# {name} = \"")), "{key}");
    }
}

#[test]
fn variables_that_pages_name_are_settings() {
    let variable = |key: &str| format!("HALLPASS_{}", key.replace('.', "__").to_uppercase());
    let mut known: BTreeSet<_> = settings_of(&everything_set()).keys().map(|key| variable(key)).collect();
    let from_files = ["database.url_file", "database.direct_url_file", "gateway.upstream_token_file"];
    known.extend(from_files.map(variable));
    for (path, page) in pages() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (start, _) in page.match_indices("HALLPASS_") {
            let name = page[start..].split(|c| !is_name(c)).next().unwrap();
            assert!(!name.contains("__") || known.contains(name), "{path}: {name}");
        }
    }
}

/// The metrics that a server has, in its order: name, type, labels, meaning. Of a histogram's labels, not
/// the limit of a bucket.
fn metrics_of(exposed: &str) -> Vec<[String; 4]> {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for line in exposed.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, meaning) = help.split_once(' ').unwrap();
            rows.push([format!("`{name}`"), String::new(), String::new(), meaning.to_owned()]);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            rows.last_mut().unwrap()[1] = kind.split_once(' ').unwrap().1.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split("\",").map(|label| label.split_once('=').unwrap().0);
            let names: Vec<_> = names.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect();
            rows.last_mut().unwrap()[2] = names.join(", ");
        }
    }
    rows
}

#[test]
fn the_page_of_operations_lists_every_metric() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    assert_eq!(server.request("GET", "/healthz", "", "").0, 200);
    // A denial, since reasons are shown once there are any.
    assert_eq!(server.request("GET", "/forward-auth", "", "").0, 403);
    let (_, exposed) = server.admin_request("GET", "/metrics", &[]);
    let page = read("docs/operations.md");
    let (_, table) = page.split_once("| metric | type | labels | meaning |\n|---|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 4]>::try_from(cells[1..cells.len() - 1].to_vec()).unwrap()
    });
    let wanted = metrics_of(&exposed);
    let as_table: String = wanted.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    assert_eq!(rows.collect::<Vec<_>>(), wanted, "docs/operations.md must have this table:\n{as_table}");
}

/// The rows of a page's tables whose header begins so, by their first cell.
fn first_cells(page: &str, header: &str) -> Vec<String> {
    let tables = page.split(header).skip(1).map(|rest| rest.lines().skip(2));
    let rows = tables.flat_map(|lines| lines.take_while(|line| line.starts_with('|')));
    rows.map(|row| row.split('|').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_page_of_the_gateway_lists_every_reason() {
    let cells = first_cells(&read("docs/gateway.md"), "| reason |").concat();
    let listed: BTreeSet<_> = cells.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(listed.len() > 30, "{listed:?}");
    // In the sources, whatever is written as reasons are is one, but for what tests say.
    let gateway = fs::read_dir(root().join("src/gateway")).unwrap().map(|entry| entry.unwrap().path());
    let files = gateway.filter(|path| path.is_file()).chain([root().join("src/access/denial.rs")]);
    let mut sources: String = files
        .map(|path| fs::read_to_string(path).unwrap())
        .fold(read("src/gateway.rs"), |all, text| all + text.split("#[cfg(test)]").next().unwrap());
    let is_reason = |text: &&str| {
        text.contains('_')
            && text.split('_').all(|word| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase()))
    };
    let written: BTreeSet<_> =
        sources.split('"').skip(1).step_by(2).filter(is_reason).map(str::to_owned).collect();
    assert!(written.len() > 15, "{written:?}");
    let missing: Vec<_> = written.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/gateway.md doesn't explain {missing:?}");
    sources.push_str(&read("src/web/kind.rs"));
    let unknown: Vec<_> =
        listed.iter().filter(|reason| !sources.contains(&format!("\"{reason}\""))).collect();
    assert!(unknown.is_empty(), "docs/gateway.md explains what there isn't: {unknown:?}");
}

#[test]
fn the_gateways_settings_are_right_as_they_are_shown() {
    let blocks = blocks(&read("docs/gateway.md"), "toml");
    assert_eq!(blocks.len(), 2);
    let workspace = Workspace::new();
    workspace.write("secret", "s3cret");
    for block in blocks {
        workspace.write("hallpass.toml", &block.replace("/run/secrets/letta-password", "secret"));
        workspace.ok(&["config", "check"]);
    }
}

/// What a link to one of a page's headings says after its `#`.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings =
        page.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#'));
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor = |heading: &str| heading.trim().to_lowercase().replace(|c| !kept(c), "").replace(' ', "-");
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_points_at_a_file_and_a_heading_of_it() {
    for (path, page) in pages() {
        let folder = Path::new(&path).parent().unwrap();
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let target =
                if target.is_empty() { root().join(&path) } else { root().join(folder).join(target) };
            assert!(target.exists(), "{path}: {link}");
            let known = anchor.is_empty() || anchors(&fs::read_to_string(target).unwrap()).contains(anchor);
            assert!(known, "{path}: {link}");
        }
    }
}

mod commands {
    use super::*;

    /// The page's sections, by the words after `## hallpass`.
    fn sections(page: &str) -> BTreeMap<String, String> {
        let sections = page.split("\n## hallpass ").skip(1).map(|section| section.split_once('\n').unwrap());
        sections.map(|(heading, text)| (heading.to_owned(), text.to_owned())).collect()
    }

    /// Every command that does something, by its words.
    fn leaves(words: &str, command: &clap::Command, all: &mut BTreeMap<String, clap::Command>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let words = format!("{words} {}", command.get_name()).trim_start().to_owned();
            match command.has_subcommands() {
                true => leaves(&words, command, all),
                false => drop(all.insert(words, command.clone())),
            }
        }
    }

    #[test]
    fn each_has_a_section_that_names_its_options_and_no_others() {
        let mut cli = Cli::command();
        cli.build();
        let mut commands = BTreeMap::new();
        leaves("", &cli, &mut commands);
        let sections = sections(&read("docs/cli.md"));
        assert!(sections.keys().eq(commands.keys()), "{:?} / {:?}", sections.keys(), commands.keys());
        for (words, command) in commands {
            let global = ["config", "help"];
            let options = command.get_arguments().filter_map(clap::Arg::get_long);
            let options: BTreeSet<_> = options.filter(|option| !global.contains(option)).collect();
            // What examples show counts too, but for other commands in a pipe.
            let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
            let prose = sections[&words].split("```").step_by(2).collect::<String>();
            let named = prose.split("`--").skip(1).map(|rest| rest.split(|c| !is_name(c)).next().unwrap());
            assert_eq!(named.collect::<BTreeSet<_>>(), options, "{words}");
        }
    }

    #[test]
    fn those_that_pages_name_exist() {
        use clap::error::ErrorKind;

        let mut count = 0;
        for (path, page) in pages() {
            for command in page.split("`hallpass ").skip(1).map(|rest| rest.split('`').next().unwrap()) {
                let words = command.split_whitespace().filter(|word| *word != "…");
                let parsed = Cli::try_parse_from(std::iter::once("hallpass").chain(words));
                // A command may be named without its arguments, and a group of commands by itself.
                let exists = parsed.err().is_none_or(|error| {
                    matches!(
                        error.kind(),
                        ErrorKind::MissingRequiredArgument
                            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                            | ErrorKind::DisplayVersion
                    )
                });
                assert!(exists, "{path}: hallpass {command}");
                count += 1;
            }
        }
        assert!(count > 20, "the pages were not read: {count} commands");
    }

    #[test]
    fn the_examples_print_what_is_shown() {
        let workspace = Workspace::new();
        let examples = blocks(&read("docs/cli.md"), "console").concat();
        for example in examples.strip_prefix("$ ").unwrap().split("\n$ ") {
            let (command, shown) = example.split_once('\n').unwrap();
            let mut bash = workspace.program("bash");
            let path = Path::new(HALLPASS).parent().unwrap().to_str().unwrap();
            let path = format!("{path}:{}", std::env::var("PATH").unwrap());
            bash.env("PATH", path).args(["-c", &format!("{{ {command}; }} 2>&1")]);
            let printed = outcome_of(bash, "").stdout;
            assert!(is_as_shown(&printed, shown), "$ {command}\n{printed}\nand not\n{shown}");
        }
    }
}

/// Runs a block of the README in bash, where `cargo run` is the binary under test.
fn run_as_written(workspace: &Workspace, script: &str, variables: &[(&str, &str)]) -> Outcome {
    const CARGO: &str = r#"
        cargo() {
            [[ $1 == run && $2 == --release ]] && shift 2 || return 90
            [[ $1 == --quiet ]] && shift
            [[ $1 == -- ]] && shift || return 91
            "$UNDER_TEST" "$@"
        }
    "#;
    let mut bash = workspace.program("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{CARGO}\n{script}")]).env("UNDER_TEST", HALLPASS);
    bash.envs(variables.iter().copied());
    outcome_of(bash, "")
}

fn url_of(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// A server, and an API key made as the README says.
fn begin_as_written(workspace: &Workspace) -> (Server, String) {
    let page = read("README.md");
    let [dev, serve, _docker, variables, ..] = <[String; 7]>::try_from(blocks(&page, "sh")).unwrap();
    assert_eq!(dev, "cargo run --release -- dev\n");
    assert_eq!(serve, "cargo run --release -- serve\n");
    let server = workspace.serve(&[]);

    let script = format!("{variables}\necho \"$LETTA_API_KEY $LETTA_BASE_URL\"");
    let set = run_as_written(workspace, &script, &[]).expect_ok();
    let (key, url) = set.trim_end().split_once(' ').unwrap();
    assert_eq!(url, format!("http://{}", Config::default().server.listen));
    assert_eq!(url, DEFAULT_URL);
    server.wait_for(key);
    (server, key.to_owned())
}

#[test]
fn the_readmes_commands_lead_to_a_token() {
    let workspace = Workspace::new();
    let page = read("README.md");
    let (server, key) = begin_as_written(&workspace);
    let curl = &blocks(&page, "sh")[4];
    let variables = [("LETTA_API_KEY", key.as_str()), ("LETTA_BASE_URL", &url_of(&server))];
    let answer = run_as_written(&workspace, curl, &variables).expect_ok();
    let packed = |text: &str| text.split_whitespace().collect::<String>();
    assert!(is_as_shown(&packed(&answer), &packed(&block(&page, "json"))), "{answer}");

    let answer: Value = serde_json::from_str(&answer).unwrap();
    workspace.run(&["token", "verify", answer["token"].as_str().unwrap()]).expect_code(0);
}

/// An agent as Letta names it.
const AGENT: &str = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";

/// The server with the gateway before a stand-in, set up as the README says.
fn gateway_as_written(workspace: &Workspace, upstream: &Upstream) -> Server {
    let settings = &blocks(&read("README.md"), "sh")[5];
    let settings = settings.strip_suffix("cargo run --release -- serve\n").unwrap();
    let script = format!("{settings}\nenv | grep ^HALLPASS_");
    let set = run_as_written(workspace, &script, &[("LETTA_SERVER_PASSWORD", "s3cret")]).expect_ok();
    let mut variables: Vec<_> = set.lines().map(|line| line.split_once('=').unwrap()).collect();
    let url = variables.iter_mut().find(|(name, _)| *name == "HALLPASS_GATEWAY__UPSTREAM").unwrap();
    assert_eq!(url.1, "http://127.0.0.1:8283");
    url.1 = &upstream.url;
    workspace.serve(&variables)
}

#[test]
fn the_readmes_commands_lead_to_an_answer_of_the_agent() {
    let (workspace, upstream) = (Workspace::new(), Upstream::start());
    let server = gateway_as_written(&workspace, &upstream);
    let curl = &blocks(&read("README.md"), "sh")[6];
    let variables = [("AGENT", AGENT), ("LETTA_BASE_URL", &url_of(&server))];
    let answer = run_as_written(&workspace, curl, &variables).expect_ok();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["messages"][0]["content"], "Hi!");
    let seen = upstream.seen();
    let [request] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(request.path, format!("/v1/agents/{AGENT}/messages"));
    assert_eq!(request.authorization, "Bearer s3cret");
    assert_eq!(request.body["messages"][0]["content"], "Hello!");
}

#[test]
fn the_readmes_container_commands_agree_with_the_dockerfile() {
    let dockerfile = read("Dockerfile");
    let has = |line: &str| assert!(dockerfile.lines().any(|found| found == line), "{line}");
    has("EXPOSE 8284");
    has("VOLUME /data");
    has("ENTRYPOINT [\"/hallpass\"]");
    let page = read("README.md");
    let lines: Vec<_> = blocks(&page, "sh")[2].lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "docker build -t hallpass .");
    assert!(lines[1].starts_with("docker run ") && lines[1].ends_with(" hallpass"), "{}", lines[1]);
    assert!(lines[1].contains(" -p 127.0.0.1:8284:8284 ") && lines[1].contains(":/data "), "{}", lines[1]);
    let arguments = lines[2].strip_prefix("docker exec hallpass /hallpass ").unwrap();
    assert_eq!(lines.len(), 3);
    Workspace::new().ok(&arguments.split(' ').collect::<Vec<_>>());
}

/// The samples, run with the packages that `tests/e2e/run` installs.
mod samples {
    use super::*;

    fn installed(path: &str) -> PathBuf {
        let path = root().join("tests/e2e").join(path);
        assert!(path.exists(), "{} is missing: run tests/e2e/run first", path.display());
        path
    }

    fn python(
        workspace: &Workspace,
        script: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Outcome {
        workspace.write("sample.py", script);
        let mut python = workspace.program(installed(".venv-current/bin/python").to_str().unwrap());
        python.arg("sample.py").args(arguments).envs(variables.iter().copied());
        outcome_of(python, "")
    }

    fn node(workspace: &Workspace, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let packages = workspace.path().join("node_modules");
        if !packages.exists() {
            fs::create_dir_all(packages.join("@letta-ai")).unwrap();
            symlink(installed("node_modules/letta-current"), packages.join("@letta-ai/letta-client"))
                .unwrap();
            symlink(installed("node_modules/jose"), packages.join("jose")).unwrap();
        }
        workspace.write("sample.mjs", script);
        let mut node = workspace.program("node");
        node.arg("sample.mjs").args(arguments).envs(variables.iter().copied());
        outcome_of(node, "")
    }

    /// The sample prints the token it made, finds it in the list and deletes it.
    fn assert_made_and_deleted(workspace: &Workspace, sample: Outcome) {
        let printed = sample.expect_ok();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[1..], ["1 live"], "{printed}");
        let said = workspace.run(&["token", "verify", lines[0].split(' ').next().unwrap()]).expect_code(1);
        assert!(said.stdout.starts_with("not good: it was revoked"), "{said:?}");
    }

    #[test]
    #[ignore = "needs the packages that tests/e2e/run installs"]
    fn the_sdks_samples_make_list_and_delete_a_token() {
        let workspace = Workspace::new();
        let page = read("README.md");
        let (server, key) = begin_as_written(&workspace);
        let url = url_of(&server);
        let variables = [("LETTA_API_KEY", key.as_str()), ("LETTA_BASE_URL", &url)];
        assert_made_and_deleted(&workspace, python(&workspace, &block(&page, "python"), &[], &variables));
        assert_made_and_deleted(&workspace, node(&workspace, &block(&page, "ts"), &[], &variables));
    }

    #[test]
    #[ignore = "needs the packages that tests/e2e/run installs"]
    fn the_gateways_samples_talk_with_the_agent() {
        let (workspace, upstream) = (Workspace::new(), Upstream::start());
        let server = gateway_as_written(&workspace, &upstream);
        let (url, page) = (url_of(&server), read("docs/gateway.md"));
        let key = workspace.api_key("default").1;
        server.wait_for(&key);

        let in_python =
            block(&page, "python").replace("https://agents.example.com", &url).replace("sk-hp-…", &key);
        let call = "import sys\nprint(token_for(sys.argv[1])['token'])\n";
        let made = python(&workspace, &format!("{in_python}\n{call}"), &[AGENT], &[]).expect_ok();

        // As a browser: it says where the page is, and asks the backend.
        const BROWSER: &str = r#"
            const [, , token, agent] = process.argv;
            const { fetch: plain } = globalThis;
            globalThis.fetch = (url, options) => {
              if (url === "/api/agent-token") return Promise.resolve(Response.json({ token }));
              const headers = new Headers(options.headers);
              headers.set("origin", "https://app.example.com");
              return plain(url, { ...options, headers });
            };
        "#;
        let calls = [
            ("ts", "await talk(agent, 'Hello!', console.log);", "Hi!\nHi!\n"),
            (
                "js",
                "for await (const event of stream(token, agent, 'Hello!')) console.log(event.content);",
                "Hi!\n",
            ),
        ];
        for (language, call, shown) in calls {
            let sample = block(&page, language).replace("https://agents.example.com", &url);
            let script = format!("{sample}\n{BROWSER}\n{call}\n");
            let printed = node(&workspace, &script, &[made.trim_end(), AGENT], &[]).expect_ok();
            assert_eq!(printed, shown, "{language}");
        }
        let refused = format!(
            "{}\n{BROWSER}\nawait stream('x.y.z', agent, 'Hello!').next().catch(({{ reason }}) => console.log(reason));\n",
            block(&page, "js").replace("https://agents.example.com", &url)
        );
        assert_eq!(node(&workspace, &refused, &["", AGENT], &[]).expect_ok(), "invalid_token\n");
        let seen = upstream.seen();
        let ends = seen.iter().map(|request| request.path.rsplit('/').next().unwrap()).collect::<Vec<_>>();
        assert_eq!(ends, ["messages", "stream", "stream"]);
        assert!(seen.iter().all(|request| request.authorization == "Bearer s3cret"), "{seen:?}");
    }

    #[test]
    #[ignore = "needs the packages that tests/e2e/run installs"]
    fn the_verifiers_take_a_good_token_and_refuse_what_they_must() {
        let workspace = Workspace::new();
        let server = workspace.serve(&[]);
        let at_server = |sample: String| {
            assert!(sample.contains(DEFAULT_URL));
            sample.replace(DEFAULT_URL, &url_of(&server))
        };
        let page = read("docs/tokens.md");
        let in_python = format!(
            "import sys\n{}\nprint(verify(*sys.argv[1:])['origin'])\n",
            at_server(block(&page, "python"))
        );
        let call = "console.log((await verify(...process.argv.slice(2))).origin);";
        let in_js = format!("{}\n{call}\n", at_server(block(&page, "js")));
        let call = "const policy = await verify(...process.argv.slice(2)); console.log(policy.data[0].id);";
        let in_readme = format!("{}\n{call}\n", at_server(block(&read("README.md"), "js")));

        let origin = "https://app.example.com";
        let token = workspace.token(&[]);
        let altered = workspace.token(&["--access", "write_agent"]);
        let altered = format!("{}x", altered.trim_end_matches(|c| c != '.'));
        let wanted =
            |token: &str, origin: &str| [token, origin, "agent-1", "read_messages"].map(str::to_owned);
        let good = wanted(&token, origin);
        let mut of_another_agent = good.clone();
        of_another_agent[2] = "agent-2".to_owned();
        let mut too_much = good.clone();
        too_much[3] = "write_agent".to_owned();
        let run = |arguments: &[String; 4]| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            [
                python(&workspace, &in_python, &arguments, &[]),
                node(&workspace, &in_js, &arguments, &[]),
                node(&workspace, &in_readme, &arguments[..2], &[]),
            ]
        };
        let printed = run(&good).map(Outcome::expect_ok);
        assert_eq!(printed.map(|text| text.trim_end().to_owned()), [origin, origin, "agent-1"]);
        for arguments in [of_another_agent, too_much] {
            // The README's leaves what the token grants to its caller.
            let [python, js, _] = run(&arguments);
            for outcome in [python, js] {
                let outcome = outcome.expect_code(1);
                assert!(outcome.stderr.contains("not granted"), "{outcome:?}");
            }
        }
        for (arguments, why) in [
            (wanted(&token, "https://evil.example"), "another origin"),
            (wanted(&altered, origin), "ignature"),
        ] {
            for outcome in run(&arguments) {
                let outcome = outcome.expect_code(1);
                assert!(outcome.stderr.contains(why), "{outcome:?}");
            }
        }
    }
}
