//! How long a server goes on taking a token that was deleted on another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::Client;
use crate::until;

/// What is promised.
pub(crate) const PROMISED: Duration = Duration::from_secs(1);

const CLIENTS: usize = 4;

#[test]
fn a_token_deleted_on_one_server_is_refused_by_another_within_a_second() {
    let cluster = Cluster::new();
    let home = Home::of(&cluster);
    let (one, other) = (home.serve(), home.serve());
    let worst = lag(one.address(), other.address(), 200, "LISTEN");
    assert!(worst < PROMISED, "{worst:?}");
}

/// Nobody is told anything, as where a pooler or a broken connection swallows notifications.
#[test]
fn a_deleted_token_is_refused_within_a_second_without_notifications() {
    let cluster = Cluster::new();
    let home = Home::of(&cluster);
    let (one, other) = (home.serve(), home.serve());
    cluster.session().execute("DROP TRIGGER tell_of_revocations ON revocations");
    let worst = lag(one.address(), other.address(), 100, "polling alone");
    assert!(worst < PROMISED, "{worst:?}");
}

#[test]
fn a_server_whose_listening_session_ends_listens_again_and_misses_nothing() {
    let cluster = Cluster::new();
    let home = Home::of(&cluster);
    let (one, other) = (home.serve(), home.serve());
    let mut session = cluster.session();
    let listening = "FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    until("both listen", PROMISED, || session.number(&format!("SELECT count(*) {listening}")) == 2);
    for _ in 0..5 {
        session.execute(&format!("SELECT pg_terminate_backend(pid) {listening}"));
        let worst = lag(one.address(), other.address(), 8, "listeners ended");
        assert!(worst < PROMISED, "{worst:?}");
    }
    for server in [one, other] {
        server.logged("cannot hear of changes");
        server.logged("hears of changes again");
    }
}

/// The longest time, beyond what it asked for, that a sleeping thread was kept from going on: a machine that stands
/// still, or has too much to do, holds up a server as well.
struct Stalls {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<Duration>,
}

impl Stalls {
    fn watch() -> Self {
        const NAP: Duration = Duration::from_millis(5);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watching = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(NAP);
                longest = longest.max(began.elapsed().saturating_sub(NAP));
            }
            longest
        });
        Self { stop, watching }
    }

    fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

/// Deletes so many tokens on one server while asking the other for them; returns the longest time from
/// the answer to the deletion to the first refusal, less the machine's longest stall.
pub(crate) fn lag(one: SocketAddr, other: SocketAddr, count: usize, how: &str) -> Duration {
    let stalls = Stalls::watch();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            std::thread::spawn(move || {
                let (mut one, mut other) = (Client::new(one), Client::new(other));
                (0..count / CLIENTS).map(|_| lag_of_one(&mut one, &mut other)).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut lags: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    lags.sort();
    let [median, p99, worst] = [lags[lags.len() / 2], lags[lags.len() * 99 / 100], lags[lags.len() - 1]];
    let stall = stalls.longest();
    println!(
        "{} deletions, {how}: p50 {median:.1?}, p99 {p99:.1?}, worst {worst:.1?}; longest stall {stall:.1?}",
        lags.len()
    );
    worst.saturating_sub(stall)
}

fn lag_of_one(one: &mut Client, other: &mut Client) -> Duration {
    let answer = one.mint().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert!(is_active(other, &token), "a new token is good everywhere at once");
    let answer = one.delete(&token).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.body);
    let deleted = Instant::now();
    assert!(!is_active(one, &token), "whoever deleted it refuses it at once");
    while is_active(other, &token) {
        assert!(deleted.elapsed() < 10 * PROMISED, "still honoured");
    }
    deleted.elapsed()
}

fn is_active(client: &mut Client, token: &str) -> bool {
    let answer = client.introspect(token).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["active"].as_bool().unwrap()
}
