//! Reads the command line and hands it to the commands.

use std::process::ExitCode;

use clap::Parser;
use hallpass::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
