//! Open answers by who opened them, so that each ends when its token does.

use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use foldhash::HashMap;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame};

use super::upstream::Answer;
use crate::app::{App, TokenError};
use crate::keys::{ApiKey, ApiKeyId, Verified};
use crate::token::TokenId;

/// Who has an answer open.
#[derive(Clone)]
pub(super) enum Holder {
    Token(Arc<Verified>),
    Key(Arc<ApiKey>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum HolderId {
    Token(TokenId),
    Key(ApiKeyId),
}

impl Holder {
    fn id(&self) -> HolderId {
        match self {
            Holder::Token(token) => HolderId::Token(token.jti),
            Holder::Key(key) => HolderId::Key(key.id.clone()),
        }
    }

    /// Whether it is still good.
    pub(super) async fn standing(&self, app: &App) -> Result<(), TokenError> {
        match self {
            Holder::Token(token) => app.standing(token).await,
            Holder::Key(key) => app.key_standing(key),
        }
    }
}

/// All that is open: requests from when their token was judged until their answer has been sent.
pub(super) struct Streams {
    open: Mutex<HashMap<HolderId, Vec<Arc<Open>>>>,
    /// Set once the server stops: what opens afterwards ends at once.
    stopping: OnceLock<Arc<str>>,
    /// What times are counted from.
    since: Instant,
    /// The time of the last look at what is stalled, in milliseconds: near enough for that, and requests read no
    /// clock.
    now: AtomicU64,
}

struct Open {
    holder: Holder,
    /// Whether it counts as a stream.
    is_stream: AtomicBool,
    /// The agent server's answer, once it has begun. It is here, so that a cut ends it even if the client
    /// reads nothing and nobody polls.
    source: Mutex<Option<Answer>>,
    /// When it was polled last, in milliseconds.
    polled_at: AtomicU64,
    /// Why it must end, as the JSON of a problem.
    cut: OnceLock<Arc<str>>,
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Open {
    fn source(&self) -> MutexGuard<'_, Option<Answer>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, problem: &Arc<str>) {
        let _ = self.cut.set(problem.clone());
        self.is_cut.store(true, Ordering::Release);
        // Dropped, it hangs up on the agent server.
        drop(self.source().take());
        self.waker.wake();
    }
}

/// A place among what is open; dropped, it is free again.
pub(super) struct Place {
    open: Arc<Open>,
    streams: Arc<Streams>,
}

impl Place {
    /// Counts as a stream from now on; `false` if the holder has `most` of them already (0: any number).
    pub(super) fn become_stream(&self, most: usize) -> bool {
        let all = self.streams.lock();
        let of_holder = all.get(&self.open.holder.id());
        let is_stream = |open: &&Arc<Open>| open.is_stream.load(Ordering::Relaxed);
        let streams = of_holder.map_or(0, |open| open.iter().filter(is_stream).count());
        let fits = most == 0 || streams < most || is_stream(&&self.open);
        if fits {
            self.open.is_stream.store(true, Ordering::Relaxed);
        }
        fits
    }

    /// Takes the agent server's answer.
    pub(super) fn hold(&self, source: Answer) {
        self.polled();
        *self.open.source() = Some(source);
        if self.open.is_cut.load(Ordering::Acquire) {
            drop(self.open.source().take());
        }
    }

    /// Why the answer must end now, if it must; else the task is woken when it must.
    pub(super) fn cut(&self, context: &Context<'_>) -> Option<&str> {
        if !self.open.is_cut.load(Ordering::Acquire) {
            self.open.waker.register(context.waker());
            // It may have been cut while the waker was put in place.
            if !self.open.is_cut.load(Ordering::Acquire) {
                return None;
            }
        }
        self.open.cut.get().map(|problem| &**problem)
    }

    /// The next piece of the answer.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.polled();
        match &mut *self.open.source() {
            Some(source) => Pin::new(source).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    /// Whether nothing more of the answer comes. One that was cut has yet to say so.
    pub(super) fn is_at_end(&self) -> bool {
        self.open.source().as_ref().is_some_and(Body::is_end_stream)
    }

    fn polled(&self) {
        self.open.polled_at.store(self.streams.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut of_holder) = self.streams.lock().entry(self.open.holder.id()) {
            of_holder.get_mut().retain(|open| !Arc::ptr_eq(open, &self.open));
            if of_holder.get().is_empty() {
                of_holder.remove();
            }
        }
    }
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::default(),
            stopping: OnceLock::new(),
            since: Instant::now(),
            now: AtomicU64::new(0),
        }
    }

    /// Takes a place; `None` if the holder has `most` already (0: any number).
    pub(super) fn enter(self: &Arc<Self>, holder: &Holder, most: usize) -> Option<Place> {
        let open = Arc::new(Open {
            holder: holder.clone(),
            is_stream: AtomicBool::new(false),
            source: Mutex::new(None),
            polled_at: AtomicU64::new(0),
            cut: OnceLock::new(),
            is_cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        {
            let mut all = self.lock();
            let of_holder = all.entry(holder.id()).or_default();
            if most > 0 && of_holder.len() >= most {
                return None;
            }
            of_holder.push(open.clone());
        }
        if let Some(problem) = self.stopping.get() {
            open.cut(problem);
        }
        Some(Place { open, streams: self.clone() })
    }

    /// Ends answers of which the client has read nothing for so long.
    pub(super) fn cut_stalled(&self, longest: Duration, problem: &str) {
        let limit = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now.store(now, Ordering::Relaxed);
        let is_stalled = |open: &&Arc<Open>| {
            now.saturating_sub(open.polled_at.load(Ordering::Relaxed)) > limit && open.source().is_some()
        };
        let stalled: Vec<_> = self.lock().values().flatten().filter(is_stalled).cloned().collect();
        if !stalled.is_empty() {
            let problem: Arc<str> = problem.into();
            stalled.iter().for_each(|open| open.cut(&problem));
        }
    }

    /// Ends the answers of all whose token or key is no longer good.
    pub(super) async fn sweep(&self, app: &App, explain: impl Fn(&TokenError) -> String) {
        let holders: Vec<Holder> =
            self.lock().values().filter_map(|open| open.first()).map(|open| open.holder.clone()).collect();
        for holder in holders {
            let Err(error) = holder.standing(app).await else {
                continue;
            };
            let problem: Arc<str> = explain(&error).into();
            // Cut outside the lock: whoever is woken may at once leave its place.
            let of_holder = self.lock().get(&holder.id()).cloned().unwrap_or_default();
            of_holder.iter().for_each(|open| open.cut(&problem));
        }
    }

    /// Ends all answers, and from now on those that open.
    pub(super) fn stop(&self, problem: &str) {
        let problem = self.stopping.get_or_init(|| problem.into());
        let all: Vec<_> = self.lock().values().flatten().cloned().collect();
        all.iter().for_each(|open| open.cut(problem));
    }

    /// How many answers are on their way.
    pub(super) fn len(&self) -> usize {
        let all: Vec<_> = self.lock().values().flatten().cloned().collect();
        all.iter().filter(|open| open.source().is_some()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HolderId, Vec<Arc<Open>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
