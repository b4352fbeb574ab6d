//! Statements and connections that work through a pooler too.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres, Transaction};
use std::ops::{Deref, DerefMut};

use super::within;

/// How statements are sent. A pooler that gives out connections by the transaction would find a
/// prepared statement on another connection, or none: through it every statement stands in a
/// transaction and is prepared for that once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sessions {
    pub(super) pooled: bool,
}

/// A connection to read from.
pub(super) enum Reader {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Sessions {
    pub(super) fn query<'q>(self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).persistent(!self.pooled)
    }

    pub(super) fn query_as<'q, O>(self, sql: &'static str) -> QueryAs<'q, Postgres, O, PgArguments>
    where
        O: for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).persistent(!self.pooled)
    }

    pub(super) fn query_scalar<'q, O>(self, sql: &'static str) -> QueryScalar<'q, Postgres, O, PgArguments>
    where
        (O,): for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_scalar(sql).persistent(!self.pooled)
    }

    pub(super) async fn reader(self, pool: &PgPool) -> Result<Reader, sqlx::Error> {
        Ok(if self.pooled {
            Reader::Transaction(within(pool.begin()).await?)
        } else {
            Reader::Connection(within(pool.acquire()).await?)
        })
    }
}

impl Deref for Reader {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

/// Whether a setting of one connection is gone once another connection has been at work: then a pooler
/// stands in between that gives out connections by the transaction.
pub(super) async fn is_pooled_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut first = within(PgConnection::connect_with(options)).await?;
    let mut second = within(PgConnection::connect_with(options)).await?;
    let mark = "SELECT set_config('hallpass.session', pg_backend_pid()::text, false)";
    let marked = "SELECT coalesce(current_setting('hallpass.session', true), '') = pg_backend_pid()::text";
    within(sqlx::raw_sql(mark).execute(&mut first)).await?;
    // This transaction holds on to the connection that was used last.
    within(sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut second)).await?;
    let row = within(sqlx::raw_sql(marked).fetch_one(&mut first)).await?;
    within(sqlx::raw_sql("ROLLBACK").execute(&mut second)).await?;
    let kept: bool = sqlx::Row::try_get(&row, 0)?;
    for connection in [first, second] {
        // A farewell that fails changes nothing.
        let _ = within(connection.close()).await;
    }
    Ok(!kept)
}
