//! Counters by a label, such as refusals by their reason. Counting takes no lock and no memory.

use std::sync::OnceLock;

use super::Counter;

/// More than anything has. Each is remembered when it is first counted.
const MOST_LABELS: usize = 64;

/// Labels past those that are remembered.
const OTHER: &str = "other";

/// How often something has happened, by a label that is the program's own.
pub struct Labelled {
    places: [OnceLock<Place>; MOST_LABELS],
    other: Counter,
}

struct Place {
    label: &'static str,
    count: Counter,
}

impl Labelled {
    /// Shows these labels from the start: a count whose rise from 0 is seen can be watched from its
    /// first step.
    pub fn with(labels: &[&'static str]) -> Self {
        let labelled = Self { places: [const { OnceLock::new() }; MOST_LABELS], other: Counter::default() };
        labels.iter().for_each(|label| {
            labelled.counter(label);
        });
        labelled
    }

    pub fn increment(&self, label: &'static str) {
        self.counter(label).increment();
    }

    /// Each label that there was, and how often.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let places = self.places.iter().map_while(OnceLock::get);
        let other = Some((OTHER, self.other.value())).filter(|(_, count)| *count > 0);
        places.map(|place| (place.label, place.count.value())).chain(other)
    }

    fn counter(&self, label: &'static str) -> &Counter {
        // The first free place becomes the label's, unless another takes it at the same moment.
        let new = || Place { label, count: Counter::default() };
        let mut places = self.places.iter().map(|place| place.get_or_init(new));
        places.find(|place| place.label == label).map_or(&self.other, |place| &place.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(labelled: &Labelled) -> Vec<(&'static str, u64)> {
        labelled.values().collect()
    }

    #[test]
    fn each_label_has_its_count_and_those_that_were_named_begin_at_nought() {
        let labelled = Labelled::with(&["late", "never"]);
        ["late", "odd", "late"].into_iter().for_each(|label| labelled.increment(label));
        assert_eq!(all(&labelled), [("late", 2), ("never", 0), ("odd", 1)]);
        assert_eq!(all(&Labelled::with(&[])), []);
    }

    #[test]
    fn labels_beyond_the_last_place_share_one() {
        let labels: Vec<&'static str> = (0..MOST_LABELS + 2).map(|i| &*i.to_string().leak()).collect();
        let labelled = Labelled::with(&labels[..2]);
        labels.iter().for_each(|label| labelled.increment(label));
        let all = all(&labelled);
        assert_eq!(all.len(), MOST_LABELS + 1);
        assert_eq!((all[0], all[MOST_LABELS]), (("0", 1), (OTHER, 2)));
    }

    #[test]
    fn threads_that_count_new_labels_at_once_lose_none() {
        let labelled = Labelled::with(&[]);
        let labels = ["a", "b", "c", "d"];
        std::thread::scope(|scope| {
            for shift in 0..4 {
                let labelled = &labelled;
                scope.spawn(move || (0..4000).for_each(|i| labelled.increment(labels[(i + shift) % 4])));
            }
        });
        let mut all = all(&labelled);
        all.sort_unstable();
        assert_eq!(all, labels.map(|label| (label, 4000)));
    }
}
