//! `hallpass token list`

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app::ListedToken;
use crate::cli::open::{Purpose, with_app};
use crate::cli::{print, project};
use crate::config::Loaded;
use crate::store::{ListQuery, Status};
use crate::token::AgentId;

#[derive(Args)]
pub(in crate::cli) struct List {
    /// The project whose tokens are listed
    #[arg(long, default_value = "default")]
    project: String,
    /// Only tokens with a grant for this agent
    #[arg(long, value_name = "AGENT_ID", value_parser = AgentId::parse)]
    agent: Option<AgentId>,
    /// Which tokens
    #[arg(long, value_enum, default_value = "active")]
    status: StatusArgument,
    /// Most tokens to list
    #[arg(long, default_value = "50")]
    limit: u32,
    /// Tokens to pass over
    #[arg(long, default_value = "0")]
    offset: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn list(loaded: Loaded, arguments: &List) -> anyhow::Result<()> {
    let page = with_app(loaded, Purpose::MustExist, async |app| {
        let project = project::named(app, &arguments.project).await?;
        let query = ListQuery {
            project_id: project.id,
            agent: arguments.agent.clone(),
            status: arguments.status.into(),
            now: app.now(),
            limit: arguments.limit,
            offset: arguments.offset,
        };
        Ok(app.list(&query).await?)
    })?;
    let agents = |token: &ListedToken| {
        token
            .policy
            .data
            .grants()
            .iter()
            .map(|grant| grant.id.as_str().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    if arguments.json {
        let tokens: Vec<_> = page
            .tokens
            .iter()
            .map(|token| {
                json!({
                    "jti": token.jti, "apiKey": token.api_key_id, "expiresAt": token.expires_at,
                    "revokedAt": token.revoked_at, "hostname": token.hostname, "policy": token.policy,
                })
            })
            .collect();
        return print::json(&json!({"tokens": tokens, "hasNextPage": page.has_next}));
    }
    let rows: Vec<_> = page
        .tokens
        .iter()
        .map(|token| {
            [
                token.jti.to_string(),
                token.api_key_id.clone(),
                print::time(Some(token.expires_at)),
                print::time(token.revoked_at),
                token.hostname.clone(),
                agents(token),
            ]
        })
        .collect();
    print::table(["JTI", "API KEY", "EXPIRES", "REVOKED", "HOSTNAME", "AGENTS"], &rows)?;
    if page.has_next {
        eprintln!("there are more; see `--offset` and `--limit`");
    }
    Ok(())
}

#[derive(Clone, Copy, ValueEnum)]
enum StatusArgument {
    Active,
    Expired,
    Revoked,
    All,
}

impl From<StatusArgument> for Status {
    fn from(argument: StatusArgument) -> Self {
        match argument {
            StatusArgument::Active => Status::Active,
            StatusArgument::Expired => Status::Expired,
            StatusArgument::Revoked => Status::Revoked,
            StatusArgument::All => Status::All,
        }
    }
}
