//! What both HTTP interfaces, ours and the gateway's, have in common: errors, the id of a request, what
//! becomes of a body that nobody read, and what neither takes.

pub(crate) mod drain;
mod kind;
mod problem;
mod request_id;

use axum::http::HeaderMap;
use axum::http::header::HOST;

pub use kind::Kind;
pub use problem::Problem;
pub(crate) use problem::{ProblemBody, Why, from_panic};
pub(crate) use request_id::{REQUEST_ID, request_id};

/// Whether a request leaves open who is meant (RFC 9112, section 3.2): it would depend on which of its `Host`s a proxy
/// in front has looked at.
pub(crate) fn has_several_hosts(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().nth(1).is_some()
}
