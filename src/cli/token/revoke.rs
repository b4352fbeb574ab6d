//! `hallpass token revoke`

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::given_or_read;
use crate::app::App;
use crate::cli::open::{Purpose, with_app};
use crate::cli::{print, project};
use crate::config::Loaded;
use crate::keys::ApiKeyId;
use crate::store::RevokeFilter;
use crate::token::{AgentId, Hostname, is_expired, unverified_id};

#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["token", "agent", "hostname", "api_key", "all"]))]
pub(in crate::cli) struct Revoke {
    /// A token or its `jti`; `-` reads standard input
    #[arg(conflicts_with_all = ["agent", "hostname", "api_key", "all", "project"])]
    token: Option<String>,
    /// All with a grant for this agent
    #[arg(long, value_name = "AGENT_ID", value_parser = AgentId::parse)]
    agent: Option<AgentId>,
    /// All that are bound to this origin
    #[arg(long, value_parser = Hostname::parse)]
    hostname: Option<Hostname>,
    /// All that this API key issued, by its id (`static` for the key from `HALLPASS_API_KEY`)
    #[arg(long, value_name = "ID")]
    api_key: Option<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["agent", "hostname", "api_key"])]
    all: bool,
    /// Only this project's; without it, every project's
    #[arg(long)]
    project: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn revoke(loaded: Loaded, arguments: Revoke) -> anyhow::Result<()> {
    let json = arguments.json;
    let revoked = with_app(loaded, Purpose::MustExist, async |app| {
        if let Some(token) = arguments.token {
            return revoke_one(app, &given_or_read(Some(token))?).await;
        }
        let project_id = match &arguments.project {
            Some(name) => Some(project::named(app, name).await?.id),
            None => None,
        };
        let filter = RevokeFilter {
            project_id,
            agent: arguments.agent,
            origin: arguments.hostname.map(|hostname| hostname.origin().clone()),
            api_key: arguments.api_key.map(|id| ApiKeyId(id.into())),
        };
        Ok(app.store.revoke_where(&filter, app.now()).await?)
    })?;
    if json {
        return print::json(&json!({"revoked": revoked}));
    }
    Ok(print::line(&format!("revoked {}", print::count(revoked, "live token")))?)
}

async fn revoke_one(app: &App, token_or_id: &str) -> anyhow::Result<u64> {
    let jti = unverified_id(token_or_id).context("this is neither a token nor a `jti`")?;
    let record = app
        .store
        .find(jti)
        .await?
        .with_context(|| format!("this database holds no record of token `{jti}`"))?;
    let was_live = record.revoked_at.is_none() && !is_expired(record.expires_at.seconds(), app.now());
    app.store.revoke(record.project_id, jti, app.now()).await?;
    Ok(u64::from(was_live))
}
