//! The real router in process, on a fresh database, at a time that the test decides.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod create;
mod delete;
mod hygiene;
mod idle;
mod list;
mod metrics;
mod standards;
