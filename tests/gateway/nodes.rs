//! Gateways that share a database: what is revoked at one is cut off at the other, and who can't know any more
//! what was revoked lets nobody listen.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::proxy::{Proxy, Weather};
use crate::stage::{AGENT, Stage};
use crate::upstream::Exchange;
use crate::wire::{Ask, Wire};
use crate::{PATIENCE, until};

/// All nodes of a database encrypt their keys under the same one.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What was revoked at one node every other one knows this much later.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

fn node(cluster: &Cluster) -> Stage {
    Stage::with(&[
        ("DATABASE__URL", &cluster.url()),
        ("MASTER_KEY", MASTER_KEY),
        ("DATABASE__MAX_STALENESS", "2s"),
    ])
}

/// A stream whose first event has arrived.
#[track_caller]
fn open(stage: &Stage, token: &str) -> (Wire, Exchange) {
    let body = json!({"messages": [{"role": "user", "content": "hello"}]});
    let mut wire = stage.connect();
    wire.write(&Ask::post(&format!("/v1/agents/{AGENT}/messages/stream"), &body).by(token).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin_events();
    (wire, exchange)
}

/// How a stream goes on to its end: half an event was sent, and something happens.
#[track_caller]
fn problem_at_the_end(wire: &mut Wire, exchange: &mut Exchange, happen: impl FnOnce()) -> (Value, Duration) {
    exchange.chunk(": begun\n\ndata: ha");
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), ": begun");
    happen();
    let began = Instant::now();
    let problem = stream.last_problem();
    (problem, began.elapsed())
}

#[test]
fn deleting_a_token_at_one_node_cuts_its_streams_at_the_other() {
    let cluster = Cluster::new();
    let (here, there) = (node(&cluster), node(&cluster));
    for _ in 0..5 {
        let token = here.token();
        let (mut wire, mut exchange) = open(&there, &token);
        let (problem, took) = problem_at_the_end(&mut wire, &mut exchange, || here.delete(&token));
        assert_eq!(problem["reason"], "token_revoked", "{problem}");
        assert!(took < KNOWN_WITHIN, "cut only after {took:?}");
        exchange.assert_abandoned_within(KNOWN_WITHIN);
    }
}

#[test]
fn who_cannot_know_what_was_revoked_lets_nobody_listen() {
    let cluster = Cluster::new();
    let stage = node(&cluster);
    let token = stage.token();
    let (mut wire, mut exchange) = open(&stage, &token);
    let (problem, took) = problem_at_the_end(&mut wire, &mut exchange, || cluster.freeze());
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("stale"), &json!(503)), "{problem}");
    // What was last known counts from the beginning of a look, and there is one four times a second.
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "after {took:?}");
    exchange.assert_abandoned_within(KNOWN_WITHIN);
    let ask = Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&token);
    stage.upstream.answer_json(&json!([]));
    stage.upstream.forget();
    let refused = stage.ask(&ask);
    refused.problem_of_kind(503, "unavailable");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{refused}");
    stage.upstream.assert_untouched();

    cluster.thaw();
    until("it knows again", PATIENCE, || stage.ask(&ask).status == 200);
}

#[test]
fn who_comes_back_knows_what_was_revoked_meanwhile() {
    let cluster = Cluster::new();
    let line = Proxy::to(cluster.port());
    let here = node(&cluster);
    let url = Cluster::url_at(line.port());
    let there = Stage::with(&[
        ("DATABASE__URL", &url),
        ("MASTER_KEY", MASTER_KEY),
        ("DATABASE__MAX_STALENESS", "10s"),
    ]);
    let token = here.token();
    let (mut wire, mut exchange) = open(&there, &token);
    let (problem, _) = problem_at_the_end(&mut wire, &mut exchange, || {
        line.set(Weather::Down);
        here.delete(&token);
        line.set(Weather::Clear);
    });
    assert_eq!(problem["reason"], "token_revoked", "{problem}");
}
