//! The application: what the HTTP endpoints and the commands share. It joins the pure parts, the
//! keys and the store into the few things that can be done with a token.

mod judge;
mod keys;
mod revoked;
mod tokens;
mod upkeep;
mod vitals;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use self::judge::TokenError;
use self::judge::{Remembered, remembered};
pub use self::keys::{ProjectName, RevokedKey};
use self::revoked::Revoked;
pub use self::tokens::{IssueError, IssuedToken, ListedPage, ListedToken};
use self::vitals::Backlog;
pub use self::vitals::Vitals;
use crate::clock::{Clock, Timestamp};
use crate::keys::{
    Algorithm, ApiKey, ApiKeyId, ApiKeys, KeyRing, MasterKey, MasterKeyError, MasterKeySource, RingError,
    RotationError, RowSealer, StaticKey,
};
use crate::limits::Limiter;
use crate::metrics::{Counter, Labelled, Requests};
use crate::store::{Store, StoreError, Versions};
use crate::token::Limits;

/// Pages of a list that are signed at the same time; each keeps a core busy for some milliseconds.
const SIGNING_PAGES: usize = 2;

/// From when on looking for revocations is late; it is done four times a second.
const LATE: Duration = Duration::from_secs(2);

/// The settings that the application itself needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens.
    pub audience: String,
    pub limits: Limits,
    /// The longest token, in bytes.
    pub max_token_bytes: usize,
    pub algorithm: Algorithm,
    pub rotate_every: Duration,
    /// How long records stay past their expiry.
    pub retention: Duration,
    /// How long tokens are judged by what was last read.
    pub max_staleness: Duration,
    /// Pages of tokens that an API key may list within a minute; 0: any number.
    pub lists_per_minute: u32,
}

/// Why the application can't start or a change of its keys can't be made.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Rotation(#[from] RotationError),
    #[error("other processes kept changing the signing keys; try again")]
    Contended,
}

/// Everything that a request or a command works with.
pub struct App {
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn Store>,
    pub settings: Settings,
    /// What was asked of the server.
    pub requests: Requests,
    /// Why requests with a client token, or without a good one, were denied.
    pub denials: Labelled,
    issued: Counter,
    /// Tokens revoked by requests to this process.
    revoked_here: Counter,
    backlog: Backlog,
    master: MasterKey,
    /// Vouches for what is read from the database.
    sealer: Arc<RowSealer>,
    static_key: Option<StaticKey>,
    ring: RwLock<Arc<KeyRing>>,
    reloading_ring: tokio::sync::Mutex<()>,
    api_keys: RwLock<Arc<ApiKeys>>,
    /// What the two above were read at.
    seen: RwLock<Versions>,
    revoked: Revoked,
    /// Tokens whose signature was checked.
    remembered: Remembered,
    /// When an unknown key last made the server look for it.
    looked_for_key: tokio::sync::Mutex<Option<Instant>>,
    signing_pages: Arc<Semaphore>,
    /// By API key, of which there are few: nothing is forgotten.
    lists: Limiter<ApiKeyId>,
}

impl App {
    /// Reads the keys, making those that a new database lacks.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        master: &MasterKeySource,
        static_key: Option<StaticKey>,
    ) -> Result<Self, AppError> {
        let has_keys = !store.signing_keys().await?.is_empty();
        let master = master.load(has_keys)?;
        upkeep::ensure_ring(&*store, &settings, &master, clock.now()).await?;
        let seen = store.versions().await?;
        let ring = upkeep::read_ring(&*store, &settings, &master).await?;
        let sealer = Arc::new(RowSealer::new(&master));
        let api_keys = upkeep::read_api_keys(&*store, &sealer, static_key.as_ref()).await?;
        let (looked_at, now) = (Instant::now(), clock.now());
        let revoked = Revoked::new(looked_at, now, store.revocations(None, revoked::kept_since(now)).await?);
        Ok(Self {
            lists: Limiter::per_minute(settings.lists_per_minute),
            clock,
            store,
            settings,
            requests: Requests::default(),
            denials: Labelled::with(&[]),
            issued: Counter::default(),
            revoked_here: Counter::default(),
            backlog: Backlog::default(),
            master,
            sealer,
            static_key,
            ring: RwLock::new(Arc::new(ring)),
            reloading_ring: tokio::sync::Mutex::default(),
            api_keys: RwLock::new(Arc::new(api_keys)),
            seen: RwLock::new(seen),
            revoked,
            remembered: remembered(),
            looked_for_key: tokio::sync::Mutex::default(),
            signing_pages: Arc::new(Semaphore::new(SIGNING_PAGES)),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The key ring as it was last read.
    pub fn ring(&self) -> Arc<KeyRing> {
        read(&self.ring)
    }

    /// The live API key that was presented.
    pub fn authenticate(&self, presented: &str) -> Option<Arc<ApiKey>> {
        read(&self.api_keys).authenticate(presented, self.now())
    }

    pub fn has_api_keys(&self) -> bool {
        !read(&self.api_keys).is_empty()
    }

    /// Whether an API key may list another page now; else how long it must wait.
    pub fn admit_list(&self, key: &ApiKeyId) -> Result<(), Duration> {
        self.lists.take(key)
    }

    /// What keeps the server from doing its work; nothing, if it is ready.
    pub async fn impediments(&self) -> Vec<&'static str> {
        let mut impediments = Vec::new();
        if !self.has_api_keys() {
            impediments.push("there is no API key yet; make one with `hallpass api-key create --name NAME`");
        }
        if !self.store.writes_work() {
            impediments.push("the database takes no writes");
        }
        if self.revoked.age() > LATE {
            impediments.push("the server doesn't know which tokens were revoked of late");
        }
        if self.store.versions().await.is_err() {
            impediments.push("the database cannot be read");
        }
        impediments
    }
}

/// A value behind a lock that is only ever held for a copy or a swap, so never poisoned halfway.
fn read<T: Clone>(lock: &RwLock<T>) -> T {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

fn write<T>(lock: &RwLock<T>, value: T) {
    *lock.write().unwrap_or_else(std::sync::PoisonError::into_inner) = value;
}
