//! Hearing of changes at once, by `LISTEN`. What isn't heard, because a connection broke or a pooler
//! stands in between, is found by looking.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;

/// The channel that the schema's triggers notify.
const CHANNEL: &str = "hallpass";

/// Pause before a broken connection is made anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether something may have changed since it was last asked.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<Notify>);

impl Changes {
    pub(super) async fn next(&self) {
        self.0.notified().await;
    }
}

/// Listens until it is aborted.
pub(super) async fn run(options: PgConnectOptions, changes: Changes) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut fails = false;
    loop {
        match listen(&pool, &changes, &mut fails).await {
            Ok(never) => match never {},
            Err(error) if !std::mem::replace(&mut fails, true) => {
                tracing::warn!(%error, "cannot hear of changes; they are found by looking until it works again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(
    pool: &PgPool,
    changes: &Changes,
    fails: &mut bool,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    if std::mem::take(fails) {
        tracing::info!("hears of changes again");
    }
    loop {
        // At the start too: what changed before it listened, nobody told.
        changes.0.notify_one();
        if listener.try_recv().await?.is_none() {
            return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        }
    }
}
