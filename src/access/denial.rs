//! Why a request is refused: a stable code for programs, a text for people.

use crate::token::{Access, Origin};

/// Who is at fault, which is what a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request can't be read.
    Malformed,
    /// The token is no longer good.
    Unauthenticated,
    /// The token is good, and doesn't allow this.
    Forbidden,
}

/// Why a genuine token doesn't get what it asks for. Nobody but the holder of one is told this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("the token expired {seconds} s ago; ask your backend for another")]
    TokenExpired { seconds: i64 },
    #[error("the token was revoked; ask your backend for another")]
    TokenRevoked,
    #[error(
        "the request has no `Origin`, and the token is for `{expected}`: a client that is no browser sends this origin itself"
    )]
    OriginMissing { expected: Origin },
    #[error(
        "the token is for `{expected}`, and the request comes from elsewhere: its `Origin` is another, or without one the name by which it reached this server is"
    )]
    OriginMismatch { expected: Origin },
    #[error("no client token may do this; `hallpass routes` lists what they may")]
    RouteNotAllowed,
    #[error("{0}")]
    IdNotValid(String),
    #[error("the token grants nothing for this agent")]
    AgentNotGranted,
    #[error("this needs `{needed}`, which the token doesn't grant for this agent")]
    AccessMissing { needed: Access },
    /// A conversation or run that is absent or another agent's: which of them is nobody's business.
    #[error("the token grants no access to this, or it doesn't exist")]
    NotGranted,
    #[error("{0}")]
    TargetNotValid(String),
    #[error("query `{key}`: {rule}")]
    QueryNotValid { key: String, rule: String },
    #[error("the body is not valid: {0}")]
    BodyNotValid(String),
    #[error("`{field}` {rule}")]
    FieldNotAllowed { field: String, rule: String },
}

impl Denial {
    /// The stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Denial::TokenExpired { .. } => "token_expired",
            Denial::TokenRevoked => "token_revoked",
            Denial::OriginMissing { .. } => "origin_missing",
            Denial::OriginMismatch { .. } => "origin_mismatch",
            Denial::RouteNotAllowed => "route_not_allowed",
            Denial::IdNotValid(_) => "id_not_valid",
            Denial::AgentNotGranted => "agent_not_granted",
            Denial::AccessMissing { .. } => "access_missing",
            Denial::NotGranted => "not_granted",
            Denial::TargetNotValid(_) => "target_not_valid",
            Denial::QueryNotValid { .. } => "query_not_valid",
            Denial::BodyNotValid(_) => "body_not_valid",
            Denial::FieldNotAllowed { .. } => "field_not_allowed",
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Denial::TokenExpired { .. } | Denial::TokenRevoked => Class::Unauthenticated,
            Denial::TargetNotValid(_) | Denial::QueryNotValid { .. } | Denial::BodyNotValid(_) => {
                Class::Malformed
            }
            Denial::OriginMissing { .. }
            | Denial::OriginMismatch { .. }
            | Denial::RouteNotAllowed
            | Denial::IdNotValid(_)
            | Denial::AgentNotGranted
            | Denial::AccessMissing { .. }
            | Denial::NotGranted
            | Denial::FieldNotAllowed { .. } => Class::Forbidden,
        }
    }
}
