//! Looking after a PostgreSQL database.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use url::Url;

use super::session::is_pooled_by_transaction;
use super::{options, place, within};
use crate::store::admin::{Bounds, DatabaseAdmin, HOLDINGS, Holdings, HoldingsRow};
use crate::store::migrate::{self, SchemaChange};
use crate::store::{OpenError, StoreError};

/// The name of these connections, which tells them from a server's.
const APPLICATION: &str = "hallpass db";

/// A PostgreSQL database that is looked after, on one connection. Once connected, nothing here has a
/// time limit: counting and copying take as long as there are rows.
pub(in crate::store) struct PostgresAdmin {
    pub(super) name: String,
    pub(super) connection: PgConnection,
}

impl PostgresAdmin {
    pub(in crate::store) async fn open(url: &Url) -> Result<Self, OpenError> {
        let options = options(url)?.application_name(APPLICATION);
        let name = place(&options);
        let failed = |cause| OpenError::Database { database: name.clone(), cause };
        // A schema's lock and a transaction of many statements need a connection that stays.
        if is_pooled_by_transaction(&options).await.map_err(failed)? {
            return Err(OpenError::Pooled(name));
        }
        let connection = within(PgConnection::connect_with(&options)).await.map_err(failed)?;
        Ok(Self { name, connection })
    }

    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        Ok(())
    }
}

#[async_trait]
impl DatabaseAdmin for PostgresAdmin {
    async fn schema_version(&mut self) -> Result<usize, StoreError> {
        Ok(migrate::postgres_version(&mut self.connection).await?)
    }

    fn newest_schema_version(&self) -> usize {
        migrate::NEWEST_POSTGRES
    }

    async fn migrate(&mut self) -> Result<SchemaChange, OpenError> {
        let database = self.name.clone();
        migrate::postgres(&mut self.connection).await.map_err(|cause| OpenError::Schema { database, cause })
    }

    async fn holdings(&mut self, bounds: Bounds) -> Result<Holdings, StoreError> {
        let row: HoldingsRow = sqlx::query_as(HOLDINGS)
            .bind(bounds.live_from.millis())
            .bind(bounds.retained_from.millis())
            .fetch_one(&mut self.connection)
            .await?;
        Ok(row.into())
    }

    /// The whole database, whatever else is in it.
    async fn size_bytes(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT pg_database_size(current_database())";
        let size: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    async fn close(self: Box<Self>) {
        // A farewell that fails changes nothing.
        let _ = self.connection.close().await;
    }
}
