//! A PostgreSQL database of its own for a test.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

/// Tells the databases of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An empty database; it goes with the value.
pub struct Postgres {
    server: Url,
    name: String,
}

impl Postgres {
    pub fn new() -> Self {
        let server = std::env::var("HALLPASS_TEST_POSTGRES")
            .expect("run this through `tests/postgres`, as in `tests/postgres cargo nextest run --test cli`");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let database =
            Self { server: server.parse().unwrap(), name: format!("cli_{}_{count}", std::process::id()) };
        execute(&database.server, &format!("CREATE DATABASE {}", database.name));
        database
    }

    pub fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    pub fn password(&self) -> &str {
        self.server.password().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Changes a database behind the program's back.
pub(crate) fn execute(server: &Url, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}
