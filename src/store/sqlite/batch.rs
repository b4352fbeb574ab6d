//! A batch of writes in a few statements, whatever its size, and in one exchange with the thread that
//! SQLite runs on: an exchange costs as much as several rows.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use tokio::sync::Mutex;

use super::WriteConnection;
use crate::clock::Timestamp;
use crate::store::IssuanceRecord;
use crate::store::writer::{Commit, Write, Written};
use crate::token::TokenId;

/// Commits batches on the writing connection.
pub(super) struct Committer(pub(super) Arc<Mutex<WriteConnection>>);

impl Commit for Committer {
    /// SQLite works on the same cores as the requests, so fewer and larger batches leave them more. More
    /// turns no longer pay.
    const TURNS: usize = 3;

    async fn commit(&mut self, batch: Vec<Write>) -> Result<Vec<Written>, sqlx::Error> {
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

async fn commit(connection: &mut SqliteConnection, batch: Vec<Write>) -> Result<Vec<Written>, sqlx::Error> {
    enum Asked {
        Issue(TokenId),
        Revoke(i64, TokenId),
    }
    let (mut records, mut revocations) = (Vec::with_capacity(batch.len()), Vec::new());
    let mut asked = Vec::with_capacity(batch.len());
    for write in batch {
        match write {
            Write::Issue(record) => {
                asked.push(Asked::Issue(record.jti));
                records.push(record);
            }
            Write::Revoke { project_id, jti, now } => {
                asked.push(Asked::Revoke(project_id, jti));
                revocations.push((project_id, jti, now));
            }
        }
    }
    let refused = if records.is_empty() { HashSet::new() } else { insert(connection, records).await? };
    let revoked =
        if revocations.is_empty() { HashSet::new() } else { revoke(connection, &revocations).await? };
    let written = asked.into_iter().map(|asked| match asked {
        Asked::Issue(jti) => Written::Issued(!refused.contains(&jti)),
        Asked::Revoke(project_id, jti) => Written::Revoked(revoked.contains(&(project_id, jti))),
    });
    Ok(written.collect())
}

/// Inserts the records in one transaction, but for those whose API key has been revoked, and returns
/// those. Only the database knows that for certain: a server's view of the keys is a moment old.
async fn insert(
    connection: &mut SqliteConnection,
    records: Vec<IssuanceRecord>,
) -> Result<HashSet<TokenId>, sqlx::Error> {
    let jtis: Vec<_> = records.iter().map(|record| record.jti).collect();
    let entries = records.iter().map(|record| record.agents.len()).sum();
    let mut insert = sqlx::query(AssertSqlSafe(insert_sql(records.len(), entries)));
    let mut agents = Vec::with_capacity(entries);
    // What is bound by value is not copied.
    for record in records {
        agents.extend(record.agents.into_iter().map(|agent| (record.jti, agent)));
        insert = insert
            .bind(record.jti.as_bytes().as_slice())
            .bind(record.project_id)
            .bind(record.api_key_id.0)
            .bind(String::from(record.origin))
            .bind(record.expires_at.millis())
            .bind(record.kid)
            .bind(record.payload)
            .bind(record.seal.as_bytes().as_slice());
    }
    for (jti, agent) in agents {
        insert = insert.bind(jti.as_bytes().as_slice()).bind(String::from(agent));
    }
    // Most tokens are for one agent, so most batches of a size are alike and the statement is kept.
    let rows = insert.persistent(entries == jtis.len()).fetch_all(&mut *connection).await?;
    let inserted: i64 = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    if usize::try_from(inserted) == Ok(jtis.len()) {
        return Ok(HashSet::new());
    }
    let wanted: Vec<_> = jtis.iter().copied().map(hex).collect();
    let kept: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT jti FROM tokens WHERE jti IN (SELECT unhex(value) FROM json_each(?))")
            .bind(json(&wanted)?)
            .fetch_all(connection)
            .await?;
    let kept: HashSet<_> =
        kept.into_iter().filter_map(|(jti,)| Some(TokenId::from_bytes(jti.try_into().ok()?))).collect();
    Ok(jtis.into_iter().filter(|jti| !kept.contains(jti)).collect())
}

/// The statements for so many records and entries in the index of agents. `changes()` tells how many
/// records went in; an entry goes in with its record.
fn insert_sql(records: usize, entries: usize) -> String {
    let mut sql = String::with_capacity(512 + records * 16 + entries * 6);
    let values = |sql: &mut String, row: &str, count: usize| {
        for index in 0..count {
            let _ = write!(sql, "{}{row}", if index == 0 { "VALUES " } else { "," });
        }
    };
    sql.push_str(
        "BEGIN IMMEDIATE; \
         INSERT OR ROLLBACK INTO tokens (jti, project_id, api_key_id, origin, expires_at, kid, payload, seal) \
         SELECT * FROM (",
    );
    values(&mut sql, "(?,?,?,?,?,?,?,?)", records);
    sql.push_str(
        ") AS new WHERE NOT EXISTS \
         (SELECT 1 FROM api_keys WHERE api_keys.id = new.column3 AND revoked_at IS NOT NULL); \
         SELECT changes(); \
         INSERT OR IGNORE INTO token_agents (project_id, agent_id, token_id, expires_at) \
         SELECT project_id, entry.column2, id, expires_at FROM (",
    );
    values(&mut sql, "(?,?)", entries);
    sql.push_str(") AS entry CROSS JOIN tokens ON tokens.jti = entry.column1; COMMIT");
    sql
}

async fn revoke(
    connection: &mut SqliteConnection,
    revocations: &[(i64, TokenId, Timestamp)],
) -> Result<HashSet<(i64, TokenId)>, sqlx::Error> {
    let rows: Vec<_> =
        revocations.iter().map(|(project_id, jti, now)| (project_id, hex(*jti), now.millis())).collect();
    let rows = json(&rows)?;
    // One index knows all that it takes. The rows themselves would be more pages, and among millions of tokens cold
    // ones. Setting what is set changes nothing, and has a token that was revoked before be found too.
    let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
         SELECT token.project_id, token.id, token.jti, token.expires_at, asked.value ->> 2 \
         FROM json_each(?) AS asked CROSS JOIN tokens AS token \
         ON token.jti = unhex(asked.value ->> 1) AND token.project_id = asked.value ->> 0 \
         WHERE TRUE ON CONFLICT (project_id, token_id) DO UPDATE SET revoked_at = revocations.revoked_at \
         RETURNING project_id, jti",
    )
    .bind(&rows)
    .fetch_all(connection)
    .await?;
    let found = found.into_iter();
    Ok(found
        .filter_map(|(project, jti)| Some((project, TokenId::from_bytes(jti.try_into().ok()?))))
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
