//! Another process holds the database's write lock.

use std::time::{Duration, Instant};

use crate::database::Foreign;
use crate::home::Home;
use crate::http::Client;
use crate::until;

/// How long the server waits for a lock; its writes are refused after that.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_write_waits_for_a_lock_that_is_held_for_a_moment() {
    let home = Home::new();
    let server = home.serve();
    let held_for = Duration::from_secs(1);
    let mut other = Foreign::open(&home.database());
    other.execute("BEGIN IMMEDIATE");

    let began = Instant::now();
    let address = server.address();
    let mint = std::thread::spawn(move || Client::new(address).mint().unwrap());
    std::thread::sleep(held_for);
    assert!(!mint.is_finished(), "the write waits");
    other.execute("ROLLBACK");

    let answer = mint.join().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(began.elapsed() >= held_for);
    assert!(server.is_active(answer.json()["token"].as_str().unwrap()));
    assert!(server.is_ready());
    assert_eq!(server.count_logged("the database takes no writes"), 0, "{}", server.text());
}

#[test]
fn a_lock_that_is_held_for_long_refuses_writes_until_it_is_let_go() {
    let home = Home::new();
    let server = home.serve();
    let before = server.mint();
    let mut other = Foreign::open(&home.database());
    other.execute("BEGIN IMMEDIATE");

    let address = server.address();
    let began = Instant::now();
    let mints: Vec<_> =
        (0..3).map(|_| std::thread::spawn(move || Client::new(address).mint().unwrap())).collect();
    // Reads don't wait for the writer.
    assert!(server.is_active(&before));
    assert_eq!(Client::new(address).list("active").unwrap().unwrap(), [before.as_str()]);
    assert!(began.elapsed() < PATIENCE);
    for mint in mints {
        mint.join().unwrap().assert_unavailable();
    }
    assert!(began.elapsed() >= PATIENCE, "not refused before it waited");
    let readiness = server.get("/readyz");
    readiness.assert_unavailable();
    assert!(readiness.body.contains("the database takes no writes"), "{}", readiness.body);
    assert_eq!(server.logged("the database takes no writes")["level"], "ERROR");

    other.execute("ROLLBACK");
    until("readiness", PATIENCE + Duration::from_secs(3), || server.is_ready());
    let after = server.mint();
    assert_eq!(Client::new(address).list("all").unwrap().unwrap(), [after, before]);
    assert_eq!(server.count_logged("takes writes again"), 1, "{}", server.text());
    server.stop();
}

/// Orchestrators kill after ten seconds, lock or no lock.
#[test]
fn a_stop_while_the_lock_is_held_is_in_time() {
    let home = Home::new();
    // A key of the database, so that its last use is to be written down.
    let key = home.run(&["api-key", "create", "--name", "backend"]);
    let key = key["key"].as_str().unwrap().to_owned();
    let server = home.serve();
    let before = server.mint();
    let mut other = Foreign::open(&home.database());
    other.execute("BEGIN IMMEDIATE");

    let mut client = Client::new(server.address()).with_key(&key);
    client.begin_mint().unwrap();
    let told = Instant::now();
    server.signal("TERM");
    server.logged("stopping");
    client.finish_mint().unwrap().assert_unavailable();
    server.ends_well();
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());

    other.close();
    let restarted = home.serve();
    assert_eq!(Client::new(restarted.address()).list("all").unwrap().unwrap(), [before]);
}
