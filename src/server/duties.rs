//! What the server does by itself, besides answering requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
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

/// How long duties may take to finish what they are at.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// All duties, at work.
pub(super) struct Duties {
    tasks: JoinSet<()>,
    stop: watch::Sender<()>,
}

impl Duties {
    pub(super) fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(());
        let tasks = Duty::ALL.into_iter().map(|duty| repeat(duty, app.clone(), stopped.clone())).collect();
        Self { tasks, stop }
    }

    /// Lets each finish what it is at: cut off while it opens a connection, it would leave one open that
    /// nobody closes.
    pub(super) async fn end(mut self) {
        drop(self.stop);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_TIMEOUT, all).await.is_err() {
            tracing::debug!("some duties did not finish in time and are cut off");
        }
    }
}

/// Performs a duty again and again; a failure is logged when it begins and when it is over.
async fn repeat(duty: Duty, app: Arc<App>, mut stopped: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval(duty.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        let told = async {
            match duty {
                Duty::Refresh => app.store.changed().await,
                _ => std::future::pending().await,
            }
        };
        // When the database tells, and now and then all the same.
        tokio::select! {
            _ = stopped.changed() => return,
            _ = ticks.tick() => {}
            () = told => {}
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
