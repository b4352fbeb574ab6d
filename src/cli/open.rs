//! From a configuration to an open application.

use std::sync::Arc;

use anyhow::bail;

use crate::app::{App, Settings};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::keys::MasterKeySource;
use crate::store::{SqliteStore, database_path};
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
    let path = database_path(&config.database.url)?;
    if purpose == Purpose::MustExist && !path.exists() {
        bail!(
            "there is no database at `{}` yet; is `database.url` right? `hallpass serve` and `hallpass api-key create` make one",
            path.display()
        );
    }
    let store = SqliteStore::open(&path, purpose == Purpose::Serve).await?;
    let master = match loaded.secrets.master_key {
        Some(key) => MasterKeySource::Given(key),
        None => MasterKeySource::beside(&path),
    };
    let settings = Settings {
        issuer: config.server.public_url,
        audience: config.tokens.audience,
        limits: Limits { default_ttl: config.tokens.default_ttl, max_ttl: config.tokens.max_ttl },
        max_token_bytes: config.tokens.max_bytes,
        algorithm: config.signing.algorithm,
        rotate_every: config.signing.rotate_every,
        retention: config.database.retention,
    };
    Ok(App::open(Arc::new(store), Arc::new(SystemClock), settings, &master, loaded.secrets.api_key).await?)
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
