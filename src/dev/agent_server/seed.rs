//! Everything that looks random: drawn from the seed, what it is for, and a counter. No state, so that the
//! same seed and the same requests give the same ids and the same replies.

use std::fmt::Display;

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Builder;

/// What all draws of one mock begin with.
#[derive(Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

impl Seed {
    /// An id such as `run-<uuid4>`.
    pub(super) fn id(self, kind: &str, number: impl Display) -> String {
        format!("{kind}-{}", self.uuid(kind, number))
    }

    /// A UUID in the form of version 4.
    pub(super) fn uuid(self, kind: &str, number: impl Display) -> String {
        Builder::from_random_bytes(self.draw(kind, number)).into_uuid().to_string()
    }

    /// A number, for choosing among texts.
    pub(super) fn number(self, kind: &str, number: impl Display) -> usize {
        let drawn = self.draw(kind, number);
        usize::from(u16::from_be_bytes([drawn[0], drawn[1]]))
    }

    /// Bytes that depend on all three, and on where one ends and the next begins.
    pub(super) fn draw(self, kind: &str, number: impl Display) -> [u8; 16] {
        let mut context = Context::new(&SHA256);
        context.update(&self.0.to_be_bytes());
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(number.to_string().as_bytes());
        let digest = context.finish();
        let mut drawn = [0; 16];
        drawn.copy_from_slice(&digest.as_ref()[..16]);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_kind_and_number_and_on_nothing_else() {
        assert_eq!(Seed(1).id("run", 1), Seed(1).id("run", 1));
        let ids = [
            Seed(1).uuid("run", 1),
            Seed(2).uuid("run", 1),
            Seed(1).uuid("run", 2),
            Seed(1).uuid("step", 1),
            Seed(1).uuid("run1", ""),
        ];
        let apart: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(apart.len(), ids.len());
        assert!(ids.iter().all(|id| id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19])));
    }
}
