//! Numbers for whoever watches a server: counters and distributions that cost a few nanoseconds to
//! move, and the text in which Prometheus reads them. What is counted, and under which name, is said
//! elsewhere.

mod exposition;
mod labelled;
mod requests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::exposition::{Exposition, Format, Samples};
pub use self::labelled::Labelled;
pub use self::requests::Requests;

/// How often something has happened.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a histogram measures in: whole parts of the unit that is shown, and the upper limits of its
/// buckets, in such parts and in rising order.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub parts_per_unit: u64,
    pub limits: &'static [u64],
}

/// Seconds, measured in microseconds: from half a millisecond to the longest time of a request.
pub const SECONDS: Scale = Scale {
    parts_per_unit: 1_000_000,
    limits: &[
        500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 30_000_000,
    ],
};

/// How a measure is distributed over buckets.
#[derive(Debug)]
pub struct Histogram {
    scale: Scale,
    /// One for each limit, and one for what is above them all.
    counts: Box<[Counter]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn new(scale: Scale) -> Self {
        let counts = (0..=scale.limits.len()).map(|_| Counter::default()).collect();
        Self { scale, counts, sum: AtomicU64::default() }
    }

    /// Notes one measure, in parts of the unit.
    pub fn note(&self, parts: u64) {
        let bucket = self.scale.limits.partition_point(|limit| *limit < parts);
        self.counts[bucket].increment();
        self.sum.fetch_add(parts, Ordering::Relaxed);
    }

    /// Notes how long something took, on the scale of [`SECONDS`].
    pub fn note_time(&self, took: Duration) {
        self.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was noted so far.
    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(Counter::value).collect();
        Distribution { scale: self.scale, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// What a histogram held at a moment.
#[derive(Clone, Debug)]
pub struct Distribution {
    scale: Scale,
    counts: Vec<u64>,
    sum: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Histogram::new(Scale { parts_per_unit: 1, limits: &[] }).read()
    }
}

impl Distribution {
    /// How many measures were noted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in the unit.
    fn sum(&self) -> f64 {
        self.in_units(self.sum)
    }

    /// For each limit, in the unit, how many were no greater.
    fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut below = 0;
        self.scale.limits.iter().zip(&self.counts).map(move |(limit, count)| {
            below += count;
            (self.in_units(*limit), below)
        })
    }

    fn in_units(&self, parts: u64) -> f64 {
        parts as f64 / self.scale.parts_per_unit as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Scale = Scale { parts_per_unit: 10, limits: &[5, 10] };

    #[test]
    fn a_measure_counts_in_the_first_bucket_whose_limit_it_does_not_pass() {
        let histogram = Histogram::new(SMALL);
        [0, 5, 6, 10, 11, 100].into_iter().for_each(|parts| histogram.note(parts));
        let read = histogram.read();
        assert_eq!(read.counts, [2, 2, 2]);
        assert_eq!(read.cumulative().collect::<Vec<_>>(), [(0.5, 2), (1.0, 4)]);
        assert_eq!((read.count(), read.sum()), (6, 13.2));
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let histogram = Histogram::new(SECONDS);
        histogram.note_time(Duration::from_micros(1500));
        let read = histogram.read();
        assert_eq!(read.sum(), 0.0015);
        let first = read.cumulative().find(|(_, count)| *count == 1);
        assert_eq!(first, Some((0.0025, 1)));
    }

    #[test]
    fn limits_rise() {
        assert!(SECONDS.limits.is_sorted_by(|one, next| one < next));
    }
}
