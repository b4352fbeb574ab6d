//! `[limits]`

use serde::{Deserialize, Serialize};

use super::problem::{Problem, within};

const MOST_PER_MINUTE: u32 = 1_000_000;
const MOST_STREAMS: u32 = 10_000;

/// How much one token or key may ask for; 0 is without a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Message requests, a token.
    pub messages_per_minute: u32,
    /// Streams that are open at the same time, a token.
    pub open_streams: u32,
    /// Pages of tokens, an API key.
    pub lists_per_minute: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { messages_per_minute: 60, open_streams: 4, lists_per_minute: 600 }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), Problem> {
        for (key, value, most) in [
            ("limits.messages_per_minute", self.messages_per_minute, MOST_PER_MINUTE),
            ("limits.open_streams", self.open_streams, MOST_STREAMS),
            ("limits.lists_per_minute", self.lists_per_minute, MOST_PER_MINUTE),
        ] {
            within(key, value, 0..=most, |count| count.to_string())?;
        }
        Ok(())
    }
}
