//! Looking for revocations, so that none is passed over.
//!
//! A row says which transaction wrote it. What a look doesn't see yet is of transactions that were open
//! at that moment, or of later ones, so the next look goes on from the oldest of the open ones. That
//! holds as long as numbers of transactions only rise: a server that crashed gives out again those that
//! had not reached its disk, and a standby that takes over may be behind. No connection outlives
//! either, so on a new connection everything is read again.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};

use super::batch::token_id;
use super::{TIMEOUT, TIMEOUT_IF_OLD, within, within_time};
use crate::clock::Timestamp;
use crate::store::{RevocationCursor, Revocations, StoreError};
use crate::token::live_from;

/// A connection for looking, past any pooler, which might hide that the server was another one.
pub(super) struct Lookout {
    options: PgConnectOptions,
    open: Option<PgConnection>,
}

impl Lookout {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, open: None }
    }

    pub(super) async fn look(
        &mut self,
        since: Option<RevocationCursor>,
        now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        // Taken out, so that a connection on which something failed, or that was given up halfway, is gone.
        let (mut connection, since, time) = match self.open.take() {
            Some(connection) => (connection, since, TIMEOUT_IF_OLD),
            None => (within(PgConnection::connect_with(&self.options)).await?, None, TIMEOUT),
        };
        let found = look(&mut connection, since, now, time).await?;
        self.open = Some(connection);
        Ok(found)
    }
}

async fn look(
    connection: &mut PgConnection,
    since: Option<RevocationCursor>,
    now: Timestamp,
    time: Duration,
) -> Result<Revocations, StoreError> {
    let (oldest_open, standby): (i64, bool) = within_time(
        time,
        sqlx::query_as("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_is_in_recovery()")
            .fetch_one(&mut *connection),
    )
    .await?;
    if standby {
        // What it doesn't know of yet would be missed.
        return Err(sqlx::Error::Configuration("the database is a standby, which may lag".into()).into());
    }
    let select = match since {
        Some(cursor) => sqlx::query_as::<_, (Uuid, i64)>(
            "SELECT jti, expires_at FROM revocations WHERE xid >= $1::text::xid8 \
                 AND xid < pg_snapshot_xmax(pg_current_snapshot())",
        )
        .bind(cursor.0.to_string()),
        None => sqlx::query_as("SELECT jti, expires_at FROM revocations WHERE expires_at >= $1")
            .bind(live_from(now).millis()),
    };
    let mut rows = select.fetch(connection);
    let mut tokens = Vec::new();
    while let Some((jti, expires_at)) = within_time(time, rows.try_next()).await? {
        tokens.push((token_id(jti), Timestamp::from_millis(expires_at)));
    }
    Ok(Revocations { tokens, whole: since.is_none(), next: RevocationCursor(oldest_open) })
}
