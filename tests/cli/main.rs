//! The command line: the real binary in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_keys;
mod configuration;
mod db;
mod dev;
mod help;
mod metrics;
mod postgres;
mod projects;
mod routes;
mod serving;
mod signing_keys;
mod tokens;
mod workspace;
