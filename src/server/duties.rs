//! What the server does by itself, besides answering requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::app::{App, AppError};

/// Shortest pause between two looks for changes.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
enum Duty {
    /// Looks for what other processes changed.
    Refresh,
    NoteKeyUses,
    /// Rotates signing keys and destroys ended ones.
    TendKeys,
    /// Removes old records.
    Prune,
    /// Tries a database again that takes no writes.
    RetryWrites,
    /// Makes sure that a server without traffic could write.
    Probe,
}

impl Duty {
    const ALL: [Duty; 6] =
        [Duty::Refresh, Duty::NoteKeyUses, Duty::TendKeys, Duty::Prune, Duty::RetryWrites, Duty::Probe];

    fn period(self) -> Duration {
        match self {
            // Changes are noticed within a second, with room for a slow look.
            Duty::Refresh => Duration::from_millis(250),
            Duty::RetryWrites => Duration::from_secs(1),
            Duty::NoteKeyUses | Duty::Probe => Duration::from_secs(30),
            Duty::TendKeys | Duty::Prune => Duration::from_secs(60),
        }
    }

    async fn perform(self, app: &App) -> Result<(), AppError> {
        match self {
            Duty::Refresh => {
                app.refresh().await?;
                // What is told in a burst is found in one look.
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            Duty::NoteKeyUses => app.note_api_key_uses().await?,
            Duty::TendKeys => app.tend_signing_keys().await?,
            // Between batches, whoever waits for the writer goes first.
            Duty::Prune => while app.prune().await? {},
            Duty::RetryWrites if app.store.writes_work() => {}
            Duty::RetryWrites | Duty::Probe => app.store.probe().await?,
        }
        Ok(())
    }
}

/// Starts all duties. They end when the set is dropped.
pub(super) fn start(app: &Arc<App>) -> JoinSet<()> {
    Duty::ALL.into_iter().map(|duty| repeat(duty, app.clone())).collect()
}

/// Performs a duty again and again; a failure is logged when it begins and when it is over.
async fn repeat(duty: Duty, app: Arc<App>) {
    let mut ticks = tokio::time::interval(duty.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        match duty {
            // When the database tells, and now and then all the same.
            Duty::Refresh => tokio::select! {
                _ = ticks.tick() => {}
                () = app.store.changed() => {}
            },
            _ => drop(ticks.tick().await),
        }
        match duty.perform(&app).await {
            Ok(()) => {
                if std::mem::take(&mut fails) {
                    tracing::info!(?duty, "works again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(?duty, %error, "fails; tried again until it works");
                }
            }
        }
    }
}
