//! The server's own signing key in the hands of a test: tokens that no endpoint would issue.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass::keys::{KeyRing, MasterKeySource};
use hallpass::store::{KeyStore, SqliteStore};
use hallpass::token::TokenId;
use serde_json::{Value, json};

use crate::stage::{AGENT, ALL, ORIGIN, Stage, now};

/// The issuer of a server that isn't told its address.
pub(crate) const ISSUER: &str = "http://localhost:8284";

pub(crate) struct Forge {
    ring: KeyRing,
}

impl Forge {
    /// Reads the keys of a running server beside it, as commands do.
    pub(crate) fn of(stage: &Stage) -> Self {
        let database = stage.home.database();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(async {
            let store = SqliteStore::open(&database, false).await.unwrap();
            store.signing_keys().await.unwrap()
        });
        let master = MasterKeySource::beside(&database).load(true).unwrap();
        Self { ring: KeyRing::open(&rows, &master, ISSUER, "letta").unwrap() }
    }

    /// What is signed is right in all else.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&claims.to_string())
    }

    /// Signs any text at all.
    pub(crate) fn sign_text(&self, payload: &str) -> String {
        self.ring.active().sign(payload).unwrap()
    }

    /// A token that expires this many seconds from now, or did that long ago.
    pub(crate) fn expiring_in(&self, seconds: i64) -> String {
        let mut claims = claims();
        claims["exp"] = (now().seconds() + seconds).into();
        self.sign(&claims)
    }

    pub(crate) fn kid(&self) -> &str {
        self.ring.active().kid()
    }

    /// The public half of the active key.
    pub(crate) fn public_key(&self) -> Value {
        serde_json::to_value(self.ring.active().jwk()).unwrap()
    }
}

/// Claims that are good now, with everything for [`AGENT`].
pub(crate) fn claims() -> Value {
    let now = now();
    json!({
        "iss": ISSUER, "aud": "letta", "sub": "default", "jti": TokenId::new(now, &[7; 10]).to_string(),
        "iat": now.seconds() - 60, "exp": now.seconds() + 240, "hostname": ORIGIN, "origin": ORIGIN,
        "policy": {"version": "1", "data": [{"type": "agent", "id": AGENT, "access": ALL}]},
    })
}

/// A part of a token.
pub(crate) fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}
