//! The decision: may this token do this, and what exactly does the agent server get?

use serde_json::Value;

use super::{Denial, Provenance, Route, Table, Target};
use crate::clock::Timestamp;
use crate::keys::Verified;
use crate::token::AgentId;

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
    NeedsBody,
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
pub fn decide<'t>(_table: &'t Table, _request: Request<'_>) -> Decision<'t> {
    Decision::Deny(Denial::RouteNotAllowed)
}
