//! Ids in the form in which Letta's server wants them, and what it says of others.

use axum::http::StatusCode;
use serde_json::Value;

use super::failure::{Failure, Mistake};

/// Whether a text is a `kind-` and a UUID of version 4 in lower case.
fn is_id(kind: &str, text: &str) -> bool {
    let uuid = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    uuid.is_some_and(|uuid| {
        uuid.len() == 36
            && uuid.bytes().enumerate().all(|(place, b)| match place {
                8 | 13 | 18 | 23 => b == b'-',
                14 => b == b'4',
                19 => matches!(b, b'8' | b'9' | b'a' | b'b'),
                _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
            })
    })
}

/// Whether an agent of this id may come into being.
pub(super) fn is_agent(id: &str) -> bool {
    is_id("agent", id)
}

/// 422 unless a path names an agent in the right form.
pub(super) fn check_agent(id: &str) -> Result<(), Failure> {
    check("agent", "agent_id", id)
}

/// 422 unless a path names a conversation in the right form.
pub(super) fn check_conversation(id: &str) -> Result<(), Failure> {
    check("conv", "conversation_id", id)
}

fn check(kind: &str, key: &str, id: &str) -> Result<(), Failure> {
    if is_id(kind, id) {
        return Ok(());
    }
    let length = kind.len() + 37;
    let (mistake, message, context) = match id.chars().count() {
        // Of agents, the wrong form is told before the wrong length.
        _ if kind == "agent" => {
            ("string_pattern_mismatch", format!("String should match pattern '{kind}-{{uuid4}}'"), None)
        }
        few if few < length => (
            "string_too_short",
            format!("String should have at least {length} characters"),
            Some("min_length"),
        ),
        many if many > length => {
            ("string_too_long", format!("String should have at most {length} characters"), Some("max_length"))
        }
        _ => ("string_pattern_mismatch", format!("String should match pattern '{kind}-{{uuid4}}'"), None),
    };
    let context = context.map(|bound| format!("{{'{bound}': {length}}}"));
    let is_form = context.is_none();
    let place = format!("'path', '{key}'");
    let context = context.unwrap_or_default();
    let mistake = Mistake { kind: mistake, place, message, input: Value::from(id), context };
    Err(match is_form {
        true => {
            let example = format!("{kind}-123e4567-e89b-42d3-8456-426614174000");
            Failure::invalid_with_example(&mistake, &example)
        }
        false => Failure::invalid(&[mistake]),
    })
}

/// 400 unless a path names a run in the right form.
pub(super) fn check_run(id: &str) -> Result<(), Failure> {
    if is_id("run", id) {
        return Ok(());
    }
    let detail = format!("INVALID_ARGUMENT: Invalid run ID format: {id}. Expected format: 'run-<uuid4>'");
    Err(Failure::detail(StatusCode::BAD_REQUEST, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_4_and_in_lower_case() {
        assert!(is_agent("agent-123e4567-e89b-42d3-8456-426614174000"));
        for wrong in [
            "",
            "agent",
            "agent-",
            "agent-123e4567-e89b-42d3-8456-42661417400",
            "agent-123e4567-e89b-42d3-8456-4266141740000",
            "agent-123e4567-e89b-12d3-8456-426614174000",
            "agent-123e4567-e89b-42d3-c456-426614174000",
            "agent-123E4567-e89b-42d3-8456-426614174000",
            "agent-123e4567ae89b-42d3-8456-426614174000",
            "conv-123e4567-e89b-42d3-8456-426614174000",
        ] {
            assert!(!is_agent(wrong), "{wrong}");
        }
    }
}
