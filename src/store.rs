//! Where records live. [`Store`] is the seam: one behaviour, whatever the database.

mod admin;
mod copy;
mod error;
mod live_floor;
mod migrate;
mod postgres;
mod rows;
mod sqlite;
mod url;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::admin::{Bounds, DatabaseAdmin, Holdings, open_admin};
pub use self::copy::{Copied, CopyCounts, CopyError, CopyRequest, copy};
pub use self::error::{OpenError, StoreError};
pub use self::migrate::{MigrateError, SchemaChange};
pub use self::postgres::PostgresStore;
pub use self::sqlite::{BackupError, SqliteStore, back_up};
pub use self::url::DatabaseUrl;
pub use self::writer::{QUEUE_LENGTH, Write, Writer, WriterHealth, Writing, Written};
use crate::clock::Timestamp;
use crate::keys::{ApiKeyHash, ApiKeyId, Project, RowSeal, SealedKey, SealedRow};
use crate::token::{AgentId, Origin, TokenId};

/// Everything that is kept for a token that is about to be handed out.
#[derive(Clone, Debug)]
pub struct IssuanceRecord {
    pub jti: TokenId,
    pub project_id: i64,
    pub api_key_id: ApiKeyId,
    pub origin: Origin,
    pub agents: Vec<AgentId>,
    pub expires_at: Timestamp,
    /// The key that signed it: its header is the same for all its tokens.
    pub kid: Arc<str>,
    /// The exact payload. With the key's header it is the JWS signing input; the signature is not kept.
    pub payload: String,
    pub seal: RowSeal,
}

/// A record as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    pub jti: TokenId,
    pub project_id: i64,
    pub api_key_id: String,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub kid: String,
    pub payload: String,
    pub seal: RowSeal,
}

impl StoredToken {
    /// What the seal vouches for.
    pub fn sealed_row(&self) -> SealedRow<'_> {
        SealedRow::Token {
            project_id: self.project_id,
            expires_at: self.expires_at.millis(),
            kid: &self.kid,
            payload: &self.payload,
        }
    }
}

/// Which tokens a list holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Neither over nor revoked.
    #[default]
    Active,
    /// Over, and not revoked before.
    Expired,
    Revoked,
    All,
}

impl Status {
    pub const NAMES: [(&'static str, Status); 4] = [
        ("active", Status::Active),
        ("expired", Status::Expired),
        ("revoked", Status::Revoked),
        ("all", Status::All),
    ];
}

/// A page of a project's tokens, newest first.
#[derive(Clone, Debug)]
pub struct ListQuery {
    pub project_id: i64,
    pub agent: Option<AgentId>,
    pub status: Status,
    /// What counts as over is decided by this moment.
    pub now: Timestamp,
    pub limit: u32,
    pub offset: u64,
}

/// A page, and whether another follows.
#[derive(Clone, Debug)]
pub struct Page {
    pub tokens: Vec<StoredToken>,
    pub has_next: bool,
}

/// Which live tokens are revoked together. All given conditions hold; none given means all.
#[derive(Clone, Debug, Default)]
pub struct RevokeFilter {
    pub project_id: Option<i64>,
    pub agent: Option<AgentId>,
    pub origin: Option<Origin>,
    pub api_key: Option<ApiKeyId>,
}

/// An API key to be stored.
#[derive(Clone, Debug)]
pub struct ApiKeyRecord {
    pub id: ApiKeyId,
    pub project_id: i64,
    pub name: String,
    pub hash: ApiKeyHash,
    pub gateway: bool,
    pub created_at: Timestamp,
    pub seal: RowSeal,
}

impl ApiKeyRecord {
    /// What the seal vouches for.
    pub fn sealed_row(&self) -> SealedRow<'_> {
        let Self { id, project_id, gateway, hash, .. } = self;
        SealedRow::ApiKey { id: &id.0, project_id: *project_id, gateway: *gateway, hash: hash.as_bytes() }
    }
}

/// An API key as it is read back.
#[derive(Clone, Debug)]
pub struct StoredApiKey {
    pub record: ApiKeyRecord,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Where a server has got to in reading revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationCursor(pub i64);

/// Revoked tokens and their expiry, and where to go on.
#[derive(Clone, Debug)]
pub struct Revocations {
    /// Some may have been told before.
    pub tokens: Vec<(TokenId, Timestamp)>,
    /// Whether these are all there are, whatever was told before.
    pub whole: bool,
    pub next: RevocationCursor,
}

/// Counters that move when API keys (or projects) or signing keys have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub api_keys: i64,
    pub signing_keys: i64,
}

/// Records of issued tokens.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Keeps a record; when this returns, it is durable. `false`: the API key has been revoked, and
    /// nothing was kept. A server may not have noticed that yet, and a token issued in that moment
    /// would outlive the key's revocation.
    async fn issue(&self, record: IssuanceRecord) -> Result<bool, StoreError>;

    /// A page of tokens, newest first.
    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError>;

    /// The record of a token.
    async fn find(&self, jti: TokenId) -> Result<Option<StoredToken>, StoreError>;

    /// Revokes a project's token; when this returns, that is durable. `false`: the project has no
    /// such record. Revoking again keeps the first time; what is over can be revoked too, and stays so
    /// if the clock is set back.
    async fn revoke(&self, project_id: i64, jti: TokenId, now: Timestamp) -> Result<bool, StoreError>;

    /// Revokes every live token that fits, in one transaction, and says how many.
    async fn revoke_where(&self, filter: &RevokeFilter, now: Timestamp) -> Result<u64, StoreError>;

    /// What was revoked since an earlier look: nothing that was committed by then is left out, however
    /// long its transaction took. Without one, every revoked token that isn't over at `now`.
    async fn revocations(
        &self,
        since: Option<RevocationCursor>,
        now: Timestamp,
    ) -> Result<Revocations, StoreError>;

    /// When the last of all tokens ends.
    async fn last_expiry(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many records expired before `cutoff`, counted up to `most`.
    async fn count_expired(&self, cutoff: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Removes at most `limit` records that expired before `cutoff`, and says how many.
    async fn prune(&self, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Projects, API keys and signing keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    async fn projects(&self) -> Result<Vec<Project>, StoreError>;

    /// The project of that name, made if there is none.
    async fn ensure_project(&self, name: &str, now: Timestamp) -> Result<Project, StoreError>;

    /// Sets the agents that a project's keys may issue for. `false`: no such project.
    async fn set_project_agents(&self, name: &str, agents: Option<&[AgentId]>) -> Result<bool, StoreError>;

    async fn create_api_key(&self, record: &ApiKeyRecord) -> Result<(), StoreError>;

    /// All API keys, revoked ones too, oldest first.
    async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError>;

    /// Revokes a key and, unless they are kept, its live tokens. `None`: no such key; else the number of
    /// tokens revoked. After an error the key may be revoked and its tokens not yet: do it again.
    async fn revoke_api_key(
        &self,
        id: &ApiKeyId,
        keep_tokens: bool,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError>;

    /// Notes when keys were last used.
    async fn note_api_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError>;

    async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError>;

    /// Puts another ring in the place of the one read at `version`. `false`: someone else did
    /// meanwhile, and nothing was changed.
    async fn replace_signing_keys(&self, version: i64, keys: &[SealedKey]) -> Result<bool, StoreError>;
}

/// All of storage.
#[async_trait]
pub trait Store: TokenStore + KeyStore + 'static {
    async fn versions(&self) -> Result<Versions, StoreError>;

    /// Waits until the database tells that something has changed which servers keep in memory. It may
    /// tell too often or never: whoever must know also looks now and then.
    async fn changed(&self);

    /// Writes something tiny, to learn whether writing works.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Whether the last write reached the disk.
    fn writes_work(&self) -> bool;

    /// What writes wait, and how the batches before went.
    fn writing(&self) -> Writing;

    /// Finishes what is queued and closes the database.
    async fn close(&self);
}
