//! What the body of a request may hold. Everything is an allow-list, and the agent server gets a body
//! written anew from what was read.

mod message;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::token::quote;

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
    /// It says what a client token may not say (403). `field` is a path such as `messages[2].role`,
    /// and `rule` goes on after it.
    Field { field: String, rule: String },
}

impl BodyRule {
    /// Whether the body must be read and parsed before anything is decided.
    pub fn reads(&self) -> bool {
        !matches!(self, BodyRule::Nothing | BodyRule::AsSent)
    }

    /// The body that the agent server gets.
    ///
    /// # Errors
    ///
    /// The first mistake in it. What the client wrote is repeated cut and masked.
    pub fn rewrite(&self, body: Value) -> Result<Value, BodyRefusal> {
        match self {
            BodyRule::Nothing => Ok(Value::Null),
            BodyRule::AsSent => Ok(body),
            BodyRule::Object => object(body).map(Value::Object),
            BodyRule::Fields(allowed) => {
                let fields = object(body)?;
                match fields.keys().find(|name| !allowed.contains(&Cow::Borrowed(name.as_str()))) {
                    Some(name) => Err(not_among(name, allowed)),
                    None => Ok(Value::Object(fields)),
                }
            }
            BodyRule::Message { max_steps } => message::rewrite(object(body)?, *max_steps),
        }
    }
}

impl BodyRefusal {
    /// What isn't as it must be, in one sentence: "`messages` must be an array, got a string".
    fn malformed(field: &str, rule: &str, seen: Option<&Value>) -> Self {
        BodyRefusal::Malformed(format!("`{field}` {rule}, got {}", shown(seen)))
    }

    fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        BodyRefusal::Field { field: field.into(), rule: rule.into() }
    }
}

fn object(body: Value) -> Result<Map<String, Value>, BodyRefusal> {
    match body {
        Value::Object(fields) => Ok(fields),
        other => {
            Err(BodyRefusal::Malformed(format!("it must be a JSON object, got {}", shown(Some(&other)))))
        }
    }
}

fn not_among(name: &str, allowed: &[Cow<'static, str>]) -> BodyRefusal {
    let allowed: Vec<_> = allowed.iter().map(|name| format!("`{name}`")).collect();
    let rule = match allowed.as_slice() {
        [] => "may not be set with a client token; nor may any other field".to_owned(),
        names => format!("may not be set with a client token; only {} may", names.join(", ")),
    };
    // A path is shown in backticks by whoever shows it.
    let quoted = quote(name);
    let bare = quoted.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or(&quoted);
    BodyRefusal::field(bare, rule)
}

/// A text quoted; of anything else its type, for "got …".
fn shown(value: Option<&Value>) -> Cow<'static, str> {
    Cow::Borrowed(match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(text)) => return Cow::Owned(quote(text)),
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::samples::any_json;
    use super::*;

    fn fields(names: &[&'static str]) -> BodyRule {
        BodyRule::Fields(names.iter().copied().map(Cow::Borrowed).collect())
    }

    #[test]
    fn only_bodies_that_are_checked_are_read() {
        assert!(!BodyRule::Nothing.reads() && !BodyRule::AsSent.reads());
        assert!(
            BodyRule::Object.reads() && fields(&[]).reads() && BodyRule::Message { max_steps: 1 }.reads()
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_malformed() {
        for rule in [BodyRule::Object, fields(&["name"]), BodyRule::Message { max_steps: 5 }] {
            for (body, seen) in [
                (json!([{"name": "x"}]), "an array"),
                (json!("name"), "`name`"),
                (json!(1), "a number"),
                (json!(true), "a boolean"),
                (Value::Null, "null"),
            ] {
                let text = format!("it must be a JSON object, got {seen}");
                assert_eq!(rule.rewrite(body), Err(BodyRefusal::Malformed(text)));
            }
        }
    }

    #[test]
    fn an_object_passes_whole() {
        let body = json!({"any": {"thing": [1, null]}});
        assert_eq!(BodyRule::Object.rewrite(body.clone()), Ok(body));
    }

    #[test]
    fn fields_that_are_listed_pass_as_they_are() {
        for body in [json!({}), json!({"name": null}), json!({"name": {"a": [1]}, "description": "x"})] {
            assert_eq!(fields(&["name", "description"]).rewrite(body.clone()), Ok(body));
        }
    }

    #[test]
    fn a_field_that_is_not_listed_is_refused_by_name() {
        let refusal = fields(&["name", "description"]).rewrite(json!({"name": "x", "system": "y"}));
        let rule = "may not be set with a client token; only `name`, `description` may";
        assert_eq!(refusal, Err(BodyRefusal::field("system", rule)));
        for near in ["Name", "name ", "name\u{0}", "names", ""] {
            assert!(fields(&["name"]).rewrite(json!({near: 1})).is_err(), "{near:?}");
        }
        let refusal = fields(&[]).rewrite(json!({"a": 1}));
        assert_eq!(
            refusal,
            Err(BodyRefusal::field("a", "may not be set with a client token; nor may any other field"))
        );
    }

    #[test]
    fn a_name_that_is_refused_is_repeated_cut_and_masked() {
        let field = |name: &str| match fields(&["name"]).rewrite(json!({name: 1})) {
            Err(BodyRefusal::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field("sk-hp-secret"), "[masked]");
        assert_eq!(field(&"x".repeat(100)), format!("{}…", "x".repeat(64)));
        assert_eq!(field("a`\n"), "a\\u{60}\\u{a}");
    }

    proptest! {
        #[test]
        fn what_passes_holds_listed_fields_only(body in any_json()) {
            let allowed = ["name", "role", "messages"];
            match fields(&allowed).rewrite(body.clone()) {
                Ok(passed) => {
                    prop_assert_eq!(&passed, &body);
                    prop_assert!(passed.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())));
                }
                Err(BodyRefusal::Malformed(_)) => prop_assert!(!body.is_object()),
                Err(BodyRefusal::Field { .. }) => {
                    prop_assert!(body.as_object().unwrap().keys().any(|key| !allowed.contains(&key.as_str())));
                }
            }
        }
    }
}
