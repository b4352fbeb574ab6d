//! The forms in which Letta writes times: more than one.

use crate::clock::Timestamp;

/// With a fraction and `Z`, as most objects have it.
pub(super) fn exact(at: Timestamp) -> String {
    format!("{}Z", bare(at))
}

/// With a fraction and without an offset, as runs say when they ended.
pub(super) fn bare(at: Timestamp) -> String {
    format!("{}000", at.to_string().trim_end_matches('Z'))
}

/// With a fraction and an offset, as searches answer.
pub(super) fn with_offset(at: Timestamp) -> String {
    format!("{}+00:00", bare(at))
}

/// In whole seconds with an offset, as messages have it.
pub(super) fn seconds(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.seconds()).to_string();
    format!("{}+00:00", text.trim_end_matches(".000Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_forms_of_letta() {
        let at = Timestamp::from_millis(1_769_860_800_007);
        assert_eq!(exact(at), "2026-01-31T12:00:00.007000Z");
        assert_eq!(bare(at), "2026-01-31T12:00:00.007000");
        assert_eq!(with_offset(at), "2026-01-31T12:00:00.007000+00:00");
        assert_eq!(seconds(at), "2026-01-31T12:00:00+00:00");
    }
}
