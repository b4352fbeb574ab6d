//! Projects, API keys and signing keys in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use super::batch::json;
use crate::clock::Timestamp;
use crate::keys::{ApiKeyId, Project, SealedKey};
use crate::store::rows::{ApiKeyRow, ProjectRow, SigningKeyRow, api_key, project, signing_key};
use crate::store::{ApiKeyRecord, KeyStore, StoreError, StoredApiKey};
use crate::token::{AgentId, live_from};

const API_KEYS_CHANGED: &str = "UPDATE versions SET version = version + 1 WHERE name = 'api_keys'";

#[async_trait]
impl KeyStore for SqliteStore {
    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let rows: Vec<ProjectRow> = sqlx::query_as("SELECT id, name, agents FROM projects ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(project).collect()
    }

    async fn ensure_project(&self, name: &str, now: Timestamp) -> Result<Project, StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        sqlx::query("INSERT INTO projects (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(now.millis())
            .execute(&mut *transaction)
            .await?;
        let row: ProjectRow = sqlx::query_as("SELECT id, name, agents FROM projects WHERE name = ?")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        project(row)
    }

    async fn set_project_agents(&self, name: &str, agents: Option<&[AgentId]>) -> Result<bool, StoreError> {
        let agents = agents.map(|agents| json(&agents)).transpose()?;
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let changed = sqlx::query("UPDATE projects SET agents = ? WHERE name = ?")
            .bind(agents)
            .bind(name)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if changed == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        sqlx::query(API_KEYS_CHANGED).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn create_api_key(&self, record: &ApiKeyRecord) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        sqlx::query("INSERT INTO api_keys (id, project_id, name, hash, gateway, created_at, seal) VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(&*record.id.0)
            .bind(record.project_id)
            .bind(&record.name)
            .bind(record.hash.as_bytes().as_slice())
            .bind(record.gateway)
            .bind(record.created_at.millis())
            .bind(record.seal.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(API_KEYS_CHANGED).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn api_keys(&self) -> Result<Vec<StoredApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = sqlx::query_as(
            "SELECT id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at FROM api_keys \
             ORDER BY created_at, id",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(api_key).collect()
    }

    async fn revoke_api_key(
        &self,
        id: &ApiKeyId,
        keep_tokens: bool,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let found = sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
            .bind(now.millis())
            .bind(&*id.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if found == 0 {
            return Ok(None);
        }
        let mut revoked = 0;
        if !keep_tokens {
            revoked = sqlx::query(
                "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
                 SELECT project_id, id, jti, expires_at, ? FROM tokens WHERE expires_at >= ? AND api_key_id = ? \
                 ON CONFLICT DO NOTHING",
            )
            .bind(now.millis())
            .bind(live_from(now).millis())
            .bind(&*id.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        }
        sqlx::query(API_KEYS_CHANGED).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Some(revoked))
    }

    async fn note_api_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let uses: Vec<_> = uses.iter().map(|(id, at)| (id, at.millis())).collect();
        let mut connection = self.connection.lock().await;
        sqlx::query(
            "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), u.at) \
             FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?)) AS u WHERE api_keys.id = u.id",
        )
        .bind(json(&uses)?)
        .execute(connection.get().await?)
        .await?;
        Ok(())
    }

    async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        let rows: Vec<SigningKeyRow> = sqlx::query_as(
            "SELECT kid, algorithm, state, created_at, activated_at, ends_at, sealed FROM signing_keys \
             ORDER BY created_at, state, kid",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(signing_key).collect())
    }

    async fn replace_signing_keys(&self, version: i64, keys: &[SealedKey]) -> Result<bool, StoreError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await?;
        let moved = sqlx::query(
            "UPDATE versions SET version = version + 1 WHERE name = 'signing_keys' AND version = ?",
        )
        .bind(version)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if moved == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM signing_keys").execute(&mut *transaction).await?;
        for key in keys {
            sqlx::query(
                "INSERT INTO signing_keys (kid, algorithm, state, created_at, activated_at, ends_at, sealed) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
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
