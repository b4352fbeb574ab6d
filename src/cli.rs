//! The commands, one file each. Here, and only here, are the parts wired together.

mod api_key;
mod config;
mod db;
mod dev;
mod gateway;
mod healthcheck;
mod open;
mod print;
mod project;
mod routes;
mod serve;
mod signing_key;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Loaded;

/// Client-side access tokens: short-lived, narrowly scoped tokens that a backend asks for with its
/// API key and hands to a browser.
#[derive(Parser)]
#[command(name = "hallpass", version, after_long_help = FIRST_STEPS)]
pub struct Cli {
    /// Configuration file; without it, `hallpass.toml` is read if there is one
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  hallpass api-key create --name my-backend    make an API key (it is shown once)
  hallpass serve                               start the server
  curl -X POST http://127.0.0.1:8284/v1/client-side-access-tokens \\
    -H 'Authorization: Bearer sk-hp-…' -H 'Content-Type: application/json' \\
    -d '{\"hostname\":\"http://localhost:5173\",
         \"policy\":[{\"type\":\"agent\",\"id\":\"agent-1\",\"access\":[\"read_messages\",\"write_messages\"]}]}'

Every setting has a default. `hallpass config show` prints those in force; each can be set in
`hallpass.toml` or by an environment variable such as HALLPASS_SERVER__LISTEN.
Commands act on the database and may run while the server does; it notices within a second.";

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Run a local server for frontend work: no configuration, and an agent server that is played
    #[command(after_long_help = dev::AFTER_HELP)]
    Dev(dev::Arguments),
    /// Make, list and revoke the API keys of backends
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// List projects and set which agents their keys may issue tokens for
    #[command(subcommand)]
    Project(project::Command),
    /// List and rotate the keys that sign tokens
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    /// Make, look at, list and revoke tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Show what client tokens may ask the agent server for: the permission table in force
    Routes(routes::Arguments),
    /// Look after the database: its schema, its size, copies of it
    #[command(subcommand)]
    Db(db::Command),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a running server whether it is well; exits 0 if it is
    Healthcheck(healthcheck::Arguments),
    /// Print the OpenAPI document
    Openapi,
    /// Print a completion script for a shell, such as: `source <(hallpass completions bash)`
    Completions { shell: Shell },
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let load =
            || Loaded::read(self.config.as_deref(), environment()).context("the configuration is not usable");
        match self.command {
            Command::Serve => serve::run(load()?),
            Command::Dev(arguments) => dev::run(arguments, self.config.is_some()),
            Command::ApiKey(command) => api_key::run(command, load()?),
            Command::Project(command) => project::run(command, load()?),
            Command::SigningKey(command) => signing_key::run(command, load()?),
            Command::Token(command) => token::run(command, load),
            Command::Routes(arguments) => routes::run(&arguments, &load()?),
            Command::Db(command) => db::run(command, load()?),
            Command::Config(command) => config::run(&command, &load()?),
            Command::Healthcheck(arguments) => healthcheck::run(&arguments, load),
            Command::Openapi => {
                print::line(&crate::api::openapi_document().to_pretty_json()?)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "hallpass", &mut std::io::stdout());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// The environment, without variables that aren't text: no setting is one of those.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
