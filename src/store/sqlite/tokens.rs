//! Records of issued tokens in SQLite.

use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::SqliteStore;
use crate::clock::Timestamp;
use crate::keys::RowSeal;
use crate::store::{
    IssuanceRecord, ListQuery, Page, RevocationCursor, Revocations, RevokeFilter, Status, StoreError,
    StoredToken, TokenStore, Write, Written,
};
use crate::token::{AgentId, Origin, TokenId, live_from};

/// A row of `tokens`: jti, project, API key, expires at, revoked at, kid, payload, seal.
type Row = (Vec<u8>, i64, String, i64, Option<i64>, String, String, Vec<u8>);

/// A page, newest first: `?1` project, `?2` agent, `?3` limit, `?4` offset. The first is by the index
/// of agents, where CROSS JOIN fixes the order: a token's row is looked at only for what passes. The
/// second is of the whole project, by an index that is named because the one by expiry looks good too.
macro_rules! page {
    ($condition:literal) => {
        [
            concat!(
                "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, r.revoked_at, t.kid, t.payload, t.seal \
                 FROM token_agents i \
                 LEFT JOIN revocations r ON r.project_id = i.project_id AND r.token_id = i.token_id \
                 CROSS JOIN tokens t ON t.id = i.token_id \
                 WHERE i.project_id = ?1 AND i.agent_id = ?2",
                $condition,
                " ORDER BY i.token_id DESC LIMIT ?3 OFFSET ?4"
            ),
            concat!(
                "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, r.revoked_at, t.kid, t.payload, t.seal \
                 FROM (SELECT project_id, id AS token_id, expires_at FROM tokens INDEXED BY tokens_by_project) i \
                 LEFT JOIN revocations r ON r.project_id = i.project_id AND r.token_id = i.token_id \
                 CROSS JOIN tokens t ON t.id = i.token_id WHERE i.project_id = ?1 AND ?2 IS NULL",
                $condition,
                " ORDER BY i.token_id DESC LIMIT ?3 OFFSET ?4"
            ),
        ]
    };
}

const ACTIVE: [&str; 2] = page!(" AND i.token_id >= ?6 AND i.expires_at >= ?5 AND r.revoked_at IS NULL");
const EXPIRED: [&str; 2] = page!(" AND i.expires_at < ?5 AND r.revoked_at IS NULL");
const ALL: [&str; 2] = page!("");
/// The same by the revocations, of which there are few.
const REVOKED: &str = "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, r.revoked_at, t.kid, t.payload, t.seal \
     FROM revocations r CROSS JOIN tokens t ON t.id = r.token_id \
     WHERE r.project_id = ?1 \
       AND (?2 IS NULL OR EXISTS (SELECT 1 FROM token_agents a \
            WHERE a.project_id = ?1 AND a.agent_id = ?2 AND a.token_id = r.token_id)) \
     ORDER BY r.token_id DESC LIMIT ?3 OFFSET ?4";

#[async_trait]
impl TokenStore for SqliteStore {
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
        let mut select = sqlx::query_as::<_, Row>(sql)
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
        let rows = select.fetch_all(&self.readers).await?;
        let has_next = rows.len() > wanted;
        let tokens = rows.into_iter().take(wanted).map(stored).collect::<Result<_, _>>()?;
        Ok(Page { tokens, has_next })
    }

    async fn find(&self, jti: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, r.revoked_at, t.kid, t.payload, t.seal \
             FROM tokens t LEFT JOIN revocations r ON r.project_id = t.project_id AND r.token_id = t.id \
             WHERE t.jti = ?",
        )
        .bind(jti.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await?;
        row.map(stored).transpose()
    }

    async fn revoke(&self, project_id: i64, jti: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let written = self.writer.submit(Write::Revoke { project_id, jti, now }).await?;
        Ok(written == Written::Revoked(true))
    }

    async fn revoke_where(&self, filter: &RevokeFilter, now: Timestamp) -> Result<u64, StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let revoked = sqlx::query(
            "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
             SELECT project_id, id, jti, expires_at, ?1 FROM tokens \
             WHERE expires_at >= ?2 \
               AND (?3 IS NULL OR project_id = ?3) \
               AND (?4 IS NULL OR origin = ?4) \
               AND (?5 IS NULL OR api_key_id = ?5) \
               AND (?6 IS NULL OR EXISTS (SELECT 1 FROM token_agents a \
                    WHERE a.project_id = tokens.project_id AND a.agent_id = ?6 AND a.token_id = tokens.id)) \
             ON CONFLICT DO NOTHING",
        )
        .bind(now.millis())
        .bind(live_from(now).millis())
        .bind(filter.project_id)
        .bind(filter.origin.as_ref().map(Origin::as_str))
        .bind(filter.api_key.as_ref().map(|id| &*id.0))
        .bind(filter.agent.as_ref().map(AgentId::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(revoked)
    }

    async fn revocations(
        &self,
        since: Option<RevocationCursor>,
        now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        // One writer: what has the higher number was committed later.
        let (newest,): (i64,) =
            sqlx::query_as("SELECT coalesce(max(seq), 0) FROM revocations").fetch_one(&self.readers).await?;
        let sql =
            "SELECT jti, expires_at, seq FROM revocations WHERE seq > ? AND expires_at >= ? ORDER BY seq";
        let (after, from) = since.map_or((0, live_from(now).millis()), |cursor| (cursor.0, i64::MIN));
        let mut rows =
            sqlx::query_as::<_, (Vec<u8>, i64, i64)>(sql).bind(after).bind(from).fetch(&self.readers);
        let (mut tokens, mut last) = (Vec::new(), newest.max(after));
        while let Some((jti, expires_at, seq)) = rows.try_next().await? {
            let jti = TokenId::from_bytes(jti.try_into().map_err(|_| StoreError::Damaged("jti"))?);
            tokens.push((jti, Timestamp::from_millis(expires_at)));
            last = last.max(seq);
        }
        Ok(Revocations { tokens, whole: since.is_none(), next: RevocationCursor(last) })
    }

    async fn last_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        let (last,): (Option<i64>,) =
            sqlx::query_as("SELECT max(expires_at) FROM tokens").fetch_one(&self.readers).await?;
        Ok(last.map(Timestamp::from_millis))
    }

    async fn count_expired(&self, cutoff: Timestamp, most: u32) -> Result<u64, StoreError> {
        let select = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
        );
        let count: i64 = select.bind(cutoff.millis()).bind(most).fetch_one(&self.readers).await?;
        Ok(count.unsigned_abs())
    }

    async fn prune(&self, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let removed = sqlx::query(
            "DELETE FROM tokens WHERE id IN \
             (SELECT id FROM tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
        )
        .bind(cutoff.millis())
        .bind(limit)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(removed)
    }
}

impl SqliteStore {
    async fn oldest_live_id(&self, live_from: i64) -> Result<i64, sqlx::Error> {
        let select = sqlx::query_scalar(
            // With the sum, the index by expiry is read, not every record from the oldest on.
            "SELECT coalesce((SELECT min(id + 0) FROM tokens WHERE expires_at >= ?), \
                             (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'tokens'), 0)",
        );
        select.bind(live_from).fetch_one(&self.readers).await
    }
}

fn stored(row: Row) -> Result<StoredToken, StoreError> {
    let (jti, project_id, api_key_id, expires_at, revoked_at, kid, payload, seal) = row;
    Ok(StoredToken {
        jti: TokenId::from_bytes(jti.try_into().map_err(|_| StoreError::Damaged("jti"))?),
        project_id,
        api_key_id,
        expires_at: Timestamp::from_millis(expires_at),
        revoked_at: revoked_at.map(Timestamp::from_millis),
        kid,
        payload,
        seal: RowSeal::from_bytes(seal.try_into().map_err(|_| StoreError::Damaged("seal"))?),
    })
}
