//! `hallpass api-key`

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::open::{Purpose, with_app};
use super::print;
use crate::app::ProjectName;
use crate::config::Loaded;
use crate::keys::{ApiKeyId, STATIC_KEY_ID};
use crate::token::quote;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key and show it, once
    ///
    /// The key is the secret of a backend: put it where the backend reads its secrets, never in a
    /// page. Only its hash is stored.
    Create {
        /// What the key is for, such as the backend's name
        #[arg(long)]
        name: String,
        /// The project, made if there is none of that name; projects never see each other's tokens
        #[arg(long, default_value = "default")]
        project: ProjectName,
        /// Let the key pass the gateway whole: it is then full admin of the agent server
        #[arg(long)]
        gateway: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys, revoked ones too
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, and with it the live tokens that it issued
    Revoke {
        /// The key's id, as `api-key list` shows it
        id: String,
        /// Leave the key's tokens as they are
        #[arg(long)]
        keep_tokens: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command, loaded: Loaded) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { name, project, gateway, json } => create(loaded, &name, &project, gateway, json)?,
        Command::List { json } => list(loaded, json)?,
        Command::Revoke { id, keep_tokens, json } => revoke(loaded, ApiKeyId(id.into()), keep_tokens, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn create(
    loaded: Loaded,
    name: &str,
    project: &ProjectName,
    gateway: bool,
    json: bool,
) -> anyhow::Result<()> {
    if name.trim().is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        bail!("`--name` must have 1 to 100 characters and no control characters");
    }
    let (key, project) = with_app(loaded, Purpose::MayCreate, async |app| {
        Ok(app.create_api_key(name, project, gateway).await?)
    })?;
    if json {
        let secret = key.secret.as_str();
        return print::json(
            &json!({"id": key.id, "name": name, "project": project.name, "gateway": gateway, "key": secret}),
        );
    }
    eprintln!(
        "API key `{}` ({name}) of project `{}`. It is shown this once; only its hash is kept:",
        key.id, project.name
    );
    Ok(print::line(&key.secret)?)
}

fn list(loaded: Loaded, json: bool) -> anyhow::Result<()> {
    let (projects, keys) = with_app(loaded, Purpose::MustExist, async |app| {
        Ok((app.store.projects().await?, app.store.api_keys().await?))
    })?;
    let names: HashMap<_, _> = projects.into_iter().map(|project| (project.id, project.name)).collect();
    let name_of = |id| names.get(&id).map_or("?", String::as_str);
    if json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.record.id, "name": key.record.name, "project": name_of(key.record.project_id),
                    "gateway": key.record.gateway, "createdAt": key.record.created_at,
                    "lastUsedAt": key.last_used_at, "revokedAt": key.revoked_at,
                })
            })
            .collect();
        return print::json(&keys);
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let record = &key.record;
            [
                record.id.to_string(),
                record.name.clone(),
                name_of(record.project_id).to_owned(),
                if record.gateway { "yes" } else { "no" }.to_owned(),
                print::time(Some(record.created_at)),
                print::time(key.last_used_at),
                print::time(key.revoked_at),
            ]
        })
        .collect();
    Ok(print::table(["ID", "NAME", "PROJECT", "GATEWAY", "CREATED", "LAST USED", "REVOKED"], &rows)?)
}

fn revoke(loaded: Loaded, id: ApiKeyId, keep_tokens: bool, json: bool) -> anyhow::Result<()> {
    if &*id.0 == STATIC_KEY_ID {
        bail!(
            "the static key stands in the environment: take `HALLPASS_API_KEY` away and restart; \
             `hallpass token revoke --api-key static` revokes its tokens"
        );
    }
    let revoked =
        with_app(loaded, Purpose::MustExist, async |app| Ok(app.revoke_api_key(&id, keep_tokens).await?))?;
    let Some(revoked) = revoked else {
        bail!("there is no API key {}; `hallpass api-key list` shows them", quote(&id.0));
    };
    if json {
        return print::json(&json!({"id": id, "revokedTokens": revoked.tokens}));
    }
    let tokens = if keep_tokens {
        "its tokens were kept".to_owned()
    } else {
        format!("and {}", print::count(revoked.tokens, "live token"))
    };
    Ok(print::line(&format!("revoked API key `{id}`, {tokens}"))?)
}
