//! How often each of many may do something in a minute. What is limited, and how a refusal is told, is
//! said elsewhere.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Governor's own limiter, whose name is long.
type Keyed<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts for each key by itself, in memory. A key that was quiet may spend its whole minute at once;
/// from then on it gets back a share as time goes by (the generic cell rate algorithm).
pub struct Limiter<K: Clone + Eq + Hash, C: Clock = MonotonicClock> {
    /// None, if there is no limit.
    limiter: Option<Keyed<K, C>>,
    clock: C,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Allows each key this many a minute; 0 is without a limit.
    pub fn per_minute(count: u32) -> Self {
        Self::with_clock(count, MonotonicClock)
    }
}

impl<K: Clone + Eq + Hash, C: Clock + Clone> Limiter<K, C> {
    fn with_clock(count: u32, clock: C) -> Self {
        let quota = NonZeroU32::new(count).map(Quota::per_minute);
        let limiter = quota.map(|quota| RateLimiter::hashmap_with_clock(quota, clock.clone()));
        Self { limiter, clock }
    }

    /// Takes one of the key's, if there is one; otherwise says how long it is until there is.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|refusal| refusal.wait_time_from(self.clock.now()))
    }

    /// Forgets the keys that have their whole minute again. Without it, every key that ever was is
    /// remembered.
    pub fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use governor::clock::FakeRelativeClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(count: u32) -> (Limiter<&'static str, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with_clock(count, clock.clone()), clock)
    }

    /// How many a key can take at the moment.
    fn takes(limiter: &Limiter<&'static str, FakeRelativeClock>, key: &'static str) -> usize {
        (0..1000).take_while(|_| limiter.take(&key).is_ok()).count()
    }

    fn keys(limiter: &Limiter<&'static str, FakeRelativeClock>) -> usize {
        limiter.limiter.as_ref().map_or(0, RateLimiter::len)
    }

    #[test]
    fn a_key_has_its_minute_at_once_and_then_gets_it_back_bit_by_bit() {
        let (limiter, clock) = limiter(60);
        assert_eq!(takes(&limiter, "a"), 60);
        clock.advance(SECOND);
        assert_eq!(takes(&limiter, "a"), 1);
        clock.advance(SECOND * 30);
        assert_eq!(takes(&limiter, "a"), 30);
        clock.advance(SECOND * 3600);
        assert_eq!(takes(&limiter, "a"), 60);
    }

    #[test]
    fn who_waits_as_long_as_it_was_told_is_let_in() {
        let (limiter, clock) = limiter(40);
        assert_eq!(takes(&limiter, "a"), 40);
        assert_eq!(limiter.take(&"a"), Err(SECOND * 3 / 2));
        clock.advance(SECOND);
        assert_eq!(limiter.take(&"a"), Err(SECOND / 2));
        clock.advance(SECOND / 2);
        assert_eq!(limiter.take(&"a"), Ok(()));
        assert_eq!(limiter.take(&"a"), Err(SECOND * 3 / 2));
    }

    #[test]
    fn keys_do_not_share() {
        let (limiter, _) = limiter(1);
        assert_eq!(limiter.take(&"a"), Ok(()));
        assert_eq!(limiter.take(&"a"), Err(SECOND * 60));
        assert_eq!(limiter.take(&"b"), Ok(()));
    }

    #[test]
    fn nought_is_without_a_limit_and_remembers_nobody() {
        let (limiter, _) = limiter(0);
        assert_eq!(takes(&limiter, "a"), 1000);
        limiter.tidy();
        assert_eq!(keys(&limiter), 0);
    }

    #[test]
    fn tidying_forgets_those_that_have_their_whole_minute_and_nobody_else() {
        let (limiter, clock) = limiter(60);
        assert_eq!(takes(&limiter, "busy"), 60);
        assert_eq!(limiter.take(&"quiet"), Ok(()));
        clock.advance(SECOND * 2);
        limiter.tidy();
        assert_eq!(keys(&limiter), 1);
        assert_eq!((takes(&limiter, "busy"), takes(&limiter, "quiet")), (2, 60));
        clock.advance(SECOND * 62);
        limiter.tidy();
        assert_eq!(keys(&limiter), 0);
        assert_eq!(takes(&limiter, "busy"), 60);
    }

    #[test]
    fn threads_that_take_at_once_get_no_more_than_there_is() {
        let (limiter, _) = limiter(100);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| taken.fetch_add(takes(&limiter, "a"), Ordering::Relaxed));
            }
        });
        assert_eq!(taken.into_inner(), 100);
    }
}
