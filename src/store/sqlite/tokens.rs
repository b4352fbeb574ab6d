//! Records of issued tokens in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use crate::clock::Timestamp;
use crate::store::{
    IssuanceRecord, ListQuery, Page, RevokeFilter, Status, StoreError, StoredToken, TokenStore, Write,
    Written,
};
use crate::token::{AgentId, Origin, TokenId, live_from};

/// A row of `tokens`: jti, project, API key, expires at, revoked at, signing input.
type Row = (Vec<u8>, i64, String, i64, Option<i64>, String);

#[async_trait]
impl TokenStore for SqliteStore {
    async fn issue(&self, record: IssuanceRecord) -> Result<bool, StoreError> {
        let written = self.writer.submit(Write::Issue(record)).await?;
        Ok(written == Written::Issued(true))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let wanted = query.limit as usize;
        // CROSS JOIN fixes the order: the index first, rows only for what passes.
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT t.jti, t.project_id, t.api_key_id, t.expires_at, t.revoked_at, t.signing_input \
             FROM token_agents a CROSS JOIN tokens t ON t.id = a.token_id \
             WHERE a.project_id = ?1 AND a.agent_id = ?2 \
               AND (?3 <> 'active' OR a.expires_at >= ?4) \
               AND (?3 <> 'expired' OR a.expires_at < ?4) \
               AND (?3 NOT IN ('active', 'expired') OR t.revoked_at IS NULL) \
               AND (?3 <> 'revoked' OR t.revoked_at IS NOT NULL) \
             ORDER BY a.token_id DESC LIMIT ?5 OFFSET ?6",
        )
        .bind(query.project_id)
        .bind(query.agent.as_ref().map_or("", AgentId::as_str))
        .bind(name_of(query.status))
        .bind(live_from(query.now).millis())
        .bind(i64::from(query.limit) + 1)
        .bind(i64::try_from(query.offset).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        let has_next = rows.len() > wanted;
        let tokens = rows.into_iter().take(wanted).map(stored).collect::<Result<_, _>>()?;
        Ok(Page { tokens, has_next })
    }

    async fn find(&self, jti: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT jti, project_id, api_key_id, expires_at, revoked_at, signing_input FROM tokens WHERE jti = ?",
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
            "UPDATE tokens SET revoked_at = ?1 \
             WHERE expires_at >= ?2 AND revoked_at IS NULL \
               AND (?3 IS NULL OR project_id = ?3) \
               AND (?4 IS NULL OR origin = ?4) \
               AND (?5 IS NULL OR api_key_id = ?5) \
               AND (?6 IS NULL OR EXISTS (SELECT 1 FROM token_agents a \
                    WHERE a.project_id = tokens.project_id AND a.agent_id = ?6 AND a.token_id = tokens.id))",
        )
        .bind(now.millis())
        .bind(live_from(now).millis())
        .bind(filter.project_id)
        .bind(filter.origin.as_ref().map(Origin::as_str))
        .bind(filter.api_key.as_ref().map(|id| id.0.as_str()))
        .bind(filter.agent.as_ref().map(AgentId::as_str))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(revoked)
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

fn name_of(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Expired => "expired",
        Status::Revoked => "revoked",
        Status::All => "all",
    }
}

fn stored(
    (jti, project_id, api_key_id, expires_at, revoked_at, signing_input): Row,
) -> Result<StoredToken, StoreError> {
    Ok(StoredToken {
        jti: TokenId::from_bytes(jti.try_into().map_err(|_| StoreError::Damaged("jti"))?),
        project_id,
        api_key_id,
        expires_at: Timestamp::from_millis(expires_at),
        revoked_at: revoked_at.map(Timestamp::from_millis),
        signing_input,
    })
}
