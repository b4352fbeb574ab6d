//! A database of its own for each test.

use std::sync::Arc;

use hallpass::store::{SqliteStore, Store};
use tempfile::TempDir;

/// The databases that a store may stand on.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Sqlite,
}

/// An empty database; it goes with the value.
pub(crate) struct Database {
    pub(crate) backend: Backend,
    dir: TempDir,
}

impl Database {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend, dir: tempfile::tempdir().unwrap() }
    }

    /// A store on it. Opened again, it holds what the one before left, or still changes beside it.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self.backend {
            Backend::Sqlite => {
                Arc::new(SqliteStore::open(&self.dir.path().join("hallpass.db"), false).await.unwrap())
            }
        }
    }
}
