//! Revoked tokens in memory, so that asking whether one is revoked costs no read.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::store::{RevocationCursor, Revocations};
use crate::token::{TokenId, live_from};

/// Most revoked tokens that are kept; about 50 bytes each. Beyond it the database is asked.
const MOST: usize = 4_000_000;

/// How long they are kept past their expiry: a clock may be set back by a little.
const SLACK: Duration = Duration::from_secs(3600);

/// The moment from which on a token isn't let go, for a clock that says `now`.
pub(super) fn kept_since(now: Timestamp) -> Timestamp {
    now.before(SLACK)
}

/// How often those past it are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Revoked tokens that aren't over, as they were last read.
pub(super) struct Revoked {
    state: RwLock<State>,
    /// Told of each token that wasn't known as revoked before.
    news: Notify,
}

struct State {
    tokens: HashMap<TokenId, Timestamp>,
    /// Whether there are more than are kept.
    overflows: bool,
    next: Option<RevocationCursor>,
    /// When the last good look began: what was revoked before is known.
    looked_at: Instant,
    /// The clock at that look.
    clock: Timestamp,
    swept_at: Instant,
}

/// What memory says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Revoked,
    NotRevoked,
    /// Only the database knows.
    Unsure,
}

impl Revoked {
    /// From a first look that began at `looked_at`.
    pub(super) fn new(looked_at: Instant, now: Timestamp, first: Revocations) -> Self {
        let state = State {
            tokens: HashMap::default(),
            overflows: false,
            next: None,
            looked_at,
            clock: now,
            swept_at: looked_at,
        };
        let revoked = Self { state: RwLock::new(state), news: Notify::new() };
        revoked.take(looked_at, now, first);
        revoked
    }

    /// Where to go on reading; nothing, if everything must be read anew, since a clock set far back
    /// makes live again what was let go.
    pub(super) fn cursor(&self, now: Timestamp) -> Option<RevocationCursor> {
        let state = self.read();
        state.next.filter(|_| now >= state.clock.before(SLACK))
    }

    /// Takes what a look that began at `looked_at` found.
    pub(super) fn take(&self, looked_at: Instant, now: Timestamp, found: Revocations) {
        let (mut state, whole) = (self.write(), found.whole);
        // What was known before stays: it may have been revoked here while the database was read, or be
        // what a standby that took over doesn't know of.
        if whole {
            state.overflows = false;
            let more = found.tokens.len().saturating_sub(state.tokens.len());
            state.tokens.reserve(more.min(MOST));
        }
        if !found.tokens.is_empty() {
            self.news.notify_one();
        }
        for (jti, expires_at) in found.tokens {
            state.insert(jti, expires_at);
        }
        state.next = Some(found.next);
        state.looked_at = looked_at;
        // What was let go by a later clock stays gone until everything is read again.
        state.clock = if whole { now } else { state.clock.max(now) };
        if looked_at.duration_since(state.swept_at) >= SWEEP_EVERY {
            state.swept_at = looked_at;
            let kept_from = live_from(kept_since(now));
            state.tokens.retain(|_, expires_at| *expires_at >= kept_from);
            if state.tokens.capacity() > 4 * state.tokens.len() {
                let room = 2 * state.tokens.len();
                state.tokens.shrink_to(room);
            }
        }
    }

    /// Notes a token revoked here, before the next look finds it. A look knows better when it ends.
    pub(super) fn note(&self, jti: TokenId, ends_by: Timestamp) {
        let mut state = self.write();
        if !state.tokens.contains_key(&jti) {
            state.insert(jti, ends_by);
            self.news.notify_one();
        }
    }

    /// Comes back when there was news since it did so last. For one who waits.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn ask(&self, jti: TokenId) -> Memory {
        let state = self.read();
        if state.tokens.contains_key(&jti) {
            Memory::Revoked
        } else if state.overflows {
            Memory::Unsure
        } else {
            Memory::NotRevoked
        }
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.read().tokens.len()
    }

    /// How long ago the last good look began.
    pub(super) fn age(&self) -> Duration {
        self.read().looked_at.elapsed()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, jti: TokenId, expires_at: Timestamp) {
        if self.tokens.len() < MOST {
            self.tokens.insert(jti, expires_at);
        } else if !self.tokens.contains_key(&jti) {
            self.overflows = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_769_860_800 + seconds)
    }

    fn jti(number: u8) -> TokenId {
        TokenId::new(at(0), &[number; 10])
    }

    fn found(tokens: &[(TokenId, Timestamp)], whole: bool) -> Revocations {
        Revocations { tokens: tokens.to_vec(), whole, next: RevocationCursor(1) }
    }

    #[test]
    fn what_was_revoked_here_stays_when_everything_is_read_anew() {
        let revoked = Revoked::new(Instant::now(), at(0), found(&[], true));
        revoked.note(jti(1), at(900));
        revoked.take(Instant::now(), at(1), found(&[(jti(2), at(300))], true));
        assert_eq!(
            [1, 2, 3].map(|n| revoked.ask(jti(n))),
            [Memory::Revoked, Memory::Revoked, Memory::NotRevoked]
        );
    }

    #[test]
    fn revoking_again_does_not_shorten_what_is_known() {
        let start = Instant::now();
        let revoked = Revoked::new(start, at(0), found(&[(jti(1), at(86_400))], true));
        revoked.note(jti(1), at(60));
        revoked.take(start + SWEEP_EVERY, at(7_200), found(&[], false));
        assert_eq!(revoked.ask(jti(1)), Memory::Revoked);
    }

    #[test]
    fn a_token_is_let_go_an_hour_past_its_end() {
        let start = Instant::now();
        let revoked = Revoked::new(start, at(0), found(&[(jti(1), at(60))], true));
        revoked.take(start + SWEEP_EVERY, at(60 + 3_600), found(&[], false));
        assert_eq!(revoked.ask(jti(1)), Memory::Revoked);
        revoked.take(start + SWEEP_EVERY * 2, at(60 + 3_700), found(&[], false));
        assert_eq!((revoked.ask(jti(1)), revoked.len()), (Memory::NotRevoked, 0));
    }

    #[test]
    fn a_clock_set_far_back_has_everything_read_anew() {
        let revoked = Revoked::new(Instant::now(), at(0), found(&[], true));
        revoked.take(Instant::now(), at(-3_000), found(&[], false));
        assert!(revoked.cursor(at(-3_000)).is_some());
        assert!(revoked.cursor(at(-6_000)).is_none(), "by steps too");
    }
}
