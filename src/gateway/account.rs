//! What became of a request, for who serves the gateway within a program of their own.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::Method;

use crate::token::{AgentId, TokenId};

/// What became of a request: an extension of its response, if the settings ask for it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The row of the permission table, or `gateway`.
    pub route: Arc<str>,
    /// The token's id, if a genuine one was shown.
    pub token_id: Option<TokenId>,
    /// What the agent server was sent, if it was asked.
    pub sent: Option<Sent>,
}

/// A request as the agent server got it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The agent that it concerns, if the row knows.
    pub agent: Option<AgentId>,
    pub method: Method,
    /// The path with the query.
    pub target: String,
    /// `None` if the body passed unread.
    pub body: Option<Bytes>,
}
