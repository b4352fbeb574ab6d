//! Several servers on one PostgreSQL: killed, restarted, cut off, rotated under load.
//!
//! Each test starts a PostgreSQL of its own and real servers on it. Whatever happens to either, what was
//! acknowledged must stay, and what was deleted must be refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chaos;
mod cluster;
mod crash;
mod cursor;
mod fleet;
mod home;
#[path = "../faults/http.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod http;
mod lag;
mod ledger;
mod load;
mod pooled;
mod pooler;
mod proxied;
mod proxy;
mod rotation;
#[path = "../faults/server.rs"]
mod server;
mod start;
mod tls;
mod unreachable;

use std::time::{Duration, Instant};

/// Waits until the condition holds.
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
