//! Copying what matters from one database into another, of whatever kind: projects, API keys, signing
//! keys, live tokens and their revocations. All of it arrives in one transaction, or nothing does.

mod course;

use async_trait::async_trait;

pub use self::course::copy;
use super::admin::DatabaseAdmin;
use super::rows::{ApiKeyRow, SigningKeyRow};
use super::{DatabaseUrl, OpenError, StoreError};
use crate::clock::Timestamp;
use crate::keys::{MasterKey, RingError};

/// What is to be copied, and on which terms.
#[derive(Clone, Copy, Debug)]
pub struct CopyRequest<'a> {
    pub from: &'a DatabaseUrl,
    pub to: &'a DatabaseUrl,
    /// Copy although a server is at work on the source.
    pub while_serving: bool,
    /// With it, the copied keys are opened before the copy counts.
    pub master: Option<&'a MasterKey>,
    pub now: Timestamp,
}

/// What was copied.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    pub from: CopyCounts,
    pub to: CopyCounts,
    /// A server was at work on the source: what it wrote meanwhile is missing.
    pub served: bool,
    /// The copied signing keys were opened with the master key.
    pub keys_opened: bool,
}

/// What there is to copy, or was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyCounts {
    pub projects: i64,
    pub api_keys: i64,
    pub signing_keys: i64,
    pub live_tokens: i64,
    /// Entries in the index of agents.
    pub token_agents: i64,
    pub revocations: i64,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("both ends are `{0}`: name another database to copy into")]
    Same(String),
    #[error("there is no database at `{0}` to copy from")]
    NoSource(String),
    #[error(transparent)]
    Open(OpenError),
    #[error(
        "`{0}` is reached through a pooler that gives out connections by the transaction, and a copy needs one that \
         stays: give the URL that leads to the database itself"
    )]
    Pooled(String),
    #[error(
        "the schema of `{database}` has version {found}, and only version {newest} is copied; bring it up to date with \
         `hallpass db migrate` (or by a start of the server), then copy"
    )]
    OldSource { database: String, found: usize, newest: usize },
    #[error(
        "`{0}` is no Hallpass database: it holds none of the tables. Is the URL right? Nothing was copied"
    )]
    NoSchema(String),
    #[error(
        "a server is at work on `{0}`: tokens that it issues or revokes from now on would be missing in the copy. \
         Stop it first, or copy with `--while-serving` and leave those behind"
    )]
    Served(String),
    #[error(
        "`{database}` already holds {holds}; a copy goes into an empty database only, and this one was left as it is. \
         Name another, or remove what is there"
    )]
    NotEmpty { database: String, holds: String },
    #[error("reading `{database}` failed, and nothing was copied: {cause}")]
    Reading { database: String, cause: StoreError },
    #[error(
        "writing to `{database}` failed, and nothing was copied: it holds at most an empty schema, and the copy can be \
         started again: {cause}"
    )]
    Writing { database: String, cause: StoreError },
    #[error(
        "the last step, the commit in `{database}`, was not confirmed: everything was copied or nothing; \
         `hallpass db status` on that database tells: {cause}"
    )]
    Commit { database: String, cause: StoreError },
    #[error(
        "the counts differ, so nothing was copied; the databases' own tools may tell whether `{database}` is damaged. \
         To copy: {from:?}; arrived: {to:?}"
    )]
    Counts { database: String, from: CopyCounts, to: CopyCounts },
    #[error("the copied keys cannot be used with the master key that is at hand, so nothing was copied: {0}")]
    MasterKey(#[from] RingError),
}

impl From<OpenError> for CopyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Pooled(database) => Self::Pooled(database),
            error => Self::Open(error),
        }
    }
}

/// A project: id, name, agents in JSON, created.
pub(super) type CopiedProject = (i64, String, Option<String>, i64);

/// A token.
pub(super) struct CopiedToken {
    pub(super) id: i64,
    pub(super) jti: [u8; 16],
    pub(super) project_id: i64,
    pub(super) api_key_id: String,
    pub(super) origin: String,
    pub(super) expires_at: i64,
    pub(super) kid: String,
    pub(super) payload: String,
    pub(super) seal: Vec<u8>,
}

/// A revocation.
pub(super) struct CopiedRevocation {
    pub(super) project_id: i64,
    pub(super) token_id: i64,
    pub(super) jti: [u8; 16],
    pub(super) expires_at: i64,
    pub(super) revoked_at: i64,
}

/// Counts of what is copied, `$1` being from when on tokens are live. Both databases read it.
pub(super) const COUNTS: &str = "SELECT \
     (SELECT count(*) FROM projects), \
     (SELECT count(*) FROM api_keys), \
     (SELECT count(*) FROM signing_keys), \
     (SELECT count(*) FROM tokens WHERE expires_at >= $1), \
     (SELECT count(*) FROM token_agents WHERE expires_at >= $1), \
     (SELECT count(*) FROM revocations WHERE expires_at >= $1)";

/// What keeps a database from being empty, in the order of [`Held`]. Every schema has one project.
pub(super) const HELD: &str = "SELECT \
     EXISTS (SELECT 1 FROM api_keys), \
     EXISTS (SELECT 1 FROM tokens), \
     EXISTS (SELECT 1 FROM signing_keys), \
     EXISTS (SELECT 1 FROM projects WHERE name <> 'default' OR agents IS NOT NULL)";

/// Whether there are API keys, tokens, signing keys, projects.
pub(super) type Held = (bool, bool, bool, bool);

impl From<(i64, i64, i64, i64, i64, i64)> for CopyCounts {
    fn from(row: (i64, i64, i64, i64, i64, i64)) -> Self {
        let (projects, api_keys, signing_keys, live_tokens, token_agents, revocations) = row;
        Self { projects, api_keys, signing_keys, live_tokens, token_agents, revocations }
    }
}

/// A database that is copied from or into. After `begin_…` everything happens in one transaction,
/// which ends with the connection if it isn't committed.
#[async_trait]
pub(super) trait CopyEnd: DatabaseAdmin {
    /// Keeps servers away as long as the database is open, where that can be done. `false`: one is at
    /// work.
    async fn claim(&mut self) -> Result<bool, OpenError>;

    /// From here on everything is read as it is now.
    async fn begin_reading(&mut self) -> Result<(), StoreError>;

    /// From here on nobody else writes.
    async fn begin_writing(&mut self) -> Result<(), StoreError>;

    async fn commit(&mut self) -> Result<(), StoreError>;

    async fn held(&mut self) -> Result<Held, StoreError>;

    async fn counts(&mut self, live_from: Timestamp) -> Result<CopyCounts, StoreError>;

    async fn projects(&mut self) -> Result<Vec<CopiedProject>, StoreError>;

    async fn api_keys(&mut self) -> Result<Vec<ApiKeyRow>, StoreError>;

    async fn signing_keys(&mut self) -> Result<Vec<SigningKeyRow>, StoreError>;

    /// The next tokens in the order of their expiry, after that one and that id.
    async fn tokens(&mut self, after: (i64, i64), limit: u32) -> Result<Vec<CopiedToken>, StoreError>;

    /// The next revocations of live tokens, after that project and that token's id.
    async fn revocations(
        &mut self,
        live_from: Timestamp,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<CopiedRevocation>, StoreError>;

    /// The highest id that a token ever had.
    async fn last_token_id(&mut self) -> Result<i64, StoreError>;

    /// Puts these projects in the place of those that the schema brought along.
    async fn put_projects(&mut self, rows: Vec<CopiedProject>) -> Result<(), StoreError>;

    async fn put_api_keys(&mut self, rows: Vec<ApiKeyRow>) -> Result<(), StoreError>;

    async fn put_signing_keys(&mut self, rows: Vec<SigningKeyRow>) -> Result<(), StoreError>;

    async fn put_tokens(&mut self, rows: Vec<CopiedToken>) -> Result<(), StoreError>;

    async fn put_revocations(&mut self, rows: Vec<CopiedRevocation>) -> Result<(), StoreError>;

    /// Makes the index of agents, has new ids come after `last_token_id`, and moves the counters that
    /// servers watch.
    async fn finish(&mut self, last_token_id: i64) -> Result<(), StoreError>;
}
