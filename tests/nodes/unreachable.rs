//! A database that can't be reached: servers go by what they know, for a while, and come back by themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::{Answer, Client};
use crate::proxy::{Proxy, Weather};
use crate::server::Server;
use crate::until;

const MAX_STALENESS: Duration = Duration::from_secs(2);

/// What a good look may be older than the moment at which the database went away: its period, and the
/// time that a busy machine takes.
const LOOK: Duration = Duration::from_millis(700);

/// Longest time for any answer while the database is away.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);

/// Longest time to come back once the database has.
const COMES_BACK: Duration = Duration::from_secs(10);

#[test]
fn with_the_database_stopped_a_server_goes_by_what_it_knows_and_comes_back() {
    let mut cluster = Cluster::new();
    let server = serve(cluster.url());
    let known = Known::from(&server);
    cluster.stop();
    known.is_told_until_stale(&server);
    cluster.start();
    known.is_told_again(&server);
}

/// Half-open connections: the system goes on acknowledging what is sent, and nobody answers.
#[test]
fn with_the_database_frozen_a_server_goes_by_what_it_knows_and_comes_back() {
    let cluster = Cluster::new();
    let server = serve(cluster.url());
    let known = Known::from(&server);
    cluster.freeze();
    known.is_told_until_stale(&server);
    cluster.thaw();
    known.is_told_again(&server);
}

/// Connections that are dead for good without a word, while new ones work again.
#[test]
fn with_its_connections_forgotten_a_server_goes_by_what_it_knows_and_comes_back() {
    let cluster = Cluster::new();
    let line = Proxy::to(cluster.port());
    let server = serve(Cluster::url_at(line.port()));
    let known = Known::from(&server);
    line.set(Weather::Silent);
    known.is_told_until_stale(&server);
    line.set(Weather::Clear);
    known.is_told_again(&server);
}

fn serve(url: String) -> Server {
    Home::at(url).with("HALLPASS_DATABASE__MAX_STALENESS", "2s").serve()
}

/// Has a server open as many connections to the database as it ever does.
fn open_connections(server: &Server) {
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::new(server.address());
                for _ in 0..5 {
                    client.list("active").unwrap().unwrap();
                    assert_eq!(client.mint().unwrap().status, 201);
                }
            });
        }
    });
}

/// A client that asks again and again; what it was answered, and after how long.
type Asking = JoinHandle<Vec<(Answer, Duration)>>;

/// A token that is good and one that isn't.
struct Known {
    good: String,
    deleted: String,
}

impl Known {
    fn from(server: &Server) -> Self {
        let known = Self { good: server.mint(), deleted: server.mint() };
        assert_eq!(Client::new(server.address()).delete(&known.deleted).unwrap().status, 204);
        assert!(server.is_active(&known.good) && !server.is_active(&known.deleted));
        open_connections(server);
        known
    }

    /// From the moment at which the database went away. Meanwhile, what needs it is refused in time.
    fn is_told_until_stale(&self, server: &Server) {
        let began = Instant::now();
        let over = Arc::new(AtomicBool::new(false));
        let refused = self.ask_for_what_needs_the_database(server.address(), &over);
        let mut client = Client::new(server.address());
        let mut told = 0;
        // Well past the end, since what is stale must stay so.
        while began.elapsed() < 2 * MAX_STALENESS {
            let asked = began.elapsed();
            let answers = [&self.good, &self.deleted].map(|token| client.introspect(token).unwrap());
            let answered = began.elapsed();
            assert!(answered - asked < Duration::from_secs(1), "introspection waits for the database");
            if answered < MAX_STALENESS - LOOK {
                let [good, deleted] = answers.each_ref().map(|answer| (answer.status, answer.body.as_str()));
                assert_eq!(good.0, 200, "after {answered:?}: {}\n{}", good.1, server.text());
                assert_eq!(
                    (answers[0].json()["active"] == true, deleted),
                    (true, (200, r#"{"active":false}"#))
                );
                told += 1;
            } else if asked > MAX_STALENESS {
                answers[0].assert_unavailable();
                assert!(answers[1].status == 503 || answers[1].json()["active"] == false);
            }
        }
        assert!(told > 10, "{told}");
        until("it says so", LONGEST_ANSWER, || server.get("/readyz").status == 503);
        assert_eq!(server.get("/healthz").status, 200);
        over.store(true, Ordering::Relaxed);
        for (what, client) in refused {
            let answers = client.join().unwrap();
            println!(
                "{what}: {} refusals, the slowest after {:.1?}",
                answers.len(),
                answers.iter().map(|a| a.1).max()
            );
            for (answer, elapsed) in answers {
                answer.assert_unavailable();
                assert!(elapsed < LONGEST_ANSWER, "{what} was refused after {elapsed:?}");
            }
        }
        server.assert_no_panic();
    }

    /// Clients that go on until it is over, each with one request at a time.
    fn ask_for_what_needs_the_database(
        &self,
        address: SocketAddr,
        over: &Arc<AtomicBool>,
    ) -> Vec<(&'static str, Asking)> {
        let deletable = self.deleted.clone();
        let ask = |mut request: Box<dyn FnMut(&mut Client) -> Answer + Send>| {
            let over = over.clone();
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut answers = Vec::new();
                while answers.is_empty() || !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    answers.push((request(&mut client), began.elapsed()));
                }
                answers
            })
        };
        vec![
            ("issuing", ask(Box::new(|client| client.mint().unwrap()))),
            ("issuing beside it", ask(Box::new(|client| client.mint().unwrap()))),
            ("deleting", ask(Box::new(move |client| client.delete(&deletable).unwrap()))),
            ("listing", ask(Box::new(|client| client.list("active").unwrap().unwrap_err()))),
        ]
    }

    fn is_told_again(&self, server: &Server) {
        let back = Instant::now();
        let mut client = Client::new(server.address());
        until("introspection", COMES_BACK, || client.introspect(&self.good).unwrap().status == 200);
        println!("introspects again after {:.1?}", back.elapsed());
        assert!(server.is_active(&self.good) && !server.is_active(&self.deleted));
        until("issuing", COMES_BACK, || client.mint().unwrap().status == 201);
        println!("issues again after {:.1?}", back.elapsed());
        until("readiness", COMES_BACK, || server.is_ready());
        println!("is ready again after {:.1?}", back.elapsed());
        until("a list", COMES_BACK, || client.list("active").unwrap().is_ok());
        server.mint();
        server.assert_no_panic();
    }
}
