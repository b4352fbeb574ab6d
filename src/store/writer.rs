//! Group commit: writes queue, one transaction commits many, and each is answered after its commit
//! is durable. A batch is whatever has queued while the one before was committed: nobody waits for
//! company, and the busier the server, the fewer syncs a write costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::{IssuanceRecord, StoreError};
use crate::clock::Timestamp;
use crate::metrics::{Distribution, Histogram, SECONDS, Scale};
use crate::token::TokenId;

/// Most writes that wait for the database; one more is refused at once.
pub const QUEUE_LENGTH: usize = 4096;

/// Most writes in a transaction: enough that the sync no longer counts, few enough that the first
/// of them doesn't wait long for the last.
pub(super) const MOST_IN_BATCH: usize = 128;

/// Of how many writes batches consist.
const BATCH_SIZES: Scale =
    Scale { parts_per_unit: 1, limits: &[1, 2, 4, 8, 16, 32, 64, MOST_IN_BATCH as u64] };

/// A write that shares its transaction with others.
#[derive(Debug)]
pub enum Write {
    Issue(IssuanceRecord),
    Revoke { project_id: i64, jti: TokenId, now: Timestamp },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Whether the API key was still good.
    Issued(bool),
    /// Whether the project has such a token.
    Revoked(bool),
}

/// Commits batches: all of a batch or nothing, answered in the same order.
pub trait Commit: Send + 'static {
    /// How many turns of the runtime requests that are ready go before a batch is closed. A request is
    /// read, checked and signed in more than one.
    const TURNS: usize;

    fn commit(&mut self, batch: Vec<Write>)
    -> impl Future<Output = Result<Vec<Written>, sqlx::Error>> + Send;
}

/// Whether writing works, as the last attempt showed.
#[derive(Debug)]
pub struct WriterHealth(AtomicBool);

impl Default for WriterHealth {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl WriterHealth {
    pub fn works(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes the outcome of a write; a change is logged once.
    pub fn note<T>(&self, outcome: &Result<T, sqlx::Error>) {
        match outcome {
            Ok(_) if !self.0.swap(true, Ordering::Relaxed) => {
                tracing::info!("the database takes writes again")
            }
            Ok(_) => {}
            Err(error) if self.0.swap(false, Ordering::Relaxed) => {
                tracing::error!(%error, "the database takes no writes; requests that need one get 503 until it does");
            }
            Err(_) => {}
        }
    }
}

/// What a writer has before it and behind it.
#[derive(Debug, Default)]
pub struct Writing {
    /// Writes that wait for a batch.
    pub queued: usize,
    /// Of how many writes the batches that were committed consisted.
    pub batch_sizes: Distribution,
    /// How long they took.
    pub commit_times: Distribution,
}

/// The batches that were committed.
struct Batches {
    sizes: Histogram,
    times: Histogram,
}

struct Queued {
    write: Write,
    answer: oneshot::Sender<Result<Written, StoreError>>,
}

/// The queue's entrance.
pub struct Writer {
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    sender: mpsc::WeakSender<Queued>,
    batches: Arc<Batches>,
    tasks: Mutex<JoinSet<()>>,
}

impl Writer {
    /// Starts a task for each committer: so many batches are committed at the same time.
    pub fn start(committers: Vec<impl Commit>, health: Arc<WriterHealth>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let waiting = Arc::new(Mutex::new(waiting));
        let batches =
            Arc::new(Batches { sizes: Histogram::new(BATCH_SIZES), times: Histogram::new(SECONDS) });
        let run = |committer| run(committer, waiting.clone(), health.clone(), batches.clone());
        let tasks = committers.into_iter().map(run).collect();
        Self { sender: queue.downgrade(), queue: Mutex::new(Some(queue)), batches, tasks: Mutex::new(tasks) }
    }

    /// How it is going.
    pub fn state(&self) -> Writing {
        Writing {
            queued: self.sender.upgrade().map_or(0, |queue| queue.max_capacity() - queue.capacity()),
            batch_sizes: self.batches.sizes.read(),
            commit_times: self.batches.times.read(),
        }
    }

    /// Queues a write and waits until it is durable. Giving up the wait doesn't take the write back.
    pub async fn submit(&self, write: Write) -> Result<Written, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.sender.upgrade().ok_or(StoreError::Closed)?;
        queue.try_send(Queued { write, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        drop(queue);
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes no more writes, commits those that wait, and returns when all are answered.
    pub async fn close(&self) {
        self.queue.lock().await.take();
        let mut tasks = self.tasks.lock().await;
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the writer ended badly");
            }
        }
    }
}

async fn run<C: Commit>(
    mut committer: C,
    waiting: Arc<Mutex<mpsc::Receiver<Queued>>>,
    health: Arc<WriterHealth>,
    batches: Arc<Batches>,
) {
    let mut queued = Vec::with_capacity(MOST_IN_BATCH);
    while next_batch(&waiting, &mut queued, C::TURNS).await {
        let (batch, answers): (Vec<_>, Vec<_>) = queued.drain(..).map(|q| (q.write, q.answer)).unzip();
        let started = Instant::now();
        let outcome = committer.commit(batch).await;
        health.note(&outcome);
        // A receiver that is gone gave up waiting; its write stands all the same.
        match outcome {
            Ok(written) => {
                batches.sizes.note(written.len() as u64);
                batches.times.note_time(started.elapsed());
                debug_assert_eq!(written.len(), answers.len());
                for (answer, written) in answers.into_iter().zip(written) {
                    let _ = answer.send(Ok(written));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(StoreError::BatchFailed(error.clone())));
                }
            }
        }
    }
}

/// Takes what waits; `false` once nothing comes any more.
async fn next_batch(waiting: &Mutex<mpsc::Receiver<Queued>>, batch: &mut Vec<Queued>, turns: usize) -> bool {
    let mut waiting = waiting.lock().await;
    if waiting.recv_many(batch, MOST_IN_BATCH).await == 0 {
        return false;
    }
    // Requests that are ready to queue go first. On an idle server there are none and this takes
    // no time; on a busy one it makes for fewer, larger commits.
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    while batch.len() < MOST_IN_BATCH
        && let Ok(next) = waiting.try_recv()
    {
        batch.push(next);
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::*;

    /// Commits a batch for each permit; fails when told.
    struct Gate {
        permits: Arc<Semaphore>,
        batches: mpsc::UnboundedSender<usize>,
        fails: bool,
    }

    impl Commit for Gate {
        const TURNS: usize = 3;

        async fn commit(&mut self, batch: Vec<Write>) -> Result<Vec<Written>, sqlx::Error> {
            self.batches.send(batch.len()).unwrap();
            self.permits.acquire().await.unwrap().forget();
            if self.fails {
                Err(sqlx::Error::PoolClosed)
            } else {
                Ok(vec![Written::Revoked(true); batch.len()])
            }
        }
    }

    fn start(
        fails: bool,
    ) -> (Arc<Writer>, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>, Arc<WriterHealth>) {
        let permits = Arc::new(Semaphore::new(0));
        let (batches, seen) = mpsc::unbounded_channel();
        let health = Arc::new(WriterHealth::default());
        let gate = Gate { permits: permits.clone(), batches, fails };
        (Arc::new(Writer::start(vec![gate], health.clone())), permits, seen, health)
    }

    fn write() -> Write {
        let now = Timestamp::from_millis(0);
        Write::Revoke { project_id: 1, jti: TokenId::new(now, &[0; 10]), now }
    }

    fn submit(writer: &Arc<Writer>) -> JoinHandle<Result<Written, StoreError>> {
        let writer = writer.clone();
        tokio::spawn(async move { writer.submit(write()).await })
    }

    /// Runs everything that can run on this single-threaded runtime.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_queues_during_a_commit_shares_the_next_one() {
        let (writer, permits, mut batches, _) = start(false);
        let first = submit(&writer);
        assert_eq!(batches.recv().await, Some(1));
        let rest: Vec<_> = (0..5).map(|_| submit(&writer)).collect();
        settle().await;
        permits.add_permits(2);
        assert_eq!(batches.recv().await, Some(5));
        assert_eq!(first.await.unwrap().unwrap(), Written::Revoked(true));
        for answer in rest {
            assert_eq!(answer.await.unwrap().unwrap(), Written::Revoked(true));
        }
    }

    #[tokio::test]
    async fn what_waits_and_what_was_committed_is_told() {
        let (writer, permits, mut batches, _) = start(false);
        let answers: Vec<_> = (0..3).map(|_| submit(&writer)).collect();
        assert_eq!(batches.recv().await, Some(3));
        let more = submit(&writer);
        settle().await;
        let state = writer.state();
        assert_eq!((state.queued, state.commit_times.count()), (1, 0));
        permits.add_permits(2);
        for answer in answers.into_iter().chain([more]) {
            assert!(answer.await.unwrap().is_ok());
        }
        let state = writer.state();
        assert_eq!((state.queued, state.batch_sizes.count(), state.commit_times.count()), (0, 2, 2));
    }

    #[tokio::test]
    async fn nothing_is_answered_before_its_commit() {
        let (writer, permits, mut batches, _) = start(false);
        let answer = submit(&writer);
        batches.recv().await;
        settle().await;
        assert!(!answer.is_finished());
        permits.add_permits(1);
        assert!(answer.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (writer, permits, mut batches, _) = start(false);
        let first = submit(&writer);
        batches.recv().await;
        let waiting: Vec<_> = (0..QUEUE_LENGTH).map(|_| submit(&writer)).collect();
        settle().await;
        assert!(matches!(writer.submit(write()).await, Err(StoreError::Busy)));
        permits.add_permits(QUEUE_LENGTH);
        assert!(first.await.unwrap().is_ok());
        for answer in waiting {
            assert!(answer.await.unwrap().is_ok(), "what was queued is done");
        }
    }

    #[tokio::test]
    async fn a_failed_commit_fails_each_of_its_writes_and_is_noted() {
        let (writer, permits, _batches, health) = start(true);
        assert!(health.works());
        permits.add_permits(1);
        assert!(matches!(writer.submit(write()).await, Err(StoreError::BatchFailed(_))));
        assert!(!health.works());
        assert_eq!(writer.state().batch_sizes.count(), 0, "it was not committed");
    }

    #[tokio::test]
    async fn closing_finishes_what_is_queued_and_takes_no_more() {
        let (writer, permits, mut batches, _) = start(false);
        let answers: Vec<_> = (0..3).map(|_| submit(&writer)).collect();
        batches.recv().await;
        settle().await;
        permits.add_permits(3);
        writer.close().await;
        for answer in answers {
            assert!(answer.await.unwrap().is_ok());
        }
        assert!(matches!(writer.submit(write()).await, Err(StoreError::Closed)));
    }
}
