//! Copying from a PostgreSQL database and into one.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::types::Uuid;

use super::admin::PostgresAdmin;
use crate::clock::Timestamp;
use crate::store::copy::{
    COUNTS, CopiedProject, CopiedRevocation, CopiedToken, CopyCounts, CopyEnd, HELD, Held,
};
use crate::store::rows::{ApiKeyRow, SigningKeyRow};
use crate::store::{OpenError, StoreError};

/// A command's connection is seen for a moment after it has ended; a server's is seen longer than that.
const PASSING: Duration = Duration::from_secs(2);

/// Pause before it is looked again.
const PAUSE: Duration = Duration::from_millis(50);

#[async_trait]
impl CopyEnd for PostgresAdmin {
    /// Servers are known by the name that their connections have, which those of the same role see. They
    /// can't be kept away.
    async fn claim(&mut self) -> Result<bool, OpenError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'hallpass')";
        let begun = Instant::now();
        loop {
            let served: bool = sqlx::query_scalar(sql)
                .fetch_one(&mut self.connection)
                .await
                .map_err(|cause| OpenError::Database { database: self.name.clone(), cause })?;
            if !served || begun.elapsed() > PASSING {
                return Ok(!served);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn begin_reading(&mut self) -> Result<(), StoreError> {
        // The snapshot is that of the first read.
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM versions").await
    }

    async fn begin_writing(&mut self) -> Result<(), StoreError> {
        // The counters too, and first: a server that starts meanwhile waits there, and then looks again.
        self.run("BEGIN; LOCK TABLE versions, projects, api_keys, signing_keys, tokens IN EXCLUSIVE MODE")
            .await
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
        type Row = (i64, Uuid, i64, String, String, i64, String, String, Vec<u8>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal \
             FROM tokens WHERE (expires_at, id) > ($1, $2) ORDER BY expires_at, id LIMIT $3",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit))
        .fetch_all(&mut self.connection)
        .await?;
        let token = |(id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal): Row| {
            let jti = jti.into_bytes();
            CopiedToken { id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal }
        };
        Ok(rows.into_iter().map(token).collect())
    }

    async fn revocations(
        &mut self,
        live_from: Timestamp,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<CopiedRevocation>, StoreError> {
        let rows: Vec<(i64, i64, Uuid, i64, i64)> = sqlx::query_as(
            "SELECT project_id, token_id, jti, expires_at, revoked_at FROM revocations \
             WHERE (project_id, token_id) > ($1, $2) AND expires_at >= $3 ORDER BY project_id, token_id LIMIT $4",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(live_from.millis())
        .bind(i64::from(limit))
        .fetch_all(&mut self.connection)
        .await?;
        let revocation = |(project_id, token_id, jti, expires_at, revoked_at): (_, _, Uuid, _, _)| {
            CopiedRevocation { project_id, token_id, jti: jti.into_bytes(), expires_at, revoked_at }
        };
        Ok(rows.into_iter().map(revocation).collect())
    }

    async fn last_token_id(&mut self) -> Result<i64, StoreError> {
        let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tokens_id_seq";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    async fn put_projects(&mut self, rows: Vec<CopiedProject>) -> Result<(), StoreError> {
        self.run("DELETE FROM projects").await?;
        for (id, name, agents, created_at) in rows {
            sqlx::query("INSERT INTO projects (id, name, agents, created_at) VALUES ($1, $2, $3, $4)")
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
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
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
        #[derive(Default)]
        struct Columns {
            ids: Vec<i64>,
            jtis: Vec<Uuid>,
            project_ids: Vec<i64>,
            api_key_ids: Vec<String>,
            origins: Vec<String>,
            expiries: Vec<i64>,
            kids: Vec<String>,
            payloads: Vec<String>,
            seals: Vec<Vec<u8>>,
        }
        let mut columns = Columns::default();
        for token in rows {
            columns.ids.push(token.id);
            columns.jtis.push(Uuid::from_bytes(token.jti));
            columns.project_ids.push(token.project_id);
            columns.api_key_ids.push(token.api_key_id);
            columns.origins.push(token.origin);
            columns.expiries.push(token.expires_at);
            columns.kids.push(token.kid);
            columns.payloads.push(token.payload);
            columns.seals.push(token.seal);
        }
        sqlx::query(
            "INSERT INTO tokens (id, jti, project_id, api_key_id, origin, expires_at, kid, payload, seal) \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(columns.ids)
        .bind(columns.jtis)
        .bind(columns.project_ids)
        .bind(columns.api_key_ids)
        .bind(columns.origins)
        .bind(columns.expiries)
        .bind(columns.kids)
        .bind(columns.payloads)
        .bind(columns.seals)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    async fn put_revocations(&mut self, rows: Vec<CopiedRevocation>) -> Result<(), StoreError> {
        let column = |of: fn(&CopiedRevocation) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        let jtis: Vec<_> = rows.iter().map(|row| Uuid::from_bytes(row.jti)).collect();
        let insert = sqlx::query(
            "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
             SELECT * FROM unnest($1, $2, $3, $4, $5)",
        )
        .bind(column(|row| row.project_id))
        .bind(column(|row| row.token_id))
        .bind(jtis)
        .bind(column(|row| row.expires_at))
        .bind(column(|row| row.revoked_at));
        insert.execute(&mut self.connection).await?;
        Ok(())
    }

    async fn finish(&mut self, last_token_id: i64) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO token_agents (project_id, agent_id, token_id, expires_at) \
             SELECT project_id, entry ->> 'id', tokens.id, expires_at \
             FROM tokens CROSS JOIN json_array_elements(payload::json -> 'policy' -> 'data') AS entry \
             ON CONFLICT DO NOTHING; \
             UPDATE versions SET version = version + 1; \
             SELECT setval('projects_id_seq', greatest(max(id), (SELECT last_value FROM projects_id_seq))) FROM projects",
        )
        .await?;
        sqlx::query("SELECT setval('tokens_id_seq', greatest($1, (SELECT last_value FROM tokens_id_seq)))")
            .bind(last_token_id)
            .execute(&mut self.connection)
            .await?;
        // The plans for a full table differ from those for an empty one.
        self.run("ANALYZE projects, api_keys, signing_keys, tokens, token_agents, revocations").await
    }
}
