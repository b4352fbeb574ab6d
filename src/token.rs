//! The client-side access token: what a request for one may say, what its claims are, and when it
//! is over. Pure: no HTTP, no SQL, no clock; the time is passed in.

mod claims;
mod expiry;
mod hostname;
mod jti;
mod policy;
mod quote;
mod request;

pub use claims::{Claims, POLICY_VERSION, PolicyClaim, UnverifiedClaims, unverified_id};
pub use expiry::{EXPIRY_LEEWAY, Expiry, SKEW_AHEAD, is_expired, live_from, parse_time, retained_from};
pub use hostname::{Hostname, Origin};
pub use jti::TokenId;
pub use policy::{Access, AgentId, Grant, Policy};
pub use quote::{looks_secret, quote};
pub use request::{FieldError, Limits, TokenRequest};
