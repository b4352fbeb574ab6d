//! From a configuration to an open application.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;

use crate::app::{App, Settings};
use crate::clock::SystemClock;
use crate::config::{Config, DatabaseConfig, Loaded};
use crate::keys::{MasterKeySource, StaticKey};
use crate::store::{DatabaseUrl, PostgresStore, SqliteStore, Store};
use crate::token::Limits;

/// What the database is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve: one server a file.
    Serve,
    /// For a command that may be the first thing done with a new database.
    MayCreate,
    /// For a command that makes no sense without a database.
    MustExist,
}

/// Opens the database and reads the keys. A failure leaves everything as it was.
pub(super) async fn app(loaded: Loaded, purpose: Purpose) -> anyhow::Result<App> {
    let config = loaded.config;
    let store = store(&config.database, purpose).await?;
    let master = match (loaded.secrets.master_key, config.database.url.file()) {
        (Some(key), _) => MasterKeySource::Given(key),
        (None, Some(path)) => MasterKeySource::beside(path),
        (None, None) => bail!(
            "with PostgreSQL the master key must be given, the same to every server: set `HALLPASS_MASTER_KEY` or \
             `HALLPASS_MASTER_KEY_FILE`; `openssl rand -base64 32` makes one, and without it the database is useless"
        ),
    };
    let settings = settings(&config);
    let static_key = loaded.secrets.api_key.map(|secret| StaticKey { secret, gateway: true });
    Ok(App::open(store, Arc::new(SystemClock), settings, &master, static_key).await?)
}

/// What the application needs of a configuration.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        issuer: config.server.public_url.clone(),
        audience: config.tokens.audience.clone(),
        limits: Limits { default_ttl: config.tokens.default_ttl, max_ttl: config.tokens.max_ttl },
        max_token_bytes: config.tokens.max_bytes,
        algorithm: config.signing.algorithm,
        rotate_every: config.signing.rotate_every,
        retention: config.database.retention,
        max_staleness: config.database.max_staleness,
        lists_per_minute: config.limits.lists_per_minute,
    }
}

/// Opens the database that is configured.
pub(super) async fn store(config: &DatabaseConfig, purpose: Purpose) -> anyhow::Result<Arc<dyn Store>> {
    let path = match &config.url {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::Postgres(url) => {
            let direct = match &config.direct_url {
                Some(DatabaseUrl::Postgres(direct)) => Some(direct),
                _ => None,
            };
            return Ok(Arc::new(PostgresStore::open(url, direct).await?));
        }
    };
    if purpose == Purpose::MustExist {
        refuse_missing(path)?;
    }
    Ok(Arc::new(SqliteStore::open(path, purpose == Purpose::Serve).await?))
}

/// Says where a database comes from.
pub(super) fn refuse_missing(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        bail!(
            "there is no database at `{}` yet; is `database.url` right? `hallpass serve` and `hallpass api-key create` make one",
            path.display()
        );
    }
    Ok(())
}

/// Runs a command's work on a runtime of one thread, with the application open, and closes it.
pub(super) fn with_app<T>(
    loaded: Loaded,
    purpose: Purpose,
    work: impl AsyncFnOnce(&App) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    loaded.print_warnings();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = app(loaded, purpose).await?;
        let outcome = work(&app).await;
        app.store.close().await;
        outcome
    })
}
