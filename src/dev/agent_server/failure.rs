//! Refusals in the forms that Letta's server gives them.

use std::fmt::Write as _;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that isn't what was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Value,
}

impl Failure {
    /// `{"detail": …}`.
    pub(super) fn detail(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, body: json!({ "detail": detail.into() }) }
    }

    /// 404 with a `detail`.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::NOT_FOUND, detail)
    }

    /// 422 with all mistakes of one request. Letta writes the list as Python does, into a text.
    pub(super) fn invalid(mistakes: &[Mistake]) -> Self {
        let list: Vec<_> = mistakes.iter().map(Mistake::repr).collect();
        let body = json!({ "trace_id": "", "detail": format!("[{}]", list.join(", ")) });
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body }
    }

    /// 422 for an id in the path, with an example of a right one.
    pub(super) fn invalid_with_example(mistake: &Mistake, example: &str) -> Self {
        let mut failure = Self::invalid(std::slice::from_ref(mistake));
        failure.body["examples"] = json!([example]);
        failure
    }

    /// The language model, or the server itself, failed with this status.
    pub(super) fn of_model(status: StatusCode) -> Self {
        let body = match model_error(status) {
            Some((kind, message)) => {
                json!({ "error": { "type": kind, "message": message, "detail": ASKED_FOR } })
            }
            None => json!({ "detail": ASKED_FOR }),
        };
        Self { status, body }
    }
}

/// What Letta calls a failure of the language model that has this status, and what is said of it here.
pub(super) fn model_error(status: StatusCode) -> Option<(&'static str, &'static str)> {
    Some(match status.as_u16() {
        400 => ("llm_bad_request", "The language model refused the request."),
        401 => ("llm_authentication", "The language model refused the key."),
        402 => ("llm_insufficient_credits", "There is no credit left at the language model."),
        429 => ("llm_rate_limit", "The language model has been asked too often."),
        500 => ("llm_error", "The language model failed."),
        504 => ("llm_timeout", "The language model took too long."),
        _ => return None,
    })
}

/// Why the mock's model fails.
pub(super) const ASKED_FOR: &str = "The message asked for this error.";

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// One thing wrong with a request, with the members that pydantic gives it.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Pydantic's name for it.
    pub(super) kind: &'static str,
    /// Where it is, in Python: `'body', 'messages', 0`.
    pub(super) place: String,
    pub(super) message: String,
    pub(super) input: Value,
    /// What pydantic adds, in Python, or nothing.
    pub(super) context: String,
}

impl Mistake {
    fn repr(&self) -> String {
        let mut text = format!(
            "{{'type': '{}', 'loc': ({}), 'msg': {}, 'input': {}",
            self.kind,
            self.place,
            repr(&Value::from(self.message.as_str())),
            repr(&self.input)
        );
        if !self.context.is_empty() {
            let _ = write!(text, ", 'ctx': {}", self.context);
        }
        text + "}"
    }
}

/// A value as Python's `repr` writes it.
fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => repr_text(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{}: {}", repr_text(key), repr(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut written = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            c if c == quote => written.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(written, "\\x{:02x}", u32::from(c));
            }
            c => written.push(c),
        }
    }
    written.push(quote);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let value = json!({"a": [null, true, false, 1.5], "it's": "say \"x\"", "c": "it's\n\u{1}é"});
        assert_eq!(repr(&value), r#"{'a': [None, True, False, 1.5], 'c': "it's\n\x01é", "it's": 'say "x"'}"#);
        assert_eq!(repr(&json!("' \"")), r#"'\' "'"#);
    }
}
