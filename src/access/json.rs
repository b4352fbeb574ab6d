//! JSON read strictly: a key that an object has twice is refused, since readers differ in which of
//! them counts.

use serde_json::Value;

/// What is wrong with a text that should be JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

/// Reads a JSON text (RFC 8259) whose objects have each key once.
pub fn parse(_bytes: &[u8]) -> Result<Value, JsonError> {
    Err(JsonError("not written yet".to_owned()))
}
