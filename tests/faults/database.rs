//! The database file in other hands.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::runtime::{Builder, Runtime};

/// Another process's connection, such as a backup or a forgotten shell.
pub(crate) struct Foreign {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Foreign {
    pub(crate) fn open(path: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(SqliteConnectOptions::new().filename(path).connect()).unwrap();
        Self { runtime, connection }
    }

    pub(crate) fn execute(&mut self, sql: &'static str) {
        self.runtime.block_on(sqlx::raw_sql(sql).execute(&mut self.connection)).unwrap();
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}
