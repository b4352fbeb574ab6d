//! Looking after a SQLite database.

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{BUSY_TIMEOUT, create_private};
use crate::store::admin::{Bounds, DatabaseAdmin, HOLDINGS, Holdings, HoldingsRow};
use crate::store::migrate::{self, SchemaChange};
use crate::store::{OpenError, StoreError};

/// A SQLite database that is looked after, on one connection.
pub(in crate::store) struct SqliteAdmin {
    pub(super) path: PathBuf,
    pub(super) connection: SqliteConnection,
    /// Keeps servers away while it is held.
    pub(super) lock: Option<fs::File>,
}

impl SqliteAdmin {
    pub(in crate::store) async fn open(path: &Path, may_create: bool) -> Result<Self, OpenError> {
        if may_create {
            create_private(path).map_err(|cause| OpenError::File { path: path.to_owned(), cause })?;
        }
        let name = || path.display().to_string();
        let database = |cause| OpenError::Database { database: name(), cause };
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(database)?;
        migrate::refuse_foreign(&mut connection)
            .await
            .map_err(|cause| OpenError::Schema { database: name(), cause })?;
        Ok(Self { path: path.to_owned(), connection, lock: None })
    }

    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[async_trait]
impl DatabaseAdmin for SqliteAdmin {
    async fn schema_version(&mut self) -> Result<usize, StoreError> {
        Ok(migrate::version(&mut self.connection).await?)
    }

    fn newest_schema_version(&self) -> usize {
        migrate::NEWEST_SQLITE
    }

    async fn migrate(&mut self) -> Result<SchemaChange, OpenError> {
        let database = self.name();
        migrate::sqlite(&mut self.connection).await.map_err(|cause| OpenError::Schema { database, cause })
    }

    async fn holdings(&mut self, bounds: Bounds) -> Result<Holdings, StoreError> {
        let row: HoldingsRow = sqlx::query_as(HOLDINGS)
            .bind(bounds.live_from.millis())
            .bind(bounds.retained_from.millis())
            .fetch_one(&mut self.connection)
            .await?;
        Ok(row.into())
    }

    /// The file, and what is not yet moved into it.
    async fn size_bytes(&mut self) -> Result<u64, StoreError> {
        let mut wal = self.path.as_os_str().to_owned();
        wal.push("-wal");
        let file = fs::metadata(&self.path).map_err(sqlx::Error::Io)?.len();
        Ok(file + fs::metadata(wal).map_or(0, |wal| wal.len()))
    }

    async fn close(self: Box<Self>) {
        // Nothing is lost by it: what was committed is on the disk.
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
    }
}
