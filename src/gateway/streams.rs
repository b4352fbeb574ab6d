//! Open answers by who opened them, so that each ends when its token does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

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

/// All open answers.
#[derive(Default)]
pub(super) struct Streams {
    open: Mutex<HashMap<HolderId, Vec<Arc<Open>>>>,
    /// Set once the server stops: what opens afterwards ends at once.
    stopping: OnceLock<Arc<str>>,
}

struct Open {
    holder: Holder,
    /// Why it must end, as the JSON of a problem.
    cut: OnceLock<Arc<str>>,
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Open {
    fn cut(&self, problem: &Arc<str>) {
        let _ = self.cut.set(problem.clone());
        self.is_cut.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// A place among the open answers; dropped, it is free again.
pub(super) struct Place {
    open: Arc<Open>,
    streams: Arc<Streams>,
}

impl Place {
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
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        let id = self.open.holder.id();
        if let Some(of_holder) = open.get_mut(&id) {
            of_holder.retain(|open| !Arc::ptr_eq(open, &self.open));
            if of_holder.is_empty() {
                open.remove(&id);
            }
        }
    }
}

impl Streams {
    /// Takes a place; `None` if the holder has `most` already (0: any number).
    pub(super) fn enter(self: &Arc<Self>, holder: &Holder, most: usize) -> Option<Place> {
        let open = Arc::new(Open {
            holder: holder.clone(),
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

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HolderId, Vec<Arc<Open>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
