//! What clients were told, to hold the servers to it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::cluster::Session;
use crate::http::Client;
use crate::server::Server;

/// Everything acknowledged so far.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Tokens answered with 201, and not being deleted.
    pub(crate) minted: HashSet<String>,
    /// Tokens whose deletion was answered with 204, and when: in this order.
    pub(crate) deleted: Vec<(String, Instant)>,
    /// Tokens whose deletion was asked for and not acknowledged: it may have happened or not.
    pub(crate) in_doubt: HashSet<String>,
    /// Refusals for now.
    pub(crate) unavailable: usize,
    /// Connections that broke.
    pub(crate) broken: usize,
    /// Times that a server was asked for a deleted token of which it must have heard, and refused it.
    pub(crate) refused: usize,
    /// What no client should see.
    pub(crate) unexpected: Vec<String>,
}

pub(crate) type Shared = Arc<Mutex<Ledger>>;

impl Ledger {
    /// The database and every server must know every token that was handed out, as what it is. Each
    /// server has had its second since the last deletion.
    pub(crate) fn assert_kept_by(&self, session: &mut Session, servers: &[&Server]) {
        assert_eq!(self.unexpected, [] as [&str; 0]);
        let kept: HashSet<_> = session.texts("SELECT jti::text FROM tokens").into_iter().collect();
        let revoked: HashSet<_> = session.texts("SELECT jti::text FROM revocations").into_iter().collect();
        let mut told =
            self.minted.iter().chain(self.deleted_tokens()).chain(&self.in_doubt).map(|token| id_of(token));
        assert_eq!(told.find(|jti| !kept.contains(jti)), None, "acknowledged and lost");
        let mut deleted = self.deleted_tokens().map(|token| id_of(token));
        assert_eq!(deleted.find(|jti| !revoked.contains(jti)), None, "deleted and not revoked");
        let mut live = self.minted.iter().map(|token| id_of(token));
        assert_eq!(live.find(|jti| revoked.contains(jti)), None, "revoked, and nobody asked for it");

        std::thread::scope(|scope| {
            for server in servers {
                scope.spawn(|| self.assert_told_by(server));
            }
        });
    }

    fn deleted_tokens(&self) -> impl Iterator<Item = &String> {
        self.deleted.iter().map(|(token, _)| token)
    }

    fn assert_told_by(&self, server: &Server) {
        let mut client = Client::new(server.address());
        let active: HashSet<_> = client.list("active").unwrap().unwrap().into_iter().collect();
        let lost: Vec<_> = self.minted.difference(&active).map(|token| id_of(token)).collect();
        assert!(lost.is_empty(), "{} of {} tokens are not listed: {lost:?}", lost.len(), self.minted.len());
        for token in self.deleted_tokens() {
            assert!(!active.contains(token), "{} was deleted and is listed as active", id_of(token));
            assert!(!is_active(&mut client, token), "{} was deleted and is honoured", id_of(token));
        }
        for token in self.minted.iter().take(200) {
            assert!(is_active(&mut client, token), "{} is refused", id_of(token));
        }
    }
}

fn is_active(client: &mut Client, token: &str) -> bool {
    let answer = client.introspect(token).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["active"].as_bool().unwrap()
}

/// The `jti` of a token.
pub(crate) fn id_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}
