//! A database of its own for each test.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::thread;

use hallpass::store::{PostgresStore, SqliteStore, Store};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use url::Url;

/// The databases that a store may stand on.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Sqlite,
    /// SQLite without a file: `hallpass dev`. It is opened once.
    Memory,
    Postgres,
}

/// An empty database; it goes with the value.
pub(crate) struct Database {
    pub(crate) backend: Backend,
    place: Place,
}

enum Place {
    Folder(TempDir),
    Memory(OnceCell<Arc<SqliteStore>>),
    Server(OnServer),
}

impl Database {
    pub(crate) fn new(backend: Backend) -> Self {
        let place = match backend {
            Backend::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
            Backend::Memory => Place::Memory(OnceCell::new()),
            Backend::Postgres => Place::Server(OnServer::new()),
        };
        Self { backend, place }
    }

    /// A store on it. Opened again, it holds what the one before left, or still changes beside it.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match &self.place {
            Place::Folder(dir) => {
                Arc::new(SqliteStore::open(&dir.path().join("hallpass.db"), false).await.unwrap())
            }
            Place::Memory(store) => {
                let open = async || Arc::new(SqliteStore::in_memory().await.unwrap());
                store.get_or_init(open).await.clone()
            }
            Place::Server(database) => Arc::new(PostgresStore::open(&database.url(), None).await.unwrap()),
        }
    }
}

/// A database on the server that `tests/postgres` started.
struct OnServer {
    server: Url,
    name: String,
}

impl OnServer {
    fn new() -> Self {
        let server = std::env::var("HALLPASS_TEST_POSTGRES").expect(
            "HALLPASS_TEST_POSTGRES should name a PostgreSQL server: run this through tests/postgres, \
             as in `tests/postgres cargo nextest run --test store`",
        );
        let server: Url = server.parse().unwrap();
        // A hasher's seed is random: the same server may serve several processes, and runs one after another.
        let name = format!("hallpass_{:016x}", RandomState::new().build_hasher().finish());
        run(&server, &format!("CREATE DATABASE {name}")).unwrap();
        Self { server, name }
    }

    fn url(&self) -> Url {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        let outcome = run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // A test that has failed already shall say why, and a panic on top would abort it.
        if !thread::panicking() {
            outcome.unwrap();
        }
    }
}

/// Runs a statement, on a thread of its own: a value is dropped where nothing can be awaited.
fn run(server: &Url, sql: &str) -> Result<(), sqlx::Error> {
    let work = async {
        let mut connection = PgConnection::connect(server.as_str()).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await
    };
    let on_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}
