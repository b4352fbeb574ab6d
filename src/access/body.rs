//! What the body of a request may hold. Everything is an allow-list, and the agent server gets a body
//! written anew from what was read.

use std::borrow::Cow;

use serde_json::Value;

/// What a row does with the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// The agent server gets no body, whatever was sent.
    Nothing,
    /// A JSON object, all fields of it.
    Object,
    /// A JSON object with these fields only.
    Fields(Vec<Cow<'static, str>>),
    /// A message request, as Letta defines it; `max_steps` is the most that is passed.
    Message { max_steps: u32 },
    /// Passed as it is: rows of the configuration, whose bodies nobody knows.
    AsSent,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRefusal {
    /// It isn't what this request takes at all (400).
    Malformed(String),
    /// It says what a client token may not say (403).
    Field { field: String, rule: String },
}

impl BodyRule {
    /// Whether the body must be read and parsed before anything is decided.
    pub fn reads(&self) -> bool {
        !matches!(self, BodyRule::Nothing | BodyRule::AsSent)
    }

    /// The body that the agent server gets.
    pub(super) fn rewrite(&self, _body: Value) -> Result<Value, BodyRefusal> {
        Err(BodyRefusal::Malformed("not written yet".to_owned()))
    }
}
