//! `hallpass db`

mod backup;
mod copy;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;
use serde_json::json;

use super::open::{self, Purpose};
use super::print;
use crate::clock::{Clock, SystemClock};
use crate::config::{DatabaseConfig, Loaded};
use crate::store::{DatabaseAdmin, DatabaseUrl, open_admin};
use crate::token::retained_from;
use crate::units::show_duration;

/// Records removed in one transaction, as the server does it.
const PRUNE_BATCH: u32 = 500;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Bring the database's schema up to date, as every start of the server does too
    Migrate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the schema's version, what the database holds and its size
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove the records that are past `database.retention`, as the server does once a minute
    Prune {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a SQLite database into a new file, while the server runs
    Backup {
        /// The file to make; it must not be there yet
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy keys, live tokens and revocations into an empty database of any kind
    ///
    /// All arrive in one transaction, and are counted on both sides before it counts. Servers on the
    /// copy need the master key of the source.
    Copy(copy::Arguments),
}

pub(super) fn run(command: Command, loaded: Loaded) -> anyhow::Result<ExitCode> {
    loaded.print_warnings();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Migrate { json } => migrate(&loaded.config.database, json).await,
            Command::Status { json } => status::run(&loaded.config.database, json).await,
            Command::Prune { json } => prune(&loaded.config.database, json).await,
            Command::Backup { file, json } => backup::run(&loaded, &file, json).await,
            Command::Copy(arguments) => copy::run(&arguments, &loaded).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The database past a pooler, which is where it is looked after.
fn direct(config: &DatabaseConfig) -> &DatabaseUrl {
    config.direct_url.as_ref().unwrap_or(&config.url)
}

/// The configured database, as it is.
async fn look_at(config: &DatabaseConfig) -> anyhow::Result<Box<dyn DatabaseAdmin>> {
    if let Some(path) = config.url.file() {
        open::refuse_missing(path)?;
    }
    Ok(open_admin(direct(config), false).await?)
}

async fn migrate(config: &DatabaseConfig, json: bool) -> anyhow::Result<()> {
    let mut database = open_admin(direct(config), true).await?;
    let outcome = database.migrate().await;
    database.close().await;
    let change = outcome?;
    if json {
        return print::json(&json!({"from": change.from, "to": change.to}));
    }
    let said = if change.from == change.to {
        format!("the schema of `{}` has version {}, the newest; nothing was changed", config.url, change.to)
    } else {
        format!("the schema of `{}` was brought from version {} to {}", config.url, change.from, change.to)
    };
    Ok(print::line(&said)?)
}

async fn prune(config: &DatabaseConfig, json: bool) -> anyhow::Result<()> {
    let store = open::store(config, Purpose::MustExist).await?;
    let cutoff = retained_from(SystemClock.now(), config.retention);
    let mut removed = 0;
    let outcome = loop {
        let begun = Instant::now();
        match store.prune(cutoff, PRUNE_BATCH).await {
            // A batch that isn't full needn't be the last: a server may have some in hand.
            Ok(0) => break Ok(()),
            Ok(batch) => removed += batch,
            Err(error) => break Err(error),
        }
        // SQLite's writers wait for each other by looking now and then: they must often find it free.
        tokio::time::sleep(begun.elapsed() * 3).await;
    };
    store.close().await;
    if json {
        print::json(&json!({"removed": removed}))?;
    } else {
        let retention = show_duration(config.retention);
        print::line(&format!("removed {} past `{retention}`", print::count(removed, "record")))?;
    }
    Ok(outcome?)
}
