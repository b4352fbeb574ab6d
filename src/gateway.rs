//! What stands in front of an agent server.

pub mod sse;
