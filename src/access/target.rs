//! A request's target, read once and strictly: what is odd is refused, never guessed, so that what is
//! decided on is what the agent server gets.

use std::borrow::Cow;

/// A path and query in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Decoded; each of `[A-Za-z0-9._~-]+`, none a dot segment. A slash at the end is gone.
    pub segments: Vec<Cow<'a, str>>,
    /// Decoded pairs, in order.
    pub query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// What is wrong with a target, for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(pub String);

impl<'a> Target<'a> {
    /// Reads a target in origin form (RFC 9112, section 3.2.1): `/path?query`.
    pub fn parse(_raw: &'a str) -> Result<Self, BadTarget> {
        Err(BadTarget("not written yet".to_owned()))
    }
}
