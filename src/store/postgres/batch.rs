//! A batch of writes in one statement of each kind, whatever its size.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};

use super::session::Sessions;
use super::{TIMEOUT, TIMEOUT_IF_OLD, within, within_time};
use crate::clock::Timestamp;
use crate::store::IssuanceRecord;
use crate::store::writer::{Commit, Write, Written};
use crate::token::TokenId;

/// For how long a batch is sent again whose connection broke before the answer. Requests wait for it.
const TRY_AGAIN_FOR: Duration = Duration::from_secs(4);

/// Pause before it is sent again: a database that is starting refuses for a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Commits batches on a connection of its own.
pub(super) struct Committer {
    options: PgConnectOptions,
    sessions: Sessions,
    open: Option<Open>,
    /// How often a connection broke, of this one and of the others: then theirs is likely to be dead too.
    broken: Arc<AtomicU64>,
}

struct Open {
    connection: PgConnection,
    /// How often one had broken when it was made.
    after: u64,
}

impl Committer {
    pub(super) fn new(options: PgConnectOptions, sessions: Sessions, broken: Arc<AtomicU64>) -> Self {
        Self { options, sessions, open: None, broken }
    }

    async fn attempt(&mut self, batch: &Batch, again: bool) -> Result<Outcome, sqlx::Error> {
        let after = self.broken.load(Ordering::Relaxed);
        // Taken out, so that a connection on which something failed is gone.
        let old = self.open.take().filter(|open| open.after == after);
        let (mut connection, time) = match old {
            Some(open) => (open.connection, TIMEOUT_IF_OLD),
            None => (within(PgConnection::connect_with(&self.options)).await?, TIMEOUT),
        };
        let outcome = within_time(time, batch.commit_by(&mut connection, self.sessions, again)).await;
        match &outcome {
            Ok(_) => self.open = Some(Open { connection, after }),
            Err(error) if is_broken_connection(error) => drop(self.broken.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
        outcome
    }
}

impl Commit for Committer {
    /// The database works while this server does: were all requests that are ready in one batch, each
    /// would wait for the other.
    const TURNS: usize = 1;

    async fn commit(&mut self, batch: Vec<Write>) -> Result<Vec<Written>, sqlx::Error> {
        let batch = Batch::new(batch);
        let began = Instant::now();
        let mut again = false;
        let outcome = loop {
            match self.attempt(&batch, again).await {
                Err(error)
                    if began.elapsed() < TRY_AGAIN_FOR
                        && (is_broken_connection(&error) || again && was_committed_meanwhile(&error)) =>
                {
                    again = true;
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => break outcome?,
            }
        };
        Ok(batch.written(&outcome))
    }
}

/// Whether the connection broke, so that it isn't known what became of the statement.
fn is_broken_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 57 is operator intervention: the server is stopping, crashed or starting.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Whether a batch that is sent again met itself: the attempt before was still under way.
fn was_committed_meanwhile(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

enum Asked {
    Issue(TokenId),
    Revoke(i64, TokenId),
}

/// A batch in columns.
#[derive(Default)]
struct Batch {
    asked: Vec<Asked>,
    jtis: Vec<Uuid>,
    project_ids: Vec<i64>,
    api_key_ids: Vec<String>,
    origins: Vec<String>,
    expiries: Vec<i64>,
    kids: Vec<String>,
    payloads: Vec<String>,
    seals: Vec<Vec<u8>>,
    entry_jtis: Vec<Uuid>,
    entry_agents: Vec<String>,
    revoked_projects: Vec<i64>,
    revoked_jtis: Vec<Uuid>,
    revoked_at: Vec<i64>,
}

#[derive(Default)]
struct Outcome {
    issued: HashSet<TokenId>,
    revoked: HashSet<(i64, TokenId)>,
}

impl Batch {
    fn new(writes: Vec<Write>) -> Self {
        let mut batch = Self::default();
        for write in writes {
            match write {
                Write::Issue(record) => batch.add(record),
                Write::Revoke { project_id, jti, now } => batch.add_revocation(project_id, jti, now),
            }
        }
        batch
    }

    fn add(&mut self, record: IssuanceRecord) {
        let jti = uuid(record.jti);
        self.asked.push(Asked::Issue(record.jti));
        self.jtis.push(jti);
        self.project_ids.push(record.project_id);
        self.api_key_ids.push(record.api_key_id.0.as_ref().to_owned());
        self.origins.push(record.origin.into());
        self.expiries.push(record.expires_at.millis());
        self.kids.push(record.kid.as_ref().to_owned());
        self.payloads.push(record.payload);
        self.seals.push(record.seal.as_bytes().to_vec());
        for agent in record.agents {
            self.entry_jtis.push(jti);
            self.entry_agents.push(agent.into());
        }
    }

    fn add_revocation(&mut self, project_id: i64, jti: TokenId, now: Timestamp) {
        self.asked.push(Asked::Revoke(project_id, jti));
        self.revoked_projects.push(project_id);
        self.revoked_jtis.push(uuid(jti));
        self.revoked_at.push(now.millis());
    }

    fn written(&self, outcome: &Outcome) -> Vec<Written> {
        let written = self.asked.iter().map(|asked| match asked {
            Asked::Issue(jti) => Written::Issued(outcome.issued.contains(jti)),
            Asked::Revoke(project_id, jti) => {
                Written::Revoked(outcome.revoked.contains(&(*project_id, *jti)))
            }
        });
        written.collect()
    }

    async fn commit_by(
        &self,
        connection: &mut PgConnection,
        sessions: Sessions,
        again: bool,
    ) -> Result<Outcome, sqlx::Error> {
        if !sessions.pooled {
            return self.commit(connection, sessions, again).await;
        }
        let mut transaction = connection.begin().await?;
        let outcome = self.commit(&mut transaction, sessions, again).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Each statement is a transaction, or all are one. `again`: an attempt before may have been committed
    /// without an answer. Its records are all there or none is, and an id is never made twice, so what
    /// is there is ours.
    async fn commit(
        &self,
        connection: &mut PgConnection,
        sessions: Sessions,
        again: bool,
    ) -> Result<Outcome, sqlx::Error> {
        let mut outcome = Outcome::default();
        if !self.jtis.is_empty() {
            let kept = if again { self.kept(connection, sessions).await? } else { Vec::new() };
            let kept = if kept.is_empty() { self.issue(connection, sessions).await? } else { kept };
            outcome.issued = kept.into_iter().map(token_id).collect();
        }
        if !self.revoked_jtis.is_empty() {
            let found = self.revoke(connection, sessions).await?;
            outcome.revoked =
                found.into_iter().map(|(project_id, jti)| (project_id, token_id(jti))).collect();
        }
        Ok(outcome)
    }

    async fn issue(
        &self,
        connection: &mut PgConnection,
        sessions: Sessions,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        sessions
            .query_scalar("SELECT issue_tokens($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            .bind(&self.jtis)
            .bind(&self.project_ids)
            .bind(&self.api_key_ids)
            .bind(&self.origins)
            .bind(&self.expiries)
            .bind(&self.kids)
            .bind(&self.payloads)
            .bind(&self.seals)
            .bind(&self.entry_jtis)
            .bind(&self.entry_agents)
            .fetch_all(connection)
            .await
    }

    async fn kept(
        &self,
        connection: &mut PgConnection,
        sessions: Sessions,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        sessions
            .query_scalar("SELECT jti FROM tokens WHERE jti = ANY($1)")
            .bind(&self.jtis)
            .fetch_all(connection)
            .await
    }

    /// Revokes what is there. Doing it again changes nothing.
    async fn revoke(
        &self,
        connection: &mut PgConnection,
        sessions: Sessions,
    ) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
        sessions
            .query_as("SELECT project_id, jti FROM revoke_tokens($1, $2, $3)")
            .bind(&self.revoked_projects)
            .bind(&self.revoked_jtis)
            .bind(&self.revoked_at)
            .fetch_all(connection)
            .await
    }
}

pub(super) fn uuid(jti: TokenId) -> Uuid {
    Uuid::from_bytes(*jti.as_bytes())
}

pub(super) fn token_id(uuid: Uuid) -> TokenId {
    TokenId::from_bytes(uuid.into_bytes())
}
