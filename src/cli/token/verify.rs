//! `hallpass token verify`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::given_or_read;
use crate::access::{
    Allowed, Decision, Denial, OriginHeader, Owned, Owner, Provenance, Request, RequestBody, Table, Target,
    decide,
};
use crate::app::App;
use crate::cli::open::{Purpose, with_app};
use crate::cli::print;
use crate::clock::Timestamp;
use crate::config::Loaded;
use crate::keys::Verified;
use crate::token::{AgentId, quote};

#[derive(Args)]
pub(in crate::cli) struct Verify {
    /// The token; without it, standard input is read
    token: Option<String>,
    /// A path and query, such as `/v1/agents/agent-…/messages?limit=10`: may the token ask for it?
    #[arg(long)]
    path: Option<String>,
    /// The method of that request
    #[arg(long, default_value = "GET")]
    method: String,
    /// The origin that it comes from; without it, the token's own
    #[arg(long, requires = "path")]
    origin: Option<String>,
    /// The agent whose conversation or run the path names
    #[arg(long, value_name = "AGENT_ID", value_parser = AgentId::parse, requires = "path")]
    owner: Option<AgentId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found out, for people and for programs, and whether it is a yes.
struct Verdict {
    yes: bool,
    lines: Vec<String>,
    json: Value,
}

pub(super) fn verify(loaded: Loaded, mut arguments: Verify) -> anyhow::Result<ExitCode> {
    let token = given_or_read(arguments.token.take())?;
    let table = Table::new(&loaded.config.gateway.access())?;
    let outcome = with_app(loaded, Purpose::MustExist, async |app| judge(app, &token).await)?;
    let verdict = match outcome {
        Err(reason) => Verdict {
            yes: false,
            lines: vec![format!("not good: {reason}")],
            json: json!({"active": false, "reason": reason}),
        },
        Ok((verified, now)) => match &arguments.path {
            None => good(&verified)?,
            Some(path) => may_ask(&table, &verified, &arguments, path, now),
        },
    };
    if arguments.json {
        print::json(&verdict.json)?;
    } else {
        for line in &verdict.lines {
            print::line(line)?;
        }
    }
    Ok(if verdict.yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A token as it is now, or why it isn't good.
async fn judge(app: &App, token: &str) -> anyhow::Result<Result<(Verified, Timestamp), String>> {
    let now = app.now();
    let verified = match app.ring().verify(token, now) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match app.store.find(verified.jti).await? {
        None => Err("this database holds no record of it".to_owned()),
        Some(record) => match record.revoked_at {
            Some(at) => Err(format!("it was revoked at {at}")),
            None => Ok((verified, now)),
        },
    })
}

fn good(verified: &Verified) -> anyhow::Result<Verdict> {
    let claims = serde_json::to_value(&**verified)?;
    Ok(Verdict {
        yes: true,
        lines: vec!["good".to_owned(), serde_json::to_string_pretty(&claims)?],
        json: json!({"active": true, "claims": claims}),
    })
}

/// Decides as the gateway does, but for the body, which isn't given.
fn may_ask(table: &Table, token: &Verified, asked: &Verify, path: &str, now: Timestamp) -> Verdict {
    let target = match Target::parse(path) {
        Ok(target) => target,
        Err(problem) => return denied(&Denial::TargetNotValid(problem.to_string())),
    };
    let origin = asked.origin.as_deref().unwrap_or(token.origin.as_str());
    let request = Request {
        token,
        method: &asked.method,
        target: &target,
        provenance: Provenance {
            origin: OriginHeader::One(origin.as_bytes()),
            sec_fetch_site: None,
            referer: None,
            own_origin: None,
        },
        body: RequestBody::OutOfReach,
        owner: asked.owner.clone().map(Owner::Agent),
        now,
    };
    match decide(table, request) {
        Decision::Allow(allowed) => self::allowed(&allowed),
        Decision::Deny(denial) => denied(&denial),
        Decision::NeedsOwner(owned) => depends(&owned),
        // Not with a body that is out of reach.
        Decision::NeedsBody(_) => denied(&Denial::BodyNotValid("it is not given here".to_owned())),
    }
}

fn allowed(allowed: &Allowed<'_>) -> Verdict {
    let Allowed { route, agent, path_and_query, dropped_query, .. } = allowed;
    let mut lines = vec![match agent {
        Some(agent) => format!("allowed: `{}` for `{}`", route.needs.as_str(), agent.as_str()),
        None => "allowed to any token".to_owned(),
    }];
    lines.push(format!("the agent server gets: {} {path_and_query}", route.method.as_str()));
    if !dropped_query.is_empty() {
        let keys: Vec<_> = dropped_query.iter().map(|key| quote(key)).collect();
        lines.push(format!("query keys that are dropped: {}", keys.join(", ")));
    }
    if !route.also.is_empty() {
        lines.push(format!("the gateway also: {}", route.also));
    }
    Verdict {
        yes: true,
        lines,
        json: json!({
            "active": true, "allowed": true, "agent": agent, "access": route.needs.as_str(),
            "method": route.method, "route": route.template, "sent": path_and_query,
            "dropped": dropped_query, "also": route.also,
        }),
    }
}

fn denied(denial: &Denial) -> Verdict {
    Verdict {
        yes: false,
        lines: vec![format!("denied: {denial} ({})", denial.code())],
        json: json!({"active": true, "allowed": false, "reason": denial.code(), "detail": denial.to_string()}),
    }
}

/// Only the agent server knows; the gateway asks it.
fn depends(owned: &Owned) -> Verdict {
    let (Owned::Conversation(id) | Owned::Run(id)) = owned;
    let detail =
        format!("it depends on whose `{id}` is, which the agent server knows; `--owner` says it here");
    Verdict {
        yes: false,
        json: json!({"active": true, "allowed": null, "reason": "owner_unknown", "detail": detail}),
        lines: vec![detail],
    }
}
