//! Records of issued tokens in PostgreSQL.

use async_trait::async_trait;
use sqlx::types::Uuid;

use super::batch::{token_id, uuid};
use super::{PostgresStore, within};
use crate::clock::Timestamp;
use crate::keys::RowSeal;
use crate::store::{
    IssuanceRecord, ListQuery, Page, RevocationCursor, Revocations, RevokeFilter, Status, StoreError,
    StoredToken, TokenStore, Write, Written,
};
use crate::token::{AgentId, Origin, TokenId, live_from};

/// A row: jti, project, API key, expires at, revoked at, kid, payload, seal.
type Row = (Uuid, i64, String, i64, Option<i64>, String, String, Vec<u8>);

/// How far below the oldest live id that is seen one may still be committed: ids are taken before the
/// commit, by several servers at once.
const LIVE_FLOOR_MARGIN: i64 = 10_000;

/// A page, newest first: `$1` project, `$2` agent, `$3` limit, `$4` offset. The page is found in the
/// index of agents, or in that of the project, before any token's row is looked at.
macro_rules! page {
    ($condition:literal) => {
        [page!(@ "token_agents", "token_id", " AND i.agent_id = $2", $condition),
         page!(@ "tokens", "id", " AND $2::text IS NULL", $condition)]
    };
    (@ $table:literal, $id:literal, $of:literal, $condition:literal) => {
        concat!(
            "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, page.revoked_at, t.kid, t.payload, t.seal FROM ( \
                 SELECT i.", $id, " AS id, r.revoked_at FROM ", $table, " i \
                 LEFT JOIN revocations r ON r.project_id = i.project_id AND r.token_id = i.", $id, " \
                 WHERE i.project_id = $1", $of, $condition, " \
                 ORDER BY i.", $id, " DESC LIMIT $3 OFFSET $4 \
             ) page JOIN tokens t ON t.id = page.id ORDER BY page.id DESC"
        )
    };
}

const ACTIVE: [&str; 2] = [
    page!(@ "token_agents", "token_id", " AND i.agent_id = $2",
          " AND i.expires_at >= $5 AND i.token_id >= $6 AND r.revoked_at IS NULL"),
    page!(@ "tokens", "id", " AND $2::text IS NULL",
          " AND i.expires_at >= $5 AND i.id >= $6 AND r.revoked_at IS NULL"),
];
const EXPIRED: [&str; 2] = page!(" AND i.expires_at < $5 AND r.revoked_at IS NULL");
const ALL: [&str; 2] = page!("");
/// The same by the revocations, of which there are few.
const REVOKED: &str = "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, page.revoked_at, t.kid, t.payload, t.seal FROM ( \
         SELECT r.token_id AS id, r.revoked_at FROM revocations r \
         WHERE r.project_id = $1 AND ($2::text IS NULL OR EXISTS ( \
             SELECT 1 FROM token_agents a \
             WHERE a.project_id = $1 AND a.agent_id = $2 AND a.token_id = r.token_id)) \
         ORDER BY r.token_id DESC LIMIT $3 OFFSET $4 \
     ) page JOIN tokens t ON t.id = page.id ORDER BY page.id DESC";

#[async_trait]
impl TokenStore for PostgresStore {
    async fn issue(&self, record: IssuanceRecord) -> Result<bool, StoreError> {
        let written = self.writer.submit(Write::Issue(record)).await?;
        Ok(written == Written::Issued(true))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let wanted = query.limit as usize;
        let live_from = live_from(query.now).millis();
        let [of_agent, of_project] = match query.status {
            Status::Active => ACTIVE,
            Status::Expired => EXPIRED,
            Status::Revoked => [REVOKED; 2],
            Status::All => ALL,
        };
        let sql = if query.agent.is_some() { of_agent } else { of_project };
        let mut select = self
            .sessions
            .query_as::<Row>(sql)
            .bind(query.project_id)
            .bind(query.agent.as_ref().map(AgentId::as_str))
            .bind(i64::from(query.limit) + 1)
            .bind(i64::try_from(query.offset).unwrap_or(i64::MAX));
        if matches!(query.status, Status::Active | Status::Expired) {
            select = select.bind(live_from);
        }
        if query.status == Status::Active {
            select = select.bind(self.live_floor.at(live_from, self.oldest_live_id(live_from)).await);
        }
        let rows = within(select.fetch_all(&mut *self.reader().await?)).await?;
        let has_next = rows.len() > wanted;
        let tokens = rows.into_iter().take(wanted).map(stored).collect::<Result<_, _>>()?;
        Ok(Page { tokens, has_next })
    }

    async fn find(&self, jti: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let select = self.sessions.query_as::<Row>(
            "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, r.revoked_at, t.kid, t.payload, t.seal \
             FROM tokens t LEFT JOIN revocations r ON r.project_id = t.project_id AND r.token_id = t.id \
             WHERE t.jti = $1",
        );
        within(select.bind(uuid(jti)).fetch_optional(&mut *self.reader().await?))
            .await?
            .map(stored)
            .transpose()
    }

    async fn revoke(&self, project_id: i64, jti: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let written = self.writer.submit(Write::Revoke { project_id, jti, now }).await?;
        Ok(written == Written::Revoked(true))
    }

    async fn revoke_where(&self, filter: &RevokeFilter, now: Timestamp) -> Result<u64, StoreError> {
        let insert = self.sessions.query(
            "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
             SELECT project_id, id, jti, expires_at, $1 FROM tokens \
             WHERE expires_at >= $2 \
               AND ($3::bigint IS NULL OR project_id = $3) \
               AND ($4::text IS NULL OR origin = $4) \
               AND ($5::text IS NULL OR api_key_id = $5) \
               AND ($6::text IS NULL OR EXISTS (SELECT 1 FROM token_agents a \
                    WHERE a.project_id = tokens.project_id AND a.agent_id = $6 AND a.token_id = tokens.id)) \
             ORDER BY id ON CONFLICT DO NOTHING",
        );
        let mut transaction = within(self.pool.begin()).await?;
        // As long as it takes: it may be every live token.
        let done = insert
            .bind(now.millis())
            .bind(live_from(now).millis())
            .bind(filter.project_id)
            .bind(filter.origin.as_ref().map(Origin::as_str))
            .bind(filter.api_key.as_ref().map(|id| &*id.0))
            .bind(filter.agent.as_ref().map(AgentId::as_str))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    async fn revocations(
        &self,
        since: Option<RevocationCursor>,
        now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        self.revocations.lock().await.look(since, now).await
    }

    async fn last_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        let select = self.sessions.query_scalar("SELECT max(expires_at) FROM tokens");
        let last: Option<i64> = within(select.fetch_one(&mut *self.reader().await?)).await?;
        Ok(last.map(Timestamp::from_millis))
    }

    async fn count_expired(&self, cutoff: Timestamp, most: u32) -> Result<u64, StoreError> {
        let select = self.sessions.query_scalar(
            "SELECT count(*) FROM (SELECT FROM tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) AS expired",
        );
        let select = select.bind(cutoff.millis()).bind(i64::from(most));
        let count: i64 = within(select.fetch_one(&mut *self.reader().await?)).await?;
        Ok(count.unsigned_abs())
    }

    async fn prune(&self, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // Servers that prune at the same time take different rows.
        let delete = self.sessions.query(
            "DELETE FROM tokens WHERE id = ANY(ARRAY( \
                 SELECT id FROM tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
        );
        let delete = delete.bind(cutoff.millis()).bind(i64::from(limit));
        let mut transaction = within(self.pool.begin()).await?;
        let done = within(delete.execute(&mut *transaction)).await?;
        within(transaction.commit()).await?;
        Ok(done.rows_affected())
    }
}

impl PostgresStore {
    async fn oldest_live_id(&self, live_from: i64) -> Result<i64, sqlx::Error> {
        let select = self.sessions.query_scalar(
            // With the sum, the index by expiry is read, not every record from the oldest on.
            "SELECT coalesce((SELECT min(id + 0) FROM tokens WHERE expires_at >= $1), (SELECT max(id) FROM tokens), 0)",
        );
        let oldest: i64 = within(select.bind(live_from).fetch_one(&mut *self.reader().await?)).await?;
        Ok(oldest - LIVE_FLOOR_MARGIN)
    }
}

fn stored(row: Row) -> Result<StoredToken, StoreError> {
    let (jti, project_id, api_key_id, expires_at, revoked_at, kid, payload, seal) = row;
    Ok(StoredToken {
        jti: token_id(jti),
        project_id,
        api_key_id,
        expires_at: Timestamp::from_millis(expires_at),
        revoked_at: revoked_at.map(Timestamp::from_millis),
        kid,
        payload,
        seal: RowSeal::from_bytes(seal.try_into().map_err(|_| StoreError::Damaged("seal"))?),
    })
}
