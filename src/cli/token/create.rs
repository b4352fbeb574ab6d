//! `hallpass token create`

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::open::{Purpose, with_app};
use crate::cli::{print, project};
use crate::config::Loaded;
use crate::keys::ApiKeyId;
use crate::token::{Access, AgentId, Expiry, Grant, Hostname, Policy, TokenRequest};
use crate::units;

/// The API key id of tokens made on the command line.
const CLI_KEY_ID: &str = "cli";

#[derive(Args)]
pub(in crate::cli) struct Create {
    /// The origin of the browser app, such as `https://app.example.com`
    #[arg(long, value_parser = Hostname::parse)]
    hostname: Hostname,
    /// The id of an agent that the token may touch; repeat it for more
    #[arg(long = "agent", value_name = "AGENT_ID", value_parser = AgentId::parse, required = true)]
    agents: Vec<AgentId>,
    /// What it may do with each, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "read_messages,write_messages")]
    access: Vec<AccessArgument>,
    /// How long it lives, such as `10m`; by default `tokens.default_ttl`
    #[arg(long, value_parser = units::parse_duration, conflicts_with = "expires_at")]
    ttl: Option<Duration>,
    /// When it ends, such as `2026-01-31T12:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// The project whose token it is
    #[arg(long, default_value = "default")]
    project: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn create(loaded: Loaded, arguments: Create) -> anyhow::Result<()> {
    let access: Vec<_> = arguments.access.iter().map(|argument| argument.0).collect();
    let grants = arguments.agents.into_iter().map(|id| Grant { id, access: access.clone() }).collect();
    let policy = Policy::new(grants).map_err(anyhow::Error::msg)?;
    let limits = loaded.config.tokens.clone();
    let issued = with_app(loaded, Purpose::MayCreate, async |app| {
        let project = project::named(app, &arguments.project).await?;
        let now = app.now();
        let expires_at = arguments.expires_at.or_else(|| arguments.ttl.map(|ttl| now.after(ttl).to_string()));
        let expiry = match expires_at {
            None => Expiry::after(now, limits.default_ttl),
            Some(text) => Expiry::parse(&text, now, limits.max_ttl)
                .map_err(|rule| anyhow::anyhow!("the expiry {rule}"))?,
        };
        let request = TokenRequest { hostname: arguments.hostname, policy, expiry };
        Ok(app.issue(&project, &ApiKeyId(CLI_KEY_ID.into()), request).await?)
    })?;
    if arguments.json {
        return print::json(&json!({
            "token": issued.token, "jti": issued.jti, "expiresAt": issued.expires_at,
            "hostname": issued.hostname, "policy": issued.policy,
        }));
    }
    eprintln!("token `{}`, good until {}:", issued.jti, issued.expires_at);
    Ok(print::line(&issued.token)?)
}

#[derive(Clone, Copy)]
struct AccessArgument(Access);

impl ValueEnum for AccessArgument {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [AccessArgument; 4] = [
            AccessArgument(Access::ReadMessages),
            AccessArgument(Access::WriteMessages),
            AccessArgument(Access::ReadAgent),
            AccessArgument(Access::WriteAgent),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}
