//! `hallpass config`

use std::process::ExitCode;

use clap::Subcommand;

use super::print;
use crate::config::Loaded;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Check the configuration as the server would at its start; exits 0 if it is right
    Check,
    /// Print the settings in force, in the form of the configuration file; secrets are masked
    Show,
}

pub(super) fn run(command: &Command, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    loaded.print_warnings();
    let file = loaded.file.as_ref().map_or_else(|| "none".to_owned(), |file| format!("`{}`", file.display()));
    match command {
        Command::Check => {
            print::line(&format!(
                "the configuration is right (file: {file}, variables: {})",
                loaded.variables.len()
            ))?;
        }
        Command::Show => {
            print::line(&format!("# file: {file}"))?;
            for variable in &loaded.variables {
                print::line(&format!("# set by the environment: {variable}"))?;
            }
            let masked = |set: bool| if set { "[set]" } else { "[not set]" };
            print::line(&format!("# static API key: {}", masked(loaded.secrets.api_key.is_some())))?;
            print::line(&format!("# master key: {}", masked(loaded.secrets.master_key.is_some())))?;
            let upstream_token = masked(loaded.config.gateway.upstream_token.is_some());
            print::line(&format!("# gateway.upstream_token: {upstream_token}"))?;
            print::line(&format!("\n{}", toml::to_string(&loaded.config)?.trim_end()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
