//! Looking after a database: its schema and what it holds. Unlike a store, this opens a database as
//! it is: nothing is migrated unless that is asked for, and no key is read.

use async_trait::async_trait;

use super::copy::CopyEnd;
use super::migrate::SchemaChange;
use super::postgres::PostgresAdmin;
use super::sqlite::SqliteAdmin;
use super::{DatabaseUrl, OpenError, StoreError};
use crate::clock::Timestamp;

/// How much a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub tokens: i64,
    /// Not over; they may have been revoked.
    pub live_tokens: i64,
    /// Records whose retention is over, so that they wait for their removal.
    pub past_retention: i64,
    pub revocations: i64,
    pub projects: i64,
    pub live_api_keys: i64,
    pub revoked_api_keys: i64,
    pub active_signing_keys: i64,
    pub next_signing_keys: i64,
    pub retired_signing_keys: i64,
}

/// From when on tokens are live, and from when on records are kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub live_from: Timestamp,
    pub retained_from: Timestamp,
}

/// A row of counts as [`HOLDINGS`] asks for them, in the order of the fields.
pub(super) type HoldingsRow = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// Counts everything in one statement, so that the counts fit each other: `$1` is from when on tokens
/// are live, `$2` from when on records are kept. Both databases read it.
pub(super) const HOLDINGS: &str = "SELECT \
     (SELECT count(*) FROM tokens), \
     (SELECT count(*) FROM tokens WHERE expires_at >= $1), \
     (SELECT count(*) FROM tokens WHERE expires_at < $2), \
     (SELECT count(*) FROM revocations), \
     (SELECT count(*) FROM projects), \
     (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL), \
     (SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL), \
     (SELECT count(*) FROM signing_keys WHERE state = 'active'), \
     (SELECT count(*) FROM signing_keys WHERE state = 'next'), \
     (SELECT count(*) FROM signing_keys WHERE state = 'retired')";

impl From<HoldingsRow> for Holdings {
    fn from(row: HoldingsRow) -> Self {
        let (tokens, live_tokens, past_retention, revocations, projects, ..) = row;
        let (.., live_api_keys, revoked_api_keys, active, next, retired) = row;
        Self {
            tokens,
            live_tokens,
            past_retention,
            revocations,
            projects,
            live_api_keys,
            revoked_api_keys,
            active_signing_keys: active,
            next_signing_keys: next,
            retired_signing_keys: retired,
        }
    }
}

/// A database that is looked after.
#[async_trait]
pub trait DatabaseAdmin: Send {
    /// The version of the schema that it has; 0 if it has none.
    async fn schema_version(&mut self) -> Result<usize, StoreError>;

    /// The newest version that this program knows.
    fn newest_schema_version(&self) -> usize;

    /// Brings the schema up to date.
    async fn migrate(&mut self) -> Result<SchemaChange, OpenError>;

    /// Counts what it holds. It needs a schema.
    async fn holdings(&mut self, bounds: Bounds) -> Result<Holdings, StoreError>;

    /// What it takes on the disk, indexes and all.
    async fn size_bytes(&mut self) -> Result<u64, StoreError>;

    async fn close(self: Box<Self>);
}

/// Opens a database to look after it. A SQLite file is made only if that is allowed.
pub async fn open_admin(url: &DatabaseUrl, may_create: bool) -> Result<Box<dyn DatabaseAdmin>, OpenError> {
    Ok(open(url, may_create).await?)
}

pub(super) async fn open(url: &DatabaseUrl, may_create: bool) -> Result<Box<dyn CopyEnd>, OpenError> {
    Ok(match url {
        DatabaseUrl::Sqlite(path) => Box::new(SqliteAdmin::open(path, may_create).await?),
        DatabaseUrl::Postgres(url) => Box::new(PostgresAdmin::open(url).await?),
    })
}
