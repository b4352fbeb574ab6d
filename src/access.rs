//! What a client token may do at the agent server: one decision function and the permission table
//! that it reads. Pure: no HTTP, no I/O, no clock; what was looked up is passed in.

mod answer;
mod body;
mod decide;
mod denial;
mod json;
mod letta;
mod origin;
mod table;
mod target;
#[cfg(test)]
pub(crate) mod testing;

pub use answer::AnswerRule;
pub use body::{BodyRefusal, BodyRule};
pub use decide::{Allowed, Decision, Owned, Owner, Request, RequestBody, UpstreamBody, decide};
pub use denial::{Class, Denial};
pub use json::{JsonError, parse as parse_json};
pub use origin::{OriginHeader, Provenance};
pub use table::{
    AgentPlace, Method, Needs, Preset, QueryKey, Route, RouteChange, Settings, Table, TableError,
};
pub use target::{BadTarget, Target};
