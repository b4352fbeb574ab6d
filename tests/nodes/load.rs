//! Clients that mint, list and delete on whatever server there is, and hold each answer to the rules.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Answer, Client};
use crate::lag::PROMISED;
use crate::ledger::{Shared, id_of};

const CLIENTS: usize = 6;

/// Longest time for any answer, whatever happens.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);

/// The servers that there are, as a load balancer knows them.
#[derive(Default)]
pub(crate) struct Roster(Mutex<State>);

#[derive(Default)]
struct State {
    seats: Vec<Option<(SocketAddr, Instant)>>,
    /// Since when every server reaches the database; nothing, while one may not.
    calm: Option<Instant>,
    /// Moves with everything that happens to servers or to the database.
    events: u64,
}

impl Roster {
    pub(crate) fn join(&self, seat: usize, address: SocketAddr) {
        let mut state = self.0.lock().unwrap();
        let seats = state.seats.len().max(seat + 1);
        state.seats.resize(seats, None);
        state.seats[seat] = Some((address, Instant::now()));
        state.events += 1;
    }

    pub(crate) fn leave(&self, seat: usize) {
        let mut state = self.0.lock().unwrap();
        state.seats[seat] = None;
        state.events += 1;
    }

    /// From now on a server may not reach the database.
    pub(crate) fn disturb(&self) {
        let mut state = self.0.lock().unwrap();
        state.calm = None;
        state.events += 1;
    }

    /// From now on every server does.
    pub(crate) fn settle(&self) {
        self.0.lock().unwrap().calm = Some(Instant::now());
    }

    fn pick(&self, random: &mut Random) -> Option<SocketAddr> {
        let state = self.0.lock().unwrap();
        state.seats[random.below(state.seats.len())].map(|(address, _)| address)
    }

    /// A server that has reached the database for so long, and the count of events.
    fn pick_settled(&self, random: &mut Random, time: Duration) -> Option<(SocketAddr, u64)> {
        let state = self.0.lock().unwrap();
        let (address, since) = state.seats[random.below(state.seats.len())]?;
        let settled = state.calm.is_some_and(|calm| calm.elapsed() > time && since.elapsed() > time);
        settled.then_some((address, state.events))
    }

    fn events(&self) -> u64 {
        self.0.lock().unwrap().events
    }
}

pub(crate) struct Load {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(roster: &Arc<Roster>, ledger: &Shared) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = |seed: usize| {
            let (roster, ledger, over) = (roster.clone(), ledger.clone(), over.clone());
            std::thread::spawn(move || {
                let mut worker = Worker { roster, ledger, random: Random::new(seed), own: Vec::new() };
                while !over.load(Ordering::Relaxed) {
                    if seed == 0 {
                        worker.ask_for_a_deleted_token();
                    } else {
                        worker.use_a_server();
                    }
                }
            })
        };
        let threads = (0..=CLIENTS).map(thread).collect();
        Self { over, threads }
    }

    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

struct Worker {
    roster: Arc<Roster>,
    ledger: Shared,
    random: Random,
    /// Tokens that were handed to this client.
    own: Vec<String>,
}

impl Worker {
    /// A few requests on one connection, until one is refused: another server may take the next.
    fn use_a_server(&mut self) {
        let Some(address) = self.roster.pick(&mut self.random) else {
            return std::thread::yield_now();
        };
        let mut client = Client::new(address);
        for _ in 0..=self.random.below(8) {
            match self.use_once(&mut client) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    self.ledger.lock().unwrap().broken += 1;
                    return;
                }
            }
        }
    }

    /// Whether the answer was the one that is hoped for.
    fn use_once(&mut self, client: &mut Client) -> io::Result<bool> {
        Ok(match self.random.below(10) {
            0 => {
                let answer = self.timed(|| client.get("/v1/client-side-access-tokens?limit=5"))?;
                self.judge("listing", &answer, 200)
            }
            1..=3 if !self.own.is_empty() => {
                let token = self.own.swap_remove(self.random.below(self.own.len()));
                let mut ledger = self.ledger.lock().unwrap();
                ledger.minted.remove(&token);
                ledger.in_doubt.insert(token.clone());
                drop(ledger);
                let answer = self.timed(|| client.delete(&token))?;
                let deleted = self.judge("deleting", &answer, 204);
                if deleted {
                    let mut ledger = self.ledger.lock().unwrap();
                    ledger.in_doubt.remove(&token);
                    ledger.deleted.push((token, Instant::now()));
                }
                deleted
            }
            _ => {
                let answer = self.timed(|| client.mint())?;
                let issued = self.judge("issuing", &answer, 201);
                if issued {
                    let token = answer.json()["token"].as_str().unwrap().to_owned();
                    self.ledger.lock().unwrap().minted.insert(token.clone());
                    self.own.push(token);
                }
                issued
            }
        })
    }

    /// Sends a request; its answer, or the end of its connection, must come in time.
    fn timed(&self, request: impl FnOnce() -> io::Result<Answer>) -> io::Result<Answer> {
        let began = Instant::now();
        let answer = request();
        if began.elapsed() > LONGEST_ANSWER {
            let what = format!("answered after {:.1?}: {answer:?}", began.elapsed());
            self.ledger.lock().unwrap().unexpected.push(what);
        }
        answer
    }

    /// Whether it is the answer that is hoped for. The only other one is 503.
    fn judge(&self, what: &str, answer: &Answer, good: u16) -> bool {
        if answer.status != good {
            let mut ledger = self.ledger.lock().unwrap();
            if answer.status == 503 {
                ledger.unavailable += 1;
            } else {
                ledger.unexpected.push(format!("{what}: {}: {}", answer.status, answer.body));
            }
        }
        answer.status == good
    }

    /// A server that has been up for as long as it takes to hear of a deletion must refuse the token.
    fn ask_for_a_deleted_token(&mut self) {
        let Some((token, deleted)) = self.told_token() else { return std::thread::yield_now() };
        let Some((address, events)) = self.roster.pick_settled(&mut self.random, PROMISED) else {
            return std::thread::yield_now();
        };
        let elapsed = deleted.elapsed();
        let Ok(answer) = Client::new(address).introspect(&token) else { return };
        // Something happened meanwhile: the server owes nothing.
        if self.roster.events() != events {
            return;
        }
        let mut ledger = self.ledger.lock().unwrap();
        if answer.status == 200 && answer.json()["active"] == false {
            ledger.refused += 1;
        } else {
            let what = format!("{} was deleted {elapsed:?} ago on {address}", id_of(&token));
            ledger.unexpected.push(format!("{what}: {}: {}", answer.status, answer.body));
        }
    }

    /// A token that every server must have heard of, mostly one of the last.
    fn told_token(&mut self) -> Option<(String, Instant)> {
        let ledger = self.ledger.lock().unwrap();
        let told = ledger.deleted.partition_point(|(_, at)| at.elapsed() > PROMISED);
        let among = if self.random.below(4) == 0 { told } else { told.min(20) };
        let back = (among > 0).then(|| self.random.below(among) + 1)?;
        ledger.deleted.get(told - back).cloned()
    }
}

/// Xorshift: the same choices in each run, as far as the answers are the same.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ ((seed as u64) << 17))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
