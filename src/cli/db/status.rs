//! `hallpass db status`

use serde_json::json;

use super::{direct, look_at};
use crate::cli::print;
use crate::clock::{Clock, SystemClock};
use crate::config::DatabaseConfig;
use crate::store::{Bounds, DatabaseAdmin, Holdings, StoreError};
use crate::token::{live_from, retained_from};
use crate::units::show_duration;

/// What a database says of itself.
struct Status {
    schema: usize,
    newest_schema: usize,
    size_bytes: u64,
    /// Nothing, if it has no schema.
    holds: Option<Holdings>,
}

pub(super) async fn run(config: &DatabaseConfig, json: bool) -> anyhow::Result<()> {
    let mut database = look_at(config).await?;
    let now = SystemClock.now();
    let bounds = Bounds { live_from: live_from(now), retained_from: retained_from(now, config.retention) };
    let outcome = ask(&mut *database, bounds).await;
    database.close().await;
    let status = outcome?;
    if json {
        return print_json(config, &status);
    }
    print::table(["DATABASE", &direct(config).to_string()], &rows(config, &status))?;
    if status.schema < status.newest_schema {
        eprintln!("`hallpass db migrate`, or the next start of the server, brings the schema up to date");
    } else if status.schema > status.newest_schema {
        eprintln!("a newer Hallpass made this schema: this one does not work with it");
    }
    Ok(())
}

async fn ask(database: &mut dyn DatabaseAdmin, bounds: Bounds) -> Result<Status, StoreError> {
    let schema = database.schema_version().await?;
    let holds = if schema > 0 { Some(database.holdings(bounds).await?) } else { None };
    let size_bytes = database.size_bytes().await?;
    Ok(Status { schema, newest_schema: database.newest_schema_version(), size_bytes, holds })
}

fn kind(config: &DatabaseConfig) -> &'static str {
    if config.url.file().is_some() { "sqlite" } else { "postgres" }
}

fn print_json(config: &DatabaseConfig, status: &Status) -> anyhow::Result<()> {
    let mut said = json!({
        "database": direct(config).to_string(), "kind": kind(config),
        "schemaVersion": status.schema, "newestSchemaVersion": status.newest_schema,
        "sizeBytes": status.size_bytes,
    });
    if let Some(holds) = status.holds {
        said["tokens"] = json!({
            "all": holds.tokens, "live": holds.live_tokens, "pastRetention": holds.past_retention,
        });
        said["revocations"] = json!(holds.revocations);
        said["projects"] = json!(holds.projects);
        said["apiKeys"] = json!({"live": holds.live_api_keys, "revoked": holds.revoked_api_keys});
        said["signingKeys"] = json!({
            "active": holds.active_signing_keys, "next": holds.next_signing_keys,
            "retired": holds.retired_signing_keys,
        });
    }
    print::json(&said)
}

fn rows(config: &DatabaseConfig, status: &Status) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("schema version", format!("{} (newest known: {})", status.schema, status.newest_schema)),
        row("size", format!("{} bytes", status.size_bytes)),
    ];
    let Some(holds) = status.holds else { return rows };
    let retention = show_duration(config.retention);
    rows.extend([
        row("tokens", format!("{}, {} live", holds.tokens, holds.live_tokens)),
        row("past retention", format!("{} past `{retention}`, to be removed", holds.past_retention)),
        row("revocations", holds.revocations.to_string()),
        row("projects", holds.projects.to_string()),
        row("API keys", format!("{} live, {} revoked", holds.live_api_keys, holds.revoked_api_keys)),
        row(
            "signing keys",
            format!(
                "{} active, {} next, {} retired",
                holds.active_signing_keys, holds.next_signing_keys, holds.retired_signing_keys
            ),
        ),
    ]);
    rows
}
