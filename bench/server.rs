//! The benchmark's yardsticks, served by the same server code as Hallpass itself:
//!
//! - `nostore`: the same router, checks and signing, with a store that keeps nothing, so that the
//!   difference to `hallpass serve` is the price of durability;
//! - `echo`: the same JSON read and written, nothing else: the price of HTTP.
//!
//! It prints `{"address":"127.0.0.1:PORT"}` and serves until it is killed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass::access::Table;
use hallpass::app::{App, Settings};
use hallpass::clock::{SystemClock, Timestamp};
use hallpass::gateway::Gateway;
use hallpass::keys::{Algorithm, ApiKeyId, MasterKey, MasterKeySource, Project, SealedKey, StaticKey};
use hallpass::server::{Front, Listeners};
use hallpass::store::{
    ApiKeyRecord, IssuanceRecord, KeyStore, ListQuery, Page, RevocationCursor, Revocations, RevokeFilter,
    Store, StoreError, StoredApiKey, StoredToken, TokenStore, Versions, Writing,
};
use hallpass::token::{AgentId, Limits, TokenId};
use tokio::net::TcpListener;

/// Forgets every token; remembers the signing keys, without which nothing can be signed.
#[derive(Default)]
struct NoStore {
    signing_keys: Mutex<Vec<SealedKey>>,
}

#[async_trait]
impl TokenStore for NoStore {
    async fn issue(&self, _record: IssuanceRecord) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn list(&self, _query: &ListQuery) -> Result<Page, StoreError> {
        Ok(Page { tokens: Vec::new(), has_next: false })
    }

    async fn find(&self, _jti: TokenId) -> Result<Option<StoredToken>, StoreError> {
        Ok(None)
    }

    async fn revoke(&self, _project_id: i64, _jti: TokenId, _now: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn revoke_where(&self, _filter: &RevokeFilter, _now: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn revocations(
        &self,
        _since: Option<RevocationCursor>,
        _now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        Ok(Revocations { tokens: Vec::new(), whole: true, next: RevocationCursor(0) })
    }

    async fn last_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn count_expired(&self, _cutoff: Timestamp, _most: u32) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn prune(&self, _cutoff: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl KeyStore for NoStore {
    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        Ok(vec![Project { id: 1, name: "default".to_owned(), agents: None }])
    }

    async fn ensure_project(&self, name: &str, _now: Timestamp) -> Result<Project, StoreError> {
        Ok(Project { id: 1, name: name.to_owned(), agents: None })
    }

    async fn set_project_agents(&self, _name: &str, _agents: Option<&[AgentId]>) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn create_api_key(&self, _record: &ApiKeyRecord) -> Result<(), StoreError> {
        Ok(())
    }

    async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn revoke_api_key(
        &self,
        _id: &ApiKeyId,
        _keep: bool,
        _now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn note_api_key_uses(&self, _uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        Ok(self.signing_keys.lock().expect("no panic holds it").clone())
    }

    async fn replace_signing_keys(&self, _version: i64, keys: &[SealedKey]) -> Result<bool, StoreError> {
        *self.signing_keys.lock().expect("no panic holds it") = keys.to_vec();
        Ok(true)
    }
}

#[async_trait]
impl Store for NoStore {
    async fn versions(&self) -> Result<Versions, StoreError> {
        Ok(Versions { api_keys: 0, signing_keys: 0 })
    }

    async fn changed(&self) {
        std::future::pending().await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn writes_work(&self) -> bool {
        true
    }

    fn writing(&self) -> Writing {
        Writing::default()
    }

    async fn close(&self) {}
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    hallpass::server::runtime().expect("a runtime").block_on(run());
}

async fn run() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{{\"address\":\"{}\"}}", listener.local_addr().expect("a bound address"));
    match mode.as_str() {
        "echo" => {
            let echo = async |Json(body): Json<serde_json::Value>| (StatusCode::CREATED, Json(body));
            let router = Router::new().route("/v1/client-side-access-tokens", post(echo));
            hallpass::server::serve(listener, router, std::future::pending()).await;
        }
        "nostore" => {
            let app = app().await;
            let gateway = Gateway::new(app.clone(), Table::default(), Default::default()).expect("it is off");
            let listeners = Listeners { public: listener, admin: None };
            let gateway = Arc::new(gateway);
            let front = Front::new(app.clone(), gateway.clone());
            hallpass::server::run(listeners, app, gateway, front, std::future::pending()).await;
        }
        other => panic!("usage: bench-server echo|nostore, got `{other}`"),
    }
}

async fn app() -> Arc<App> {
    let key = std::env::var("HALLPASS_API_KEY").expect("HALLPASS_API_KEY");
    let settings = Settings {
        issuer: "http://localhost:8284".to_owned(),
        audience: "letta".to_owned(),
        limits: Limits { default_ttl: Duration::from_secs(300), max_ttl: Duration::from_secs(86_400) },
        max_token_bytes: 8192,
        algorithm: Algorithm::EdDSA,
        rotate_every: Duration::from_secs(90 * 86_400),
        retention: Duration::from_secs(30 * 86_400),
        max_staleness: Duration::from_secs(30),
        lists_per_minute: 0,
    };
    let master = MasterKeySource::Given(MasterKey::parse(&STANDARD.encode([0; 32])).expect("32 bytes"));
    let store = Arc::new(NoStore::default());
    let static_key = StaticKey { secret: key.into(), gateway: true };
    let app = App::open(store, Arc::new(SystemClock), settings, &master, Some(static_key)).await;
    Arc::new(app.expect("an application"))
}
