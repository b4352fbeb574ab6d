//! The schema's steps, applied at start: all that are missing in one transaction, so that two
//! processes that start at once make one schema, and a step that fails leaves nothing behind.

use sqlx::{Connection, PgConnection, Row, SqliteConnection};

/// A step of the schema. Its version is its place in the list, from 1.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const SQLITE: &[Migration] =
    &[Migration { name: "initial", sql: include_str!("../../migrations/sqlite/0001_initial.sql") }];

const POSTGRES: &[Migration] =
    &[Migration { name: "initial", sql: include_str!("../../migrations/postgres/0001_initial.sql") }];

/// The newest versions that are known.
pub(super) const NEWEST_SQLITE: usize = SQLITE.len();
pub(super) const NEWEST_POSTGRES: usize = POSTGRES.len();

/// From which version to which a schema was brought; the same if it was up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaChange {
    pub from: usize,
    pub to: usize,
}

/// Why the schema isn't right.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the database's schema has version {found}, made by a newer Hallpass; this one knows versions up to {known}. \
         Nothing was changed; run the newer version again, or restore a backup from before the upgrade"
    )]
    Newer { found: usize, known: usize },
    #[error("PostgreSQL {0} is too old: version 15 or newer is needed")]
    TooOld(String),
    #[error("it is a standby, which takes no writes; is there another address for the primary?")]
    Standby,
    #[error("it is another application's; nothing was changed. Is `database.url` right?")]
    Foreign,
    #[error("schema step {version} (`{name}`) failed, nothing was changed: {cause}")]
    Step { version: usize, name: &'static str, cause: sqlx::Error },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Brings a SQLite database to the newest schema.
pub(super) async fn sqlite(connection: &mut SqliteConnection) -> Result<SchemaChange, MigrateError> {
    // A look without a lock first: on a database that is up to date, nothing is written.
    let found = version(connection).await?;
    if found > SQLITE.len() {
        return Err(MigrateError::Newer { found, known: SQLITE.len() });
    }
    if found == SQLITE.len() {
        return Ok(SchemaChange { from: found, to: found });
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = version(&mut transaction).await?;
    for (index, migration) in SQLITE.iter().enumerate().skip(found) {
        let version = index + 1;
        let step = |cause| MigrateError::Step { version, name: migration.name, cause };
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(step)?;
        // `user_version` lives in the database header and moves with the transaction.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}")))
            .execute(&mut *transaction)
            .await
            .map_err(step)?;
        tracing::info!(version, name = migration.name, "schema step applied");
    }
    transaction.commit().await?;
    Ok(SchemaChange { from: found, to: SQLITE.len() })
}

/// The oldest PostgreSQL that is tried, as it numbers itself.
const OLDEST_POSTGRES: i32 = 150_000;

/// The advisory lock that is held while the schema is changed: `hall` in ASCII, and a number.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1751215212, 2)";

/// Brings a PostgreSQL database to the newest schema. Servers that start at the same time wait for the
/// first of them.
pub(super) async fn postgres(connection: &mut PgConnection) -> Result<SchemaChange, MigrateError> {
    let server = sqlx::raw_sql(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery()",
    )
    .fetch_one(&mut *connection)
    .await?;
    if server.try_get::<i32, _>(0)? < OLDEST_POSTGRES {
        return Err(MigrateError::TooOld(server.try_get(1)?));
    }
    if server.try_get(2)? {
        return Err(MigrateError::Standby);
    }
    let found = postgres_version(connection).await?;
    if found == POSTGRES.len() {
        return Ok(SchemaChange { from: found, to: found });
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
    let found = postgres_version(&mut transaction).await?;
    if found > POSTGRES.len() {
        return Err(MigrateError::Newer { found, known: POSTGRES.len() });
    }
    for (index, migration) in POSTGRES.iter().enumerate().skip(found) {
        let version = index + 1;
        let step = |cause| MigrateError::Step { version, name: migration.name, cause };
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(step)?;
        let note = "CREATE TABLE IF NOT EXISTS hallpass_schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)";
        sqlx::raw_sql(note).execute(&mut *transaction).await.map_err(step)?;
        sqlx::query("INSERT INTO hallpass_schema (version, applied_at) VALUES ($1, now())")
            .bind(i32::try_from(version).unwrap_or(i32::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(step)?;
        tracing::info!(version, name = migration.name, "schema step applied");
    }
    transaction.commit().await?;
    Ok(SchemaChange { from: found, to: POSTGRES.len() })
}

/// The version of the schema; 0 if there is none.
pub(super) async fn postgres_version(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    // The catalogue is named, or a session that saw no such table before it waited for the lock would go
    // on seeing none: only taking a table's lock makes it look again.
    let there = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass('hallpass_schema'))";
    if !sqlx::query_scalar(there).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    let version: i32 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM hallpass_schema")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// The `application_id` of a Hallpass database: `hall` in ASCII.
const APPLICATION_ID: i64 = 0x6861_6c6c;

/// Refuses a database that holds something and isn't ours.
pub(super) async fn refuse_foreign(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    let row = sqlx::raw_sql(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
    )
    .fetch_one(connection)
    .await?;
    let (id, tables): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if tables > 0 && id != APPLICATION_ID { Err(MigrateError::Foreign) } else { Ok(()) }
}

pub(super) async fn version(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let row = sqlx::raw_sql("PRAGMA user_version").fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX))
}
