//! The decision: may this token do this, and what exactly does the agent server get?

mod grants;
mod query;

use serde_json::Value;

use super::target::written;
use super::{AgentPlace, BodyRefusal, BodyRule, Denial, Method, Needs, Provenance, Route, Table, Target};
use crate::clock::Timestamp;
use crate::keys::Verified;
use crate::token::{AgentId, is_expired};

/// A request, as far as a decision needs it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its signature, issuer and audience are good, and it isn't revoked.
    pub token: &'a Verified,
    pub method: &'a str,
    pub target: &'a Target<'a>,
    pub provenance: Provenance<'a>,
    pub body: RequestBody,
    /// Who owns what the target names, if that was looked up.
    pub owner: Option<Owner>,
    pub now: Timestamp,
}

/// A request's body, as far as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestBody {
    Unread,
    /// It passes by another way, where nobody reads it.
    OutOfReach,
    /// By [`super::parse_json`]; `None` if there is none.
    Read(Option<Value>),
}

/// A thing whose agent only the agent server knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owned {
    Conversation(String),
    Run(String),
}

/// What the agent server said of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Agent(AgentId),
    /// There is no such thing.
    Absent,
}

/// What is to be done.
#[derive(Debug)]
pub enum Decision<'t> {
    Allow(Allowed<'t>),
    Deny(Denial),
    /// Look up the owner and ask again.
    NeedsOwner(Owned),
    /// All else is fine: read the body and ask again.
    NeedsBody(&'t Route),
}

/// An allowed request, as the agent server gets it.
#[derive(Debug)]
pub struct Allowed<'t> {
    pub route: &'t Route,
    /// The agent that it concerns, if any.
    pub agent: Option<AgentId>,
    /// Written anew from what was read.
    pub path_and_query: String,
    pub body: UpstreamBody,
    /// Query keys that the row doesn't name: dropped by who can, a reason to refuse for who can't.
    pub dropped_query: Vec<String>,
}

/// The body for the agent server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamBody {
    Nothing,
    /// JSON.
    Json(Vec<u8>),
    AsSent,
}

/// Decides. Nothing is allowed that isn't in the table and, where the row concerns an agent, granted
/// for that agent.
pub fn decide<'t>(table: &'t Table, request: Request<'_>) -> Decision<'t> {
    match judge(table, request) {
        Ok(allowed) => Decision::Allow(allowed),
        Err(other) => other,
    }
}

impl From<Denial> for Decision<'_> {
    fn from(denial: Denial) -> Self {
        Decision::Deny(denial)
    }
}

/// What is checked first is what a denial tells: the cheap before the costly, and nothing of an
/// agent to whom it isn't granted.
fn judge<'t>(table: &'t Table, request: Request<'_>) -> Result<Allowed<'t>, Decision<'t>> {
    let Request { token, target, .. } = request;
    if is_expired(token.exp, request.now) {
        return Err(Denial::TokenExpired { seconds: request.now.seconds().saturating_sub(token.exp) }.into());
    }
    request.provenance.check(&token.origin, table.require_origin)?;
    let method = Method::named(request.method).ok_or(Denial::RouteNotAllowed)?;
    let (route, pattern) = table.find(method, &target.segments).ok_or(Denial::RouteNotAllowed)?;
    let agent = match route.needs {
        Needs::AnyToken => None,
        Needs::Access(needed) => {
            let granted = match &route.agent {
                AgentPlace::Path => grants::by_path(table.preset, token, needed, pattern, target)?,
                AgentPlace::Query(key) => grants::by_query(table.preset, token, needed, key, target)?,
                AgentPlace::Owner => grants::by_owner(token, needed, pattern, target, request.owner)?,
                // No such row is ever made; if one were, it would be closed.
                AgentPlace::Nowhere => return Err(Denial::RouteNotAllowed.into()),
            };
            Some(granted.clone())
        }
    };
    let query = query::choose(route, target)?;
    let body = body_for(route, request.body)?;
    let path_and_query = written(&target.segments, pattern.slash, query.passed.into_iter());
    Ok(Allowed { route, agent, path_and_query, body, dropped_query: query.dropped })
}

fn body_for<'t>(route: &'t Route, body: RequestBody) -> Result<UpstreamBody, Decision<'t>> {
    if route.method == Method::Get || route.body == BodyRule::Nothing {
        return Ok(UpstreamBody::Nothing);
    }
    if !route.body.reads() {
        return Ok(UpstreamBody::AsSent);
    }
    let body = match body {
        RequestBody::Unread => return Err(Decision::NeedsBody(route)),
        RequestBody::OutOfReach => return Ok(UpstreamBody::AsSent),
        RequestBody::Read(None) => {
            return Err(Denial::BodyNotValid("it must be a JSON object, and there is none".to_owned()).into());
        }
        RequestBody::Read(Some(body)) => body,
    };
    match route.body.rewrite(body) {
        Ok(body) => Ok(UpstreamBody::Json(serde_json::to_vec(&body).expect("a value is always JSON"))),
        Err(BodyRefusal::Malformed(problem)) => Err(Denial::BodyNotValid(problem).into()),
        Err(BodyRefusal::Field { field, rule }) => Err(Denial::FieldNotAllowed { field, rule }.into()),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
