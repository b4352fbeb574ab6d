//! Refusals as problems: what a holder of a genuine token learns, and what a stranger does.

use axum::http::HeaderValue;

use crate::access::{Class, Denial};
use crate::app::TokenError;
use crate::token::Access;
use crate::web::{Kind, Problem, Why};

/// Whoever shows no token at all is told what is wanted (RFC 6750, section 3.1: no error code).
pub(super) fn missing() -> Problem {
    let detail = "no token was sent; send `Authorization: Bearer <token>`, a client-side access token";
    because(Kind::InvalidToken, detail, "token_missing").challenge(HeaderValue::from_static("Bearer"))
}

/// One text for all that isn't a genuine token: what was close is nobody's business.
pub(super) fn invalid() -> Problem {
    let detail = "the token is not valid here: ask your backend for another";
    because(Kind::InvalidToken, detail, "invalid_token")
}

/// An API key that was good when its request began.
fn key_revoked() -> Problem {
    because(Kind::InvalidToken, "the API key was revoked: use another", "key_revoked")
}

/// A problem with a stable reason and nothing more.
pub(super) fn because(kind: Kind, detail: impl Into<String>, reason: &'static str) -> Problem {
    Problem::new(kind, detail).because(Why { reason, ..Why::default() })
}

pub(super) fn token(error: TokenError) -> Problem {
    match error {
        TokenError::Invalid => invalid(),
        TokenError::Expired { seconds } => denied(Denial::TokenExpired { seconds }),
        TokenError::Revoked => denied(Denial::TokenRevoked),
        TokenError::KeyRevoked => key_revoked(),
        TokenError::Store(error) => error.into(),
    }
}

pub(super) fn denied(denial: Denial) -> Problem {
    let kind = match denial.class() {
        Class::Malformed => Kind::InvalidRequest,
        Class::Unauthenticated => Kind::InvalidToken,
        Class::Forbidden => Kind::Forbidden,
    };
    let mut problem = Problem::new(kind, denial.to_string());
    let mut why = Why { reason: denial.code(), ..Why::default() };
    match denial {
        Denial::TokenExpired { seconds } => why.expired_seconds = Some(seconds),
        Denial::OriginMissing { expected } | Denial::OriginMismatch { expected } => {
            why.expected_origin = Some(expected.into());
        }
        Denial::AccessMissing { needed } => {
            why.needed_access = Some(needed.as_str());
            problem = problem.challenge(insufficient_scope(Some(needed)));
        }
        Denial::QueryNotValid { key: field, .. } | Denial::FieldNotAllowed { field, .. } => {
            why.field = Some(field);
        }
        Denial::AgentNotGranted | Denial::NotGranted => {
            problem = problem.challenge(insufficient_scope(None));
        }
        Denial::TokenRevoked
        | Denial::RouteNotAllowed
        | Denial::IdNotValid(_)
        | Denial::TargetNotValid(_)
        | Denial::BodyNotValid(_) => {}
    }
    problem.because(why)
}

/// Why an open answer ends. When nobody knows any more whether the token is good, that has a reason of
/// its own.
pub(super) fn ending(error: &TokenError) -> Problem {
    match error {
        TokenError::Invalid => invalid(),
        TokenError::Expired { seconds } => denied(Denial::TokenExpired { seconds: *seconds }),
        TokenError::Revoked => denied(Denial::TokenRevoked),
        TokenError::KeyRevoked => key_revoked(),
        TokenError::Store(_) => because(
            Kind::Unavailable,
            "the server can't say any more whether the token is good; see what the agent has said, and go on from there",
            "stale",
        ),
    }
}

/// What a token with more access would cure (RFC 6750, section 3.1).
fn insufficient_scope(needed: Option<Access>) -> HeaderValue {
    HeaderValue::from_static(match needed {
        None => "Bearer error=\"insufficient_scope\"",
        Some(Access::ReadMessages) => "Bearer error=\"insufficient_scope\", scope=\"read_messages\"",
        Some(Access::WriteMessages) => "Bearer error=\"insufficient_scope\", scope=\"write_messages\"",
        Some(Access::ReadAgent) => "Bearer error=\"insufficient_scope\", scope=\"read_agent\"",
        Some(Access::WriteAgent) => "Bearer error=\"insufficient_scope\", scope=\"write_agent\"",
    })
}
