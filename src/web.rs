//! What both HTTP interfaces, ours and the gateway's, have in common: errors, the id of a request, and
//! what becomes of a body that nobody read.

pub(crate) mod drain;
mod kind;
mod problem;
mod request_id;

pub use kind::Kind;
pub use problem::Problem;
pub(crate) use problem::{ProblemBody, Why, from_panic};
pub(crate) use request_id::{REQUEST_ID, request_id};
