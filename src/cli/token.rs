//! `hallpass token`

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::open::{Purpose, with_app};
use super::{print, project};
use crate::app::{App, ListedToken};
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::keys::ApiKeyId;
use crate::store::{ListQuery, RevokeFilter, Status};
use crate::token::{
    Access, AgentId, Expiry, Grant, Hostname, Policy, TokenRequest, is_expired, unverified_id,
};
use crate::units;

/// The API key id of tokens made on the command line.
const CLI_KEY_ID: &str = "cli";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and print it
    Create(Create),
    /// Show what a token says, without verifying anything
    Inspect {
        /// The token; without it, standard input is read, which keeps it out of the shell's history
        token: Option<String>,
    },
    /// Say whether a token is good, and why not; exits 0 if it is
    Verify {
        /// The token; without it, standard input is read
        token: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List a project's tokens, newest first
    List(List),
    /// Revoke one token, or all live ones that fit: the answer to a leak
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Create {
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

#[derive(Args)]
pub(super) struct List {
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

#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["token", "agent", "hostname", "api_key", "all"]))]
pub(super) struct Revoke {
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

pub(super) fn run(
    command: Command,
    load: impl FnOnce() -> anyhow::Result<Loaded>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(arguments) => create(load()?, arguments)?,
        Command::Inspect { token } => inspect(&given_or_read(token)?)?,
        Command::Verify { token, json } => return verify(load()?, &given_or_read(token)?, json),
        Command::List(arguments) => list(load()?, &arguments)?,
        Command::Revoke(arguments) => revoke(load()?, arguments)?,
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

fn create(loaded: Loaded, arguments: Create) -> anyhow::Result<()> {
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
        Ok(app.issue(&project, &ApiKeyId(CLI_KEY_ID.to_owned()), request).await?)
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

fn verify(loaded: Loaded, token: &str, json: bool) -> anyhow::Result<ExitCode> {
    let verdict = with_app(loaded, Purpose::MustExist, async |app| judge(app, token).await)?;
    let good = verdict.is_ok();
    match (verdict, json) {
        (Ok(claims), true) => print::json(&json!({"active": true, "claims": claims}))?,
        (Ok(claims), false) => {
            print::line("good")?;
            print::json(&claims)?;
        }
        (Err(reason), true) => print::json(&json!({"active": false, "reason": reason}))?,
        (Err(reason), false) => print::line(&format!("not good: {reason}"))?,
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A token's claims, or why it isn't good.
async fn judge(app: &App, token: &str) -> anyhow::Result<Result<Value, String>> {
    let verified = match app.ring().verify(token, app.now()) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match app.store.find(verified.jti).await? {
        None => Err("this database holds no record of it".to_owned()),
        Some(record) => match record.revoked_at {
            Some(at) => Err(format!("it was revoked at {at}")),
            None => Ok(serde_json::to_value(&*verified)?),
        },
    })
}

fn list(loaded: Loaded, arguments: &List) -> anyhow::Result<()> {
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

fn revoke(loaded: Loaded, arguments: Revoke) -> anyhow::Result<()> {
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
            api_key: arguments.api_key.map(ApiKeyId),
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
