//! Copying from a SQLite database and into one.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};

use super::admin::SqliteAdmin;
use super::lock;
use crate::clock::Timestamp;
use crate::store::copy::{
    COUNTS, CopiedProject, CopiedRevocation, CopiedToken, CopyCounts, CopyEnd, HELD, Held,
};
use crate::store::rows::{ApiKeyRow, SigningKeyRow};
use crate::store::{OpenError, StoreError};

#[async_trait]
impl CopyEnd for SqliteAdmin {
    async fn claim(&mut self) -> Result<bool, OpenError> {
        match lock(&self.path) {
            Ok(file) => self.lock = Some(file),
            Err(OpenError::InUse(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn begin_reading(&mut self) -> Result<(), StoreError> {
        // The snapshot is that of the first read.
        self.run("BEGIN; SELECT count(*) FROM sqlite_schema").await
    }

    async fn begin_writing(&mut self) -> Result<(), StoreError> {
        self.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.run("COMMIT").await
    }

    async fn held(&mut self) -> Result<Held, StoreError> {
        Ok(sqlx::query_as(HELD).fetch_one(&mut self.connection).await?)
    }

    async fn counts(&mut self, live_from: Timestamp) -> Result<CopyCounts, StoreError> {
        let row: (i64, i64, i64, i64, i64, i64) =
            sqlx::query_as(COUNTS).bind(live_from.millis()).fetch_one(&mut self.connection).await?;
        Ok(row.into())
    }

    async fn projects(&mut self) -> Result<Vec<CopiedProject>, StoreError> {
        let sql = "SELECT id, name, agents, created_at FROM projects ORDER BY id";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.connection).await?)
    }

    async fn api_keys(&mut self) -> Result<Vec<ApiKeyRow>, StoreError> {
        let sql = "SELECT id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at FROM api_keys";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.connection).await?)
    }

    async fn signing_keys(&mut self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let sql = "SELECT kid, algorithm, state, created_at, activated_at, ends_at, sealed FROM signing_keys";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.connection).await?)
    }

    async fn tokens(&mut self, after: (i64, i64), limit: u32) -> Result<Vec<CopiedToken>, StoreError> {
        type Row = (i64, Vec<u8>, i64, String, String, i64, String, String, Vec<u8>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal \
             FROM tokens INDEXED BY tokens_by_expiry WHERE (expires_at, id) > (?, ?) ORDER BY expires_at, id LIMIT ?",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?;
        let token = |(id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal): Row| {
            let jti = jti.try_into().map_err(|_| StoreError::Damaged("jti"))?;
            Ok(CopiedToken { id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal })
        };
        rows.into_iter().map(token).collect()
    }

    async fn revocations(
        &mut self,
        live_from: Timestamp,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<CopiedRevocation>, StoreError> {
        let rows: Vec<(i64, i64, Vec<u8>, i64, i64)> = sqlx::query_as(
            "SELECT project_id, token_id, jti, expires_at, revoked_at FROM revocations \
             WHERE (project_id, token_id) > (?, ?) AND expires_at >= ? ORDER BY project_id, token_id LIMIT ?",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(live_from.millis())
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?;
        let revocation = |(project_id, token_id, jti, expires_at, revoked_at): (_, _, Vec<u8>, _, _)| {
            let jti = jti.try_into().map_err(|_| StoreError::Damaged("jti"))?;
            Ok(CopiedRevocation { project_id, token_id, jti, expires_at, revoked_at })
        };
        rows.into_iter().map(revocation).collect()
    }

    async fn last_token_id(&mut self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'tokens'), 0)";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    async fn put_projects(&mut self, rows: Vec<CopiedProject>) -> Result<(), StoreError> {
        self.run("DELETE FROM projects").await?;
        for (id, name, agents, created_at) in rows {
            sqlx::query("INSERT INTO projects (id, name, agents, created_at) VALUES (?, ?, ?, ?)")
                .bind(id)
                .bind(name)
                .bind(agents)
                .bind(created_at)
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }

    async fn put_api_keys(&mut self, rows: Vec<ApiKeyRow>) -> Result<(), StoreError> {
        for (id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at) in rows {
            sqlx::query(
                "INSERT INTO api_keys \
                 (id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(id)
            .bind(project_id)
            .bind(name)
            .bind(hash)
            .bind(gateway)
            .bind(created_at)
            .bind(seal)
            .bind(last_used_at)
            .bind(revoked_at)
            .execute(&mut self.connection)
            .await?;
        }
        Ok(())
    }

    async fn put_signing_keys(&mut self, rows: Vec<SigningKeyRow>) -> Result<(), StoreError> {
        for (kid, algorithm, state, created_at, activated_at, ends_at, sealed) in rows {
            sqlx::query(
                "INSERT INTO signing_keys (kid, algorithm, state, created_at, activated_at, ends_at, sealed) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(kid)
            .bind(algorithm)
            .bind(state)
            .bind(created_at)
            .bind(activated_at)
            .bind(ends_at)
            .bind(sealed)
            .execute(&mut self.connection)
            .await?;
        }
        Ok(())
    }

    async fn put_tokens(&mut self, rows: Vec<CopiedToken>) -> Result<(), StoreError> {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO tokens (id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal) ",
        );
        insert.push_values(rows, |mut values, token| {
            values
                .push_bind(token.id)
                .push_bind(token.jti.to_vec())
                .push_bind(token.project_id)
                .push_bind(token.api_key_id)
                .push_bind(token.origin)
                .push_bind(token.expires_at)
                .push_bind(token.kid)
                .push_bind(token.payload)
                .push_bind(token.seal);
        });
        insert.build().persistent(false).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn put_revocations(&mut self, rows: Vec<CopiedRevocation>) -> Result<(), StoreError> {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) ",
        );
        insert.push_values(rows, |mut values, revocation| {
            values
                .push_bind(revocation.project_id)
                .push_bind(revocation.token_id)
                .push_bind(revocation.jti.to_vec())
                .push_bind(revocation.expires_at)
                .push_bind(revocation.revoked_at);
        });
        insert.build().persistent(false).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn finish(&mut self, last_token_id: i64) -> Result<(), StoreError> {
        self.run(
            "INSERT OR IGNORE INTO token_agents (project_id, agent_id, token_id, expires_at) \
             SELECT project_id, entry.value ->> 'id', tokens.id, expires_at \
             FROM tokens CROSS JOIN json_each(payload, '$.policy.data') AS entry; \
             UPDATE versions SET version = version + 1",
        )
        .await?;
        let earlier = self.last_token_id().await?;
        // The table has no key that would make one statement of these.
        self.run("DELETE FROM sqlite_sequence WHERE name = 'tokens'").await?;
        sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ('tokens', ?)")
            .bind(last_token_id.max(earlier))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}
