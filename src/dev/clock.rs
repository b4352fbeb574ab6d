//! The machine's clock, ahead by as much as the developer likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};

/// The machine's clock, and how far this one is ahead of it.
#[derive(Debug, Default)]
pub struct DevClock {
    /// Milliseconds.
    ahead: AtomicU64,
}

impl DevClock {
    /// Furthest that it goes ahead: ten years.
    pub const MOST_AHEAD: Duration = Duration::from_secs(3_660 * 86_400);

    /// Moves on. `false`: it would be too far, and nothing was done.
    pub(super) fn advance(&self, by: Duration) -> bool {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let further = |ahead: u64| {
            ahead.checked_add(by).filter(|ahead| Duration::from_millis(*ahead) <= Self::MOST_AHEAD)
        };
        self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, further).is_ok()
    }

    pub(super) fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::Relaxed))
    }

    pub(super) fn reset(&self) {
        self.ahead.store(0, Ordering::Relaxed);
    }
}

impl Clock for DevClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().after(self.ahead())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_on_and_comes_back() {
        let clock = DevClock::default();
        assert!(clock.advance(Duration::from_secs(360)));
        assert!(clock.now() >= SystemClock.now().after(Duration::from_secs(359)));
        assert!(!clock.advance(Duration::MAX), "no clock goes that far");
        assert_eq!(clock.ahead(), Duration::from_secs(360));
        clock.reset();
        assert_eq!(clock.ahead(), Duration::ZERO);
    }
}
