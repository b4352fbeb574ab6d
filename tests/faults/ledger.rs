//! What clients were told, to hold a server to it.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::http::Client;
use crate::server::Server;

/// Everything acknowledged so far.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    /// Tokens answered with 201, and not being deleted.
    pub(crate) minted: HashSet<String>,
    /// Tokens whose deletion was answered with 204.
    pub(crate) deleted: HashSet<String>,
    /// Tokens whose deletion was asked for and not answered: it may have happened or not.
    in_doubt: HashSet<String>,
    /// Answers that no client should get.
    unexpected: Vec<String>,
}

pub(crate) type Shared = Arc<Mutex<Ledger>>;

impl Ledger {
    /// The server must know every token that was handed out, as what it is.
    pub(crate) fn assert_kept_by(&self, server: &Server) {
        assert_eq!(self.unexpected, [] as [&str; 0]);
        let mut client = Client::new(server.address());
        let mut listed = |status| client.list(status).unwrap().unwrap();
        let active: HashSet<_> = listed("active").into_iter().collect();
        // What isn't live is listed by its id.
        let revoked: HashSet<_> = listed("revoked").into_iter().collect();

        let lost: Vec<_> = self.minted.difference(&active).map(|token| id_of(token)).collect();
        assert!(lost.is_empty(), "{} of {} tokens are lost: {lost:?}", lost.len(), self.minted.len());
        for token in &self.deleted {
            assert!(!active.contains(token), "{} was deleted and is active", id_of(token));
            assert!(revoked.contains(&id_of(token)), "{} was deleted and is lost", id_of(token));
        }
        for token in &self.in_doubt {
            assert!(
                active.contains(token) != revoked.contains(&id_of(token)),
                "{} is neither active nor revoked",
                id_of(token)
            );
        }
        for token in self.minted.iter().take(5) {
            assert!(server.is_active(token));
        }
        for token in self.deleted.iter().take(5) {
            assert!(!server.is_active(token));
        }
    }
}

/// Clients that mint tokens and delete every third, until their connections end.
pub(crate) fn load(address: SocketAddr, clients: usize, ledger: &Shared) -> Vec<JoinHandle<()>> {
    (0..clients)
        .map(|_| {
            let ledger = ledger.clone();
            std::thread::spawn(move || {
                // An error is the end that the test makes.
                let _ = use_tokens(&mut Client::new(address), &ledger);
            })
        })
        .collect()
}

fn use_tokens(client: &mut Client, ledger: &Shared) -> io::Result<()> {
    for turn in 1.. {
        let answer = client.mint()?;
        if answer.status != 201 {
            ledger.lock().unwrap().unexpected.push(format!("{}: {}", answer.status, answer.body));
            return Ok(());
        }
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        if turn % 3 != 0 {
            ledger.lock().unwrap().minted.insert(token);
            continue;
        }
        ledger.lock().unwrap().in_doubt.insert(token.clone());
        let answer = client.delete(&token)?;
        let mut ledger = ledger.lock().unwrap();
        if answer.status != 204 {
            ledger.unexpected.push(format!("{}: {}", answer.status, answer.body));
            return Ok(());
        }
        ledger.in_doubt.remove(&token);
        ledger.deleted.insert(token);
    }
    Ok(())
}

/// The `jti` of a token.
pub(crate) fn id_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}
