//! The server under fault: killed, stopped, its disk full, its database locked, damaged or foreign.
//!
//! Each test runs the real binary in a folder of its own. What was acknowledged must be there
//! afterwards, what can't be done must be refused and said clearly, and nothing may panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod crash;
mod database;
mod full_disk;
mod home;
mod http;
mod ledger;
mod locked;
mod refusals;
mod server;
mod stop;

use std::time::{Duration, Instant};

/// Waits until the condition holds.
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
