//! `hallpass token`

mod create;
mod list;
mod revoke;
mod verify;

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::print;
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::token::is_expired;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and print it
    Create(create::Create),
    /// Show what a token says, without verifying anything
    Inspect {
        /// The token; without it, standard input is read, which keeps it out of the shell's history
        token: Option<String>,
    },
    /// Say whether a token is good, and why not; exits 0 if it is
    ///
    /// With `--path` it says too whether the token may ask for that, and what the agent server would get.
    Verify(verify::Verify),
    /// List a project's tokens, newest first
    List(list::List),
    /// Revoke one token, or all live ones that fit: the answer to a leak
    Revoke(revoke::Revoke),
}

pub(super) fn run(
    command: Command,
    load: impl FnOnce() -> anyhow::Result<Loaded>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(arguments) => create::create(load()?, arguments)?,
        Command::Inspect { token } => inspect(&given_or_read(token)?)?,
        Command::Verify(arguments) => return verify::verify(load()?, arguments),
        Command::List(arguments) => list::list(load()?, &arguments)?,
        Command::Revoke(arguments) => revoke::revoke(load()?, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn given_or_read(token: Option<String>) -> anyhow::Result<Zeroizing<String>> {
    if let Some(token) = token.filter(|token| token != "-") {
        return Ok(token.into());
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(64 << 10).read_to_string(&mut text).context("standard input cannot be read")?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn inspect(token: &str) -> anyhow::Result<()> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, _signature] = parts[..] else {
        bail!("this is not a JWT: it must have three parts separated by dots, got {}", parts.len());
    };
    let decode = |part: &str, name: &str| -> anyhow::Result<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(part).with_context(|| format!("the {name} is not base64url"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("the {name} is not JSON"))
    };
    let (header, claims) = (decode(header, "header")?, decode(payload, "payload")?);
    eprintln!("not verified; `hallpass token verify` does that");
    if let Some(exp) = claims["exp"].as_i64() {
        let now = SystemClock.now();
        let left = exp.saturating_sub(now.seconds());
        if is_expired(exp, now) {
            eprintln!("expired {} s ago", left.saturating_neg())
        } else {
            eprintln!("expires in {left} s")
        }
    }
    print::json(&json!({"header": header, "claims": claims}))
}
