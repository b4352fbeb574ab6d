//! A batch of writes in one transaction of a few statements, whatever its size: the rows travel as
//! one JSON text, since a statement a row would cost more than the rows.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{Row, SqliteConnection};
use tokio::sync::Mutex;

use super::WriteConnection;
use crate::clock::Timestamp;
use crate::store::IssuanceRecord;
use crate::store::writer::{Commit, Write, Written};
use crate::token::{TokenId, live_from};

/// Commits batches on the writing connection.
pub(super) struct Committer(pub(super) Arc<Mutex<WriteConnection>>);

impl Commit for Committer {
    async fn commit(&mut self, batch: &[Write]) -> Result<Vec<Written>, sqlx::Error> {
        let mut connection = self.0.lock().await;
        let outcome = match connection.get().await {
            Ok(open) => commit(open, batch).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // Closing the connection also rolls back.
            connection.reset();
        }
        outcome
    }
}

async fn commit(connection: &mut SqliteConnection, batch: &[Write]) -> Result<Vec<Written>, sqlx::Error> {
    let newest: i64 = sqlx::raw_sql(
        "BEGIN IMMEDIATE; SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'tokens'",
    )
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    let records: Vec<_> =
        batch.iter().filter_map(|write| if let Write::Issue(r) = write { Some(r) } else { None }).collect();
    let issued =
        if records.is_empty() { Vec::new() } else { insert(connection, &records, newest + 1).await? };
    let revoked: Vec<_> = batch
        .iter()
        .filter_map(|write| match write {
            Write::Revoke { project_id, jti, now } => Some((*project_id, *jti, *now)),
            Write::Issue(_) => None,
        })
        .collect();
    let found = if revoked.is_empty() { HashSet::new() } else { revoke(connection, &revoked).await? };
    sqlx::query("COMMIT").execute(connection).await?;
    let mut issued = issued.into_iter();
    let written = batch.iter().map(|write| match write {
        Write::Issue(_) => Written::Issued(issued.next().unwrap_or(false)),
        Write::Revoke { project_id, jti, .. } => Written::Revoked(found.contains(&(*project_id, *jti))),
    });
    Ok(written.collect())
}

/// Inserts the records, but for those whose API key has been revoked, and says for each whether it
/// was. Only the database knows that for certain: a server's view of the keys is a moment old.
async fn insert(
    connection: &mut SqliteConnection,
    records: &[&IssuanceRecord],
    first_id: i64,
) -> Result<Vec<bool>, sqlx::Error> {
    let rows: Vec<_> = (first_id..)
        .zip(records)
        .map(|(id, r)| {
            let (jti, expires_at) = (hex(r.jti), r.expires_at.millis());
            (id, jti, r.project_id, &r.api_key_id, &r.origin, &r.agents, expires_at, &r.signing_input)
        })
        .collect();
    let inserted = sqlx::query(
        "INSERT INTO tokens (id, jti, project_id, api_key_id, origin, agents, expires_at, signing_input) \
         SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
                value ->> 7 \
         FROM json_each(?) \
         WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.id = value ->> 3 AND revoked_at IS NOT NULL)",
    )
    .bind(json(&rows)?)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted == records.len() as u64 {
        return Ok(vec![true; records.len()]);
    }
    let kept: Vec<(i64,)> =
        sqlx::query_as("SELECT id FROM tokens WHERE id >= ?").bind(first_id).fetch_all(connection).await?;
    Ok((first_id..).zip(records).map(|(id, _)| kept.contains(&(id,))).collect())
}

async fn revoke(
    connection: &mut SqliteConnection,
    revoked: &[(i64, TokenId, Timestamp)],
) -> Result<HashSet<(i64, TokenId)>, sqlx::Error> {
    let rows: Vec<_> = revoked
        .iter()
        .map(|(project_id, jti, now)| (project_id, hex(*jti), now.millis(), live_from(*now).millis()))
        .collect();
    let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "UPDATE tokens SET revoked_at = iif(revoked_at IS NULL AND expires_at >= r.live_from, r.now, revoked_at) \
         FROM (SELECT value ->> 0 AS project_id, unhex(value ->> 1) AS jti, value ->> 2 AS now, value ->> 3 AS live_from \
               FROM json_each(?)) AS r \
         WHERE tokens.jti = r.jti AND tokens.project_id = r.project_id \
         RETURNING project_id, jti",
    )
    .bind(json(&rows)?)
    .fetch_all(connection)
    .await?;
    Ok(found
        .into_iter()
        .filter_map(|(project_id, jti)| Some((project_id, TokenId::from_bytes(jti.try_into().ok()?))))
        .collect())
}

fn hex(jti: TokenId) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    jti.as_bytes().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(super) fn json(rows: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}
