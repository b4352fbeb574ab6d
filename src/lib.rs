//! Hallpass issues client-side access tokens, says whether they are good, and lets them pass to an agent
//! server as far as they go.
//!
//! From the bottom up, each module knowing only those before it:
//!
//! - [`clock`]: time as a value.
//! - [`metrics`]: counters and distributions, and the text in which Prometheus reads them.
//! - [`limits`]: how often each of many may do something in a minute.
//! - [`units`]: durations and sizes as people write them.
//! - [`token`]: what a token says, and what a request for one may say; pure.
//! - [`keys`]: signing keys and their encryption at rest, the master key, API keys.
//! - [`access`]: what a token may do at the agent server: the decision and the permission table; pure.
//! - [`store`]: where records live: the seam, the group-commit writer, SQLite, PostgreSQL.
//! - [`app`]: what can be done with tokens and keys; shared by HTTP and the command line.
//! - [`web`]: what both HTTP interfaces have in common: errors and request ids.
//! - [`api`]: the HTTP interface of our own.
//! - [`gateway`]: the agent server behind us, and what other proxies ask.
//! - [`config`]: every setting, its default and where it may come from.
//! - [`telemetry`]: where logs go, and in which form.
//! - [`server`]: accepting connections, the server's own duties, stopping.
//! - [`dev`]: what `hallpass dev` puts around the server: a played agent server, a clock, faults, a log.
//! - [`cli`]: the commands; the one place that wires the parts together.

#![warn(unreachable_pub)]

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod gateway;
pub mod keys;
pub mod limits;
pub mod metrics;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod units;
pub mod web;
