//! Told to stop.

use std::time::Duration;

use crate::home::Home;
use crate::http::Client;
use crate::ledger::{Shared, load};
use crate::until;

fn stops_well_under_load(signal: &str) {
    let home = Home::new();
    let ledger = Shared::default();
    let server = home.serve();
    let clients = load(server.address(), 6, &ledger);
    until("enough answers", Duration::from_secs(20), || {
        let now = ledger.lock().unwrap();
        now.minted.len() >= 200 && now.deleted.len() >= 50
    });
    server.signal(signal);
    server.ends_well();
    for client in clients {
        client.join().unwrap();
    }

    let restarted = home.serve();
    ledger.lock().unwrap().assert_kept_by(&restarted);
}

#[test]
fn sigterm_under_load_ends_with_0_in_time_and_loses_nothing() {
    stops_well_under_load("TERM");
}

#[test]
fn sigint_under_load_ends_with_0_in_time_and_loses_nothing() {
    stops_well_under_load("INT");
}

#[test]
fn a_request_under_way_is_answered_and_a_new_one_is_not_accepted() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::new(server.address());
    client.begin_mint().unwrap();
    server.signal("TERM");
    server.logged("stopping");
    assert!(Client::new(server.address()).get("/healthz").is_err(), "nobody listens any more");

    // A slow client, which the server waits for.
    std::thread::sleep(Duration::from_millis(300));
    let answer = client.finish_mint().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    server.ends_well();
    let restarted = home.serve();
    assert!(restarted.is_active(answer.json()["token"].as_str().unwrap()));
}

#[test]
fn connections_without_a_request_do_not_hold_up_the_stop() {
    let home = Home::new();
    let server = home.serve();
    let mut idle = Client::new(server.address());
    assert_eq!(idle.get("/healthz").unwrap().status, 200);
    let _unused = std::net::TcpStream::connect(server.address()).unwrap();
    server.stop();
    assert!(idle.get("/healthz").is_err());
}

#[test]
fn a_clean_stop_leaves_the_database_in_one_file() {
    let home = Home::new();
    let server = home.serve();
    server.mint();
    server.stop();
    assert_eq!(home.files(), ["hallpass.db", "hallpass.db.lock", "hallpass.master-key"]);
}
