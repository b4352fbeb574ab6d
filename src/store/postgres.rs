//! PostgreSQL: any number of servers on one database. Reads go through a pool; writes through a few
//! connections of their own, each of which commits a batch at a time.

mod admin;
mod batch;
mod copy;
mod keys;
mod listen;
mod revocations;
mod session;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use url::Url;

pub(super) use self::admin::PostgresAdmin;
use self::listen::Changes;
use self::revocations::Lookout;
use self::session::{Reader, Sessions};
use super::live_floor::LiveFloor;
use super::writer::{Writer, WriterHealth, Writing};
use super::{OpenError, Store, StoreError, Versions, migrate};

/// Longest time for anything that is asked of the database. Past it the connection is given up: its
/// other end may be gone without a word.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The same on a connection that has been open for a while, where another try on a new one follows.
const TIMEOUT_IF_OLD: Duration = Duration::from_millis(1500);

/// Connections for reading.
const READERS: u32 = 8;

/// Batches that are committed at the same time: while one waits for the disk, another is made ready.
const BATCHES_IN_FLIGHT: usize = 2;

/// PostgreSQL, version 15 or newer.
pub struct PostgresStore {
    pool: PgPool,
    sessions: Sessions,
    writer: Writer,
    health: Arc<WriterHealth>,
    live_floor: LiveFloor,
    revocations: Mutex<Lookout>,
    changes: Changes,
    /// Ends with the store.
    _listener: JoinSet<()>,
}

impl PostgresStore {
    /// Opens a database and brings its schema up to date. `direct_url` names the same database past a
    /// pooler that gives out connections by the transaction: the schema's lock and notifications need
    /// connections that stay.
    pub async fn open(url: &Url, direct_url: Option<&Url>) -> Result<Self, OpenError> {
        let options = options(url)?;
        let direct = direct_url.map_or_else(|| Ok(options.clone()), self::options)?;
        let name = place(&direct);
        let failed = |cause| OpenError::Database { database: name.clone(), cause };
        if session::is_pooled_by_transaction(&direct).await.map_err(failed)? {
            return Err(OpenError::Pooled(name));
        }
        let mut connection = within(PgConnection::connect_with(&direct)).await.map_err(failed)?;
        migrate::postgres(&mut connection)
            .await
            .map_err(|cause| OpenError::Schema { database: name.clone(), cause })?;
        // A farewell that fails changes nothing.
        let _ = within(connection.close()).await;
        if direct_url.is_some() {
            let name = place(&options);
            let connected = within(PgConnection::connect_with(&options)).await;
            connected.map_err(|cause| OpenError::Database { database: name, cause })?;
        }

        let sessions = Sessions { pooled: direct_url.is_some() };
        let pool = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(TIMEOUT)
            // Otherwise a connection that died without a word would keep its place until the system notices.
            .after_release(|connection, _| {
                Box::pin(async move { within_time(TIMEOUT_IF_OLD, connection.ping()).await.map(|()| true) })
            })
            .connect_lazy_with(options.clone());
        let health = Arc::new(WriterHealth::default());
        let broken = Arc::new(AtomicU64::new(0));
        let committer = |_| batch::Committer::new(options.clone(), sessions, broken.clone());
        let committers = (0..BATCHES_IN_FLIGHT).map(committer).collect();
        let writer = Writer::start(committers, health.clone());
        let changes = Changes::default();
        let revocations = Mutex::new(Lookout::new(direct.clone()));
        let listener = JoinSet::from_iter([listen::run(direct, changes.clone())]);
        Ok(Self {
            pool,
            sessions,
            writer,
            health,
            live_floor: LiveFloor::default(),
            revocations,
            changes,
            _listener: listener,
        })
    }
}

impl PostgresStore {
    async fn reader(&self) -> Result<Reader, sqlx::Error> {
        self.sessions.reader(&self.pool).await
    }
}

/// Where a database is, for people.
fn place(options: &PgConnectOptions) -> String {
    format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
}

/// Reads a URL; what is wrong with it is told without its text, which may hold a password.
fn options(url: &Url) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_url(url)
        .map_err(|cause| OpenError::Database { database: "postgres:…".to_owned(), cause })?;
    Ok(options.application_name("hallpass").extra_float_digits(None).disable_statement_logging())
}

/// Waits for the database for so long and no longer.
async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    within_time(TIMEOUT, work).await
}

async fn within_time<T>(
    time: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(time, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("the database did not answer within {:.1} s", time.as_secs_f32()),
        ))),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn versions(&self) -> Result<Versions, StoreError> {
        let sql = "SELECT (SELECT version FROM versions WHERE name = 'api_keys'), \
                          (SELECT version FROM versions WHERE name = 'signing_keys')";
        let (api_keys, signing_keys) =
            within(self.sessions.query_as(sql).fetch_one(&mut *self.reader().await?)).await?;
        Ok(Versions { api_keys, signing_keys })
    }

    async fn changed(&self) {
        self.changes.next().await;
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let sql = "UPDATE write_probe SET written_at = now()";
        let outcome = within(sqlx::raw_sql(sql).execute(&self.pool)).await;
        self.health.note(&outcome);
        outcome?;
        Ok(())
    }

    fn writes_work(&self) -> bool {
        self.health.works()
    }

    fn writing(&self) -> Writing {
        self.writer.state()
    }

    async fn close(&self) {
        self.writer.close().await;
        self.pool.close().await;
    }
}
