//! Several servers under load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::Client;
use crate::ledger::Shared;
use crate::load::{Load, Roster};
use crate::server::Server;
use crate::until;

/// Longest time to do a little work, or to be ready again.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    homes: Vec<Home>,
    servers: Vec<Option<Server>>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) ledger: Shared,
    load: Load,
}

impl Fleet {
    /// A server of each home, and clients.
    pub(crate) fn start(homes: Vec<Home>) -> Self {
        let servers: Vec<_> = homes.iter().map(|home| Some(home.serve())).collect();
        let roster = Arc::new(Roster::default());
        for (seat, server) in servers.iter().flatten().enumerate() {
            roster.join(seat, server.address());
        }
        roster.settle();
        let ledger = Shared::default();
        let load = Load::start(&roster, &ledger);
        Self { homes, servers, roster, ledger, load }
    }

    /// Waits until that many more tokens have been issued, and a fifth of that deleted.
    pub(crate) fn work(&self, tokens: usize) {
        let done = || {
            let ledger = self.ledger.lock().unwrap();
            assert_eq!(ledger.unexpected, [] as [&str; 0]);
            let deleted = ledger.deleted.len();
            (ledger.minted.len() + deleted + ledger.in_doubt.len(), deleted)
        };
        let before = done();
        until("work goes on", PATIENCE, || {
            let now = done();
            now.0 >= before.0 + tokens && now.1 >= before.1 + tokens / 5
        });
    }

    /// Lets clients work for so long.
    pub(crate) fn work_for(&self, time: Duration) {
        let began = Instant::now();
        until("the time is over", PATIENCE, || {
            assert_eq!(self.ledger.lock().unwrap().unexpected, [] as [&str; 0]);
            began.elapsed() >= time
        });
    }

    /// Waits until clients are refused.
    pub(crate) fn wait_for_refusals(&self) {
        let before = self.ledger.lock().unwrap().unavailable;
        until("clients are refused", PATIENCE, || self.ledger.lock().unwrap().unavailable > before);
    }

    /// Waits until deleted tokens have been asked for again that often.
    pub(crate) fn wait_for_checks(&self, count: usize) {
        let before = self.ledger.lock().unwrap().refused;
        until("deleted tokens are asked for", PATIENCE, || {
            let ledger = self.ledger.lock().unwrap();
            assert_eq!(ledger.unexpected, [] as [&str; 0]);
            ledger.refused >= before + count
        });
    }

    /// The database is back: waits until every server is, and has heard of a deletion since.
    pub(crate) fn recover(&self) {
        let began = Instant::now();
        let servers: Vec<_> = self.servers.iter().flatten().collect();
        for server in &servers {
            until("readiness", PATIENCE, || server.is_ready());
        }
        let last = servers[servers.len() - 1];
        let token = last.mint();
        assert_eq!(Client::new(last.address()).delete(&token).unwrap().status, 204);
        until("every server hears of a deletion", PATIENCE, || {
            servers.iter().all(|server| !server.is_active(&token))
        });
        println!("recovered after {:.1?}", began.elapsed());
        self.roster.settle();
    }

    pub(crate) fn kill(&mut self, seat: usize) {
        self.roster.leave(seat);
        self.servers[seat].take().unwrap().kill();
    }

    pub(crate) fn stop(&mut self, seat: usize) {
        self.roster.leave(seat);
        self.servers[seat].take().unwrap().stop();
    }

    pub(crate) fn restart(&mut self, seat: usize) {
        let server = self.homes[seat].serve();
        self.roster.join(seat, server.address());
        self.servers[seat] = Some(server);
    }

    /// Ends the load, and holds all servers to what was acknowledged.
    pub(crate) fn assert_nothing_lost(self, cluster: &Cluster) {
        self.wait_for_checks(20);
        self.load.end();
        let ledger = self.ledger.lock().unwrap();
        let servers: Vec<_> = self.servers.iter().flatten().collect();
        assert_eq!(servers.len(), self.homes.len());
        // The last deletion is heard of within its second.
        let (last, _) = ledger.deleted.last().unwrap();
        until("all servers refuse the token deleted last", crate::lag::PROMISED, || {
            servers.iter().all(|server| !server.is_active(last))
        });
        println!(
            "{} tokens, {} deleted, {} in doubt; {} requests refused, {} connections broken, {} checks of deleted tokens",
            ledger.minted.len(),
            ledger.deleted.len(),
            ledger.in_doubt.len(),
            ledger.unavailable,
            ledger.broken,
            ledger.refused
        );
        ledger.assert_kept_by(&mut cluster.session(), &servers);
        for server in servers {
            server.assert_no_panic();
        }
    }
}
