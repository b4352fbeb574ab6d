//! Killed in the middle of its work.

use std::time::Duration;

use crate::home::Home;
use crate::ledger::{Shared, load};
use crate::until;

const CLIENTS: usize = 6;

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let home = Home::new();
    let ledger = Shared::default();
    for round in 1..=5 {
        let before = ledger.lock().unwrap().clone();
        let server = home.serve();
        let clients = load(server.address(), CLIENTS, &ledger);
        // Each round goes on for longer, so that kills meet the log in different states.
        until("enough answers", Duration::from_secs(20), || {
            let now = ledger.lock().unwrap();
            now.minted.len() >= before.minted.len() + 100 * round
                && now.deleted.len() >= before.deleted.len() + 20 * round
        });
        server.kill();
        for client in clients {
            client.join().unwrap();
        }

        let told = ledger.lock().unwrap().clone();
        assert!(told.minted.len() > before.minted.len() && told.deleted.len() > before.deleted.len());
        let restarted = home.serve();
        told.assert_kept_by(&restarted);
        restarted.mint();
        restarted.stop();
    }
}
