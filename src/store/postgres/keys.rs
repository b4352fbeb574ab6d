//! Projects, API keys and signing keys in PostgreSQL.

use async_trait::async_trait;

use super::{PostgresStore, within};
use crate::clock::Timestamp;
use crate::keys::{ApiKeyId, Project, SealedKey};
use crate::store::rows::{ApiKeyRow, ProjectRow, SigningKeyRow, api_key, project, signing_key};
use crate::store::{ApiKeyRecord, KeyStore, StoreError, StoredApiKey};
use crate::token::{AgentId, live_from};

const API_KEYS_CHANGED: &str = "UPDATE versions SET version = version + 1 WHERE name = 'api_keys'";

#[async_trait]
impl KeyStore for PostgresStore {
    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let select =
            self.sessions.query_as::<ProjectRow>("SELECT id, name, agents FROM projects ORDER BY id");
        within(select.fetch_all(&mut *self.reader().await?)).await?.into_iter().map(project).collect()
    }

    async fn ensure_project(&self, name: &str, now: Timestamp) -> Result<Project, StoreError> {
        let mut transaction = within(self.pool.begin()).await?;
        self.sessions
            .query("INSERT INTO projects (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(now.millis())
            .execute(&mut *transaction)
            .await?;
        let row: ProjectRow = self
            .sessions
            .query_as("SELECT id, name, agents FROM projects WHERE name = $1")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        project(row)
    }

    async fn set_project_agents(&self, name: &str, agents: Option<&[AgentId]>) -> Result<bool, StoreError> {
        let agents = agents.map(|agents| serde_json::json!(agents).to_string());
        let mut transaction = within(self.pool.begin()).await?;
        let changed = self
            .sessions
            .query("UPDATE projects SET agents = $1 WHERE name = $2")
            .bind(agents)
            .bind(name)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if changed == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        self.sessions.query(API_KEYS_CHANGED).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn create_api_key(&self, record: &ApiKeyRecord) -> Result<(), StoreError> {
        let mut transaction = within(self.pool.begin()).await?;
        self.sessions.query("INSERT INTO api_keys (id, project_id, name, hash, gateway, created_at, seal) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(&*record.id.0)
            .bind(record.project_id)
            .bind(&record.name)
            .bind(record.hash.as_bytes().as_slice())
            .bind(record.gateway)
            .bind(record.created_at.millis())
            .bind(record.seal.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await?;
        self.sessions.query(API_KEYS_CHANGED).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        let select = self.sessions.query_as::<ApiKeyRow>(
            "SELECT id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at FROM api_keys \
             ORDER BY created_at, id",
        );
        within(select.fetch_all(&mut *self.reader().await?)).await?.into_iter().map(api_key).collect()
    }

    async fn revoke_api_key(
        &self,
        id: &ApiKeyId,
        keep_tokens: bool,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        // First the key, while no batch is under way; that takes a moment. Then no more tokens of it can
        // come, and revoking them may take its time without holding up anybody.
        let mut transaction = within(self.pool.begin()).await?;
        within(self.sessions.query("SELECT pg_advisory_xact_lock(1751215212, 1)").execute(&mut *transaction))
            .await?;
        let update = self
            .sessions
            .query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2")
            .bind(now.millis())
            .bind(&*id.0);
        if within(update.execute(&mut *transaction)).await?.rows_affected() == 0 {
            return Ok(None);
        }
        within(self.sessions.query(API_KEYS_CHANGED).execute(&mut *transaction)).await?;
        within(transaction.commit()).await?;
        if keep_tokens {
            return Ok(Some(0));
        }
        let mut transaction = within(self.pool.begin()).await?;
        let revoked = self
            .sessions
            .query(
                "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
                 SELECT project_id, id, jti, expires_at, $1 FROM tokens WHERE expires_at >= $2 AND api_key_id = $3 \
                 ORDER BY id ON CONFLICT DO NOTHING",
            )
            .bind(now.millis())
            .bind(live_from(now).millis())
            .bind(&*id.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(Some(revoked))
    }

    async fn note_api_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let (ids, times): (Vec<_>, Vec<_>) =
            uses.iter().map(|(id, at)| (id.0.to_string(), at.millis())).unzip();
        let update = self.sessions.query(
            "UPDATE api_keys SET last_used_at = greatest(coalesce(last_used_at, 0), used.at) \
             FROM unnest($1, $2) AS used (id, at) WHERE api_keys.id = used.id",
        );
        let mut transaction = within(self.pool.begin()).await?;
        within(update.bind(ids).bind(times).execute(&mut *transaction)).await?;
        within(transaction.commit()).await?;
        Ok(())
    }

    async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        let select = self.sessions.query_as::<SigningKeyRow>(
            "SELECT kid, algorithm, state, created_at, activated_at, ends_at, sealed FROM signing_keys \
             ORDER BY created_at, state, kid",
        );
        Ok(within(select.fetch_all(&mut *self.reader().await?)).await?.into_iter().map(signing_key).collect())
    }

    async fn replace_signing_keys(&self, version: i64, keys: &[SealedKey]) -> Result<bool, StoreError> {
        let mut transaction = within(self.pool.begin()).await?;
        let moved = self
            .sessions
            .query("UPDATE versions SET version = version + 1 WHERE name = 'signing_keys' AND version = $1")
            .bind(version)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if moved == 0 {
            return Ok(false);
        }
        self.sessions.query("DELETE FROM signing_keys").execute(&mut *transaction).await?;
        for key in keys {
            self.sessions.query(
                "INSERT INTO signing_keys (kid, algorithm, state, created_at, activated_at, ends_at, sealed) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&key.kid)
            .bind(&key.algorithm)
            .bind(&key.state)
            .bind(key.created_at.millis())
            .bind(key.activated_at.map(Timestamp::millis))
            .bind(key.ends_at.map(Timestamp::millis))
            .bind(&key.sealed)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
