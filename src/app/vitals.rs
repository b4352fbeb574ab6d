//! How a server is doing, in numbers for whoever watches it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::App;
use crate::clock::Timestamp;
use crate::store::{StoreError, Writing};

/// Most records that are counted, so that counting stays cheap.
const MOST_COUNTED: u32 = 100_000;

/// How often at most they are counted: a little more often than a server begins to remove records, so
/// that each time it begins it counts.
const COUNT_EVERY: Duration = Duration::from_secs(55);

/// What this server has done since its start, and what it knows at the moment.
#[derive(Debug)]
pub struct Vitals {
    pub tokens_issued: u64,
    /// By requests to this server; what was revoked before doesn't count again.
    pub tokens_revoked: u64,
    /// Revoked tokens in memory, of whatever server.
    pub revoked_tokens: usize,
    /// How long ago the last good look at the database began.
    pub revocations_age: Duration,
    /// Records past their retention.
    pub records_to_remove: u64,
    /// Whether the last write reached the database.
    pub database_writable: bool,
    /// From when on the active key has signed.
    pub signing_key_active_since: Timestamp,
    pub writing: Writing,
}

/// Records that wait for their removal.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    at: Option<Instant>,
    records: u64,
}

impl Backlog {
    fn records(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records
    }

    /// Whether it is time to count again.
    fn is_due(&self, now: Instant) -> bool {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.at.is_none_or(|at| now.duration_since(at) >= COUNT_EVERY)
    }

    fn note(&self, at: Instant, records: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Counted { at: Some(at), records };
    }

    /// Notes that all were removed.
    pub(super) fn note_none(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records = 0;
    }
}

impl App {
    /// How the server is doing; asks nobody.
    pub fn vitals(&self) -> Vitals {
        let ring = self.ring();
        Vitals {
            tokens_issued: self.issued.value(),
            tokens_revoked: self.revoked_here.value(),
            revoked_tokens: self.revoked.len(),
            revocations_age: self.revoked.age(),
            records_to_remove: self.backlog.records(),
            database_writable: self.store.writes_work(),
            signing_key_active_since: ring.active_since(),
            writing: self.store.writing(),
        }
    }

    /// Counts the records that expired before `cutoff`, now and then.
    pub(super) async fn count_backlog(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.backlog.is_due(now) {
            self.backlog.note(now, self.store.count_expired(cutoff, MOST_COUNTED).await?);
        }
        Ok(())
    }
}
