//! What can go wrong with a database.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::MigrateError;

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the database URL must be `sqlite:` and a path, such as `sqlite:/data/hallpass.db`, or one such as \
         `postgres://user:password@host/database`, got `{0}`"
    )]
    Url(String),
    #[error(
        "the database URL has a parameter that is not known: `{0}`; known are those of libpq for the host, the user and TLS"
    )]
    Parameter(String),
    #[error(
        "the database at `{0}` is reached through a pooler that gives out connections by the transaction: servers \
         would miss each other's changes. Give `database.direct_url`, which leads to the database itself, or have \
         the pooler give them out by the session"
    )]
    Pooled(String),
    #[error("another server is using `{}`: SQLite serves one `hallpass serve` a file", .0.display())]
    InUse(PathBuf),
    #[error("cannot open `{}`: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("cannot use the database `{database}`: {cause}")]
    Database { database: String, cause: sqlx::Error },
    #[error("cannot use the database `{database}`: {cause}")]
    Schema { database: String, cause: MigrateError },
}

/// Why an operation failed. Nothing was half done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More writes are queued than the database takes; try again in a moment.
    #[error("the write queue is full")]
    Busy,
    /// The database can't be used now: disk full, file locked, damaged or gone.
    #[error("the database cannot be used: {0}")]
    Unavailable(#[from] sqlx::Error),
    /// The same for each write of a batch that failed.
    #[error("the database cannot be used: {0}")]
    BatchFailed(Arc<sqlx::Error>),
    /// The database has been out of reach for too long to say whether a token was revoked.
    #[error("the database has been out of reach for {0} s, and tokens may have been revoked since")]
    Stale(u64),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// A row doesn't hold what it must.
    #[error("the database holds an unusable {0}")]
    Damaged(&'static str),
}
