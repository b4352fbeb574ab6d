//! The gateway and forward-auth as the wire sees them: the real binary between raw TCP clients, which send
//! exact bytes, and an agent server of the tests' own, which records the exact bytes that it gets.
//!
//! On every denial the tests also assert that the agent server was left alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allowed;
mod answer;
#[path = "../nodes/cluster.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod cluster;
mod confusion;
mod cors;
mod denied;
mod faults;
mod forge;
mod forward_auth;
#[path = "../faults/home.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod home;
#[path = "../faults/http.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod http;
mod http2;
mod keys;
mod nodes;
mod owners;
#[path = "../nodes/proxy.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod proxy;
#[path = "../faults/server.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod server;
mod stage;
mod streams;
mod tls;
mod tokens;
mod upstream;
mod wire;

use std::time::{Duration, Instant};

/// Far longer than anything here takes, so that a slow machine fails no test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
#[track_caller]
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
