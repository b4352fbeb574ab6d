//! `hallpass signing-key`

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::open::{Purpose, with_app};
use super::print;
use crate::app::App;
use crate::config::Loaded;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the ring: the key that signs, the next one, and retired ones that still verify
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the next key sign; the old one verifies until its last token is over
    ///
    /// The next key is in the JWKS long before it signs. Two rotations within five minutes are
    /// refused: verifiers might not know the key yet.
    Rotate {
        /// Rotate all the same
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Destroy a key that leaked: its tokens are refused, within a second by every server
    ///
    /// The key that signs has to be rotated out first. Verifiers that only have the JWKS take its
    /// tokens until they fetch it again.
    Destroy {
        /// The key's id, as `hallpass signing-key list` shows it
        // It may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command, loaded: Loaded) -> anyhow::Result<ExitCode> {
    with_app(loaded, Purpose::MustExist, async |app| match command {
        Command::List { json } => list(app, json),
        Command::Rotate { force, json } => {
            app.rotate_signing_keys(force).await?;
            list(app, json)
        }
        Command::Destroy { kid, json } => {
            app.destroy_signing_key(&kid).await?;
            list(app, json)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn list(app: &App, json: bool) -> anyhow::Result<()> {
    let ring = app.ring();
    if json {
        let keys: Vec<_> = ring
            .keys()
            .iter()
            .map(|key| {
                json!({
                    "kid": key.signing.kid(), "algorithm": key.signing.algorithm(), "state": key.state.as_str(),
                    "createdAt": key.created_at, "activatedAt": key.activated_at, "endsAt": key.ends_at,
                })
            })
            .collect();
        return print::json(&keys);
    }
    let rows: Vec<_> = ring
        .keys()
        .iter()
        .map(|key| {
            [
                key.signing.kid().to_owned(),
                key.signing.algorithm().to_string(),
                key.state.as_str().to_owned(),
                print::time(Some(key.created_at)),
                print::time(key.activated_at),
                print::time(key.ends_at),
            ]
        })
        .collect();
    Ok(print::table(["KID", "ALGORITHM", "STATE", "CREATED", "SIGNS SINCE", "ENDS"], &rows)?)
}
