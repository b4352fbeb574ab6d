//! What a value must be that its type can't say.

use std::ops::RangeInclusive;

/// What is wrong with a setting; where it was read from is added by who read it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }
}

/// Whether a value lies in its range, which is told in the form in which people write the value.
pub(super) fn within<T: PartialOrd + Copy>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    Err(Problem::new(key, format!("must be between `{least}` and `{most}`, got `{}`", show(value))))
}
