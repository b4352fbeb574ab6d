//! `hallpass db copy`

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::print;
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::keys::{MasterKey, MasterKeySource};
use crate::store::{Copied, CopyCounts, CopyRequest, DatabaseUrl, copy};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The database to copy from, such as `sqlite:hallpass.db`
    // A text, not a URL: what is wrong with it must be told without its password.
    #[arg(long, value_name = "URL", required_unless_present = "from_file")]
    from: Option<String>,
    /// A file that holds that URL, so that a password in it stays out of the list of processes
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    from_file: Option<PathBuf>,
    /// The database to copy into; it must be empty. A SQLite file is made if there is none
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    to: Option<String>,
    /// A file that holds that URL
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    to_file: Option<PathBuf>,
    /// Copy although a server is at work on the source: what it issues or revokes meanwhile is left behind
    #[arg(long)]
    while_serving: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, loaded: &Loaded) -> anyhow::Result<()> {
    let from = url("--from", arguments.from.as_deref(), arguments.from_file.as_deref())?;
    let to = url("--to", arguments.to.as_deref(), arguments.to_file.as_deref())?;
    let (master, master_is) = master_key(loaded, &from)?;
    let request = CopyRequest {
        from: &from,
        to: &to,
        while_serving: arguments.while_serving,
        master: master.as_ref(),
        now: SystemClock.now(),
    };
    let copied = copy(&request).await?;
    if arguments.json {
        print::json(&json!({
            "from": ends_json(&from, copied.from), "to": ends_json(&to, copied.to),
            "whileServing": copied.served, "masterKeyOpensKeys": copied.keys_opened,
        }))?;
    } else {
        print::table(["COPIED", "FROM", "TO"], &rows(&copied))?;
    }
    if copied.served {
        eprintln!(
            "warning: a server was at work on `{from}`: what it issued or revoked since is not in the copy"
        );
    }
    if copied.keys_opened {
        eprintln!("servers on `{to}` need the same master key, {master_is}: the copied keys open with it");
    } else {
        eprintln!(
            "servers on `{to}` need the master key of `{from}`; whether the copied keys open was not tried: {master_is}"
        );
    }
    Ok(())
}

fn url(option: &str, text: Option<&str>, file: Option<&Path>) -> anyhow::Result<DatabaseUrl> {
    let from_file;
    let text = match (text, file) {
        (Some(text), _) => text,
        (None, Some(file)) => {
            // Not the path: who confuses the two options has put the URL itself there.
            from_file = std::fs::read_to_string(file)
                .map(Zeroizing::new)
                .with_context(|| format!("the file that `{option}-file` names cannot be read"))?;
            from_file.trim()
        }
        (None, None) => bail!("`{option}` or `{option}-file` must name a database"),
    };
    text.parse().map_err(|error| anyhow!("`{option}`: {error}"))
}

/// The master key of the source, if it is at hand, and in words what it is or why there is none.
fn master_key(loaded: &Loaded, from: &DatabaseUrl) -> anyhow::Result<(Option<MasterKey>, String)> {
    if let Some(key) = &loaded.secrets.master_key {
        return Ok((Some(key.clone()), "which is given to this command".to_owned()));
    }
    let Some(MasterKeySource::Beside(path)) = from.file().map(MasterKeySource::beside) else {
        return Ok((None, "there is no `HALLPASS_MASTER_KEY`".to_owned()));
    };
    if !path.exists() {
        let why = format!("there is neither `HALLPASS_MASTER_KEY` nor `{}`", path.display());
        return Ok((None, why));
    }
    let is = format!("that in `{}`", path.display());
    Ok((Some(MasterKeySource::Beside(path).load(true)?), is))
}

const NAMES: [&str; 6] = [
    "projects",
    "API keys",
    "signing keys",
    "live tokens",
    "entries for their agents",
    "revocations of them",
];

fn numbers(counts: CopyCounts) -> [i64; 6] {
    let CopyCounts { projects, api_keys, signing_keys, live_tokens, token_agents, revocations } = counts;
    [projects, api_keys, signing_keys, live_tokens, token_agents, revocations]
}

fn rows(copied: &Copied) -> Vec<[String; 3]> {
    let numbers = numbers(copied.from).into_iter().zip(numbers(copied.to));
    let rows = NAMES.iter().zip(numbers);
    rows.map(|(name, (from, to))| [(*name).to_owned(), from.to_string(), to.to_string()]).collect()
}

fn ends_json(url: &DatabaseUrl, counts: CopyCounts) -> Value {
    let CopyCounts { projects, api_keys, signing_keys, live_tokens, token_agents, revocations } = counts;
    json!({
        "database": url.to_string(), "projects": projects, "apiKeys": api_keys, "signingKeys": signing_keys,
        "liveTokens": live_tokens, "tokenAgents": token_agents, "revocations": revocations,
    })
}
