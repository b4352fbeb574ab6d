//! SQLite, the embedded database: one writing connection, a few reading ones, in WAL mode, so that
//! reads never wait for the writer.

mod admin;
mod backup;
mod batch;
mod copy;
mod keys;
mod tokens;

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::Mutex;

pub(super) use self::admin::SqliteAdmin;
pub use self::backup::{BackupError, back_up};
use super::live_floor::LiveFloor;
use super::writer::{MOST_IN_BATCH, Writer, WriterHealth, Writing};
use super::{OpenError, Store, StoreError, Versions, migrate};

/// How long a write waits for another process's, such as a command beside the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements that the writing connection keeps: one for each size of a batch, and others.
const STATEMENTS: usize = MOST_IN_BATCH + 32;

/// Reading connections. Reads are short; more of them than this would only wait for the disk.
const READERS: u32 = 4;

/// SQLite in one file.
pub struct SqliteStore {
    readers: SqlitePool,
    connection: Arc<Mutex<WriteConnection>>,
    writer: Writer,
    health: Arc<WriterHealth>,
    live_floor: LiveFloor,
    /// Held as long as the server runs; the operating system lets go of it however it ends.
    _server_lock: Option<fs::File>,
}

impl SqliteStore {
    /// Opens a database, made if there is none, and brings its schema up to date. A server takes the
    /// file's lock and is refused if another server has it; commands don't take it.
    pub async fn open(path: &Path, as_server: bool) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let server_lock = if as_server { Some(lock(path)?) } else { None };
        create_private(path).map_err(|cause| OpenError::File { path: path.to_owned(), cause })?;
        let database = |cause| OpenError::Database { database: name.clone(), cause };
        // Before anything is set: setting the journal mode already changes another application's file.
        let mut look = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .connect()
            .await
            .map_err(database)?;
        migrate::refuse_foreign(&mut look)
            .await
            .map_err(|cause| OpenError::Schema { database: name.clone(), cause })?;
        look.close().await.map_err(database)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging()
            .pragma("wal_autocheckpoint", "1000")
            .pragma("journal_size_limit", "16777216");
        Self::start(options, &name, server_lock).await
    }

    /// Opens a new database in memory, which goes with the store.
    pub async fn in_memory() -> Result<Self, OpenError> {
        // Connections share what has one name that begins with a slash; they take turns, since there is no
        // log for readers to go by. See SQLite's `memdb.c`.
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("/hallpass-{}", OPENED.fetch_add(1, Ordering::Relaxed));
        let options = SqliteConnectOptions::new()
            .filename(&name)
            .vfs("memdb")
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Memory)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        Self::start(options, "in memory", None).await
    }

    async fn start(
        options: SqliteConnectOptions,
        name: &str,
        server_lock: Option<fs::File>,
    ) -> Result<Self, OpenError> {
        let mut connection = WriteConnection {
            options: options.clone().pragma("cache_size", "-8192").statement_cache_capacity(STATEMENTS),
            open: None,
        };
        let opened = connection
            .get()
            .await
            .map_err(|cause| OpenError::Database { database: name.to_owned(), cause })?;
        migrate::sqlite(opened)
            .await
            .map_err(|cause| OpenError::Schema { database: name.to_owned(), cause })?;
        let readers = PoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options.pragma("cache_size", "-2048").pragma("query_only", "1"));
        let connection = Arc::new(Mutex::new(connection));
        let health = Arc::new(WriterHealth::default());
        let writer = Writer::start(vec![batch::Committer(connection.clone())], health.clone());
        let live_floor = LiveFloor::default();
        Ok(Self { readers, connection, writer, health, live_floor, _server_lock: server_lock })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn versions(&self) -> Result<Versions, StoreError> {
        let sql = "SELECT (SELECT version FROM versions WHERE name = 'api_keys'), \
                          (SELECT version FROM versions WHERE name = 'signing_keys')";
        let (api_keys, signing_keys) = sqlx::query_as(sql).fetch_one(&self.readers).await?;
        Ok(Versions { api_keys, signing_keys })
    }

    /// SQLite tells nothing: who changes the file beside the server is found by looking.
    async fn changed(&self) {
        std::future::pending().await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        let outcome = write_probe(&mut connection).await;
        self.health.note(&outcome);
        if outcome.is_err() {
            connection.reset();
        }
        Ok(outcome?)
    }

    fn writes_work(&self) -> bool {
        self.health.works()
    }

    fn writing(&self) -> Writing {
        self.writer.state()
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        if let Some(connection) = self.connection.lock().await.open.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
    }
}

async fn write_probe(connection: &mut WriteConnection) -> Result<(), sqlx::Error> {
    let sql = "UPDATE write_probe SET filler = randomblob(length(filler))";
    sqlx::query(sql).execute(connection.get().await?).await.map(drop)
}

/// The one connection that writes. After a failure it is opened anew: what a full or failing disk
/// left in a connection's memory is not worth trusting.
struct WriteConnection {
    options: SqliteConnectOptions,
    open: Option<SqliteConnection>,
}

impl WriteConnection {
    async fn get(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.open.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        Ok(self.open.insert(connection))
    }

    /// A transaction that holds the write lock from its start; dropped, it is rolled back.
    async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.get().await?.begin_with("BEGIN IMMEDIATE").await
    }

    fn reset(&mut self) {
        self.open = None;
    }
}

fn lock(database: &Path) -> Result<fs::File, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |cause| OpenError::File { path: path.clone(), cause };
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
        Err(fs::TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

/// Makes the file, if there is none, so that only its owner reads it; SQLite gives the files beside
/// it the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}
