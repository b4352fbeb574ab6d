//! The body of a request for a token, read field by field so that all mistakes are told at once.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Expiry, Hostname, Policy, quote};
use crate::clock::Timestamp;

/// Most mistakes that one answer lists; a body of garbage would otherwise be answered by megabytes.
const MOST_ERRORS: usize = 50;

/// A mistake in a request: the field, as a path such as `policy[0].access[1]`, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's path, such as `policy[0].access[1]`.
    pub field: String,
    /// What is wrong with it, what was expected and how to mend it.
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The first of them, and how many more there are: an answer's size is bounded.
    pub fn cut(mut errors: Vec<Self>) -> Vec<Self> {
        let more = errors.len().saturating_sub(MOST_ERRORS);
        if more > 0 {
            errors.truncate(MOST_ERRORS);
            errors.push(FieldError::new("request", format!("has {more} more mistakes, not listed here")));
        }
        errors
    }

    /// All of them in one text.
    pub fn list(errors: &[Self]) -> String {
        errors.iter().map(|e| format!("`{}` {}", e.field, e.message)).collect::<Vec<_>>().join("; ")
    }
}

/// The lifetimes that a request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Without `expires_at`.
    pub default_ttl: Duration,
    /// With it, at most.
    pub max_ttl: Duration,
}

/// A request for a token in which everything is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    pub hostname: Hostname,
    pub policy: Policy,
    pub expiry: Expiry,
}

impl TokenRequest {
    /// Reads a request's JSON body. The error holds every mistake, at most 50.
    pub fn parse(body: &Value, now: Timestamp, limits: &Limits) -> Result<Self, Vec<FieldError>> {
        let Value::Object(fields) = body else {
            let seen = kind_of(Some(body));
            return Err(vec![FieldError::new(
                "body",
                format!("must be a JSON object with `hostname` and `policy`, got {seen}"),
            )]);
        };
        let mut errors = Vec::new();
        let hostname = parse_hostname(fields.get("hostname"), &mut errors);
        let policy = Policy::parse(fields.get("policy"), &mut errors);
        let expiry = parse_expiry(fields, now, limits, &mut errors);
        match (hostname, policy, expiry) {
            (Some(hostname), Some(policy), Some(expiry)) if errors.is_empty() => {
                Ok(Self { hostname, policy, expiry })
            }
            _ => Err(FieldError::cut(errors)),
        }
    }
}

fn parse_hostname(value: Option<&Value>, errors: &mut Vec<FieldError>) -> Option<Hostname> {
    let parsed = match value {
        Some(Value::String(text)) => Hostname::parse(text),
        other => Err(format!("must be a string such as `https://app.example.com`, got {}", kind_of(other))),
    };
    parsed.map_err(|rule| errors.push(FieldError::new("hostname", rule))).ok()
}

fn parse_expiry(
    fields: &Map<String, Value>,
    now: Timestamp,
    limits: &Limits,
    errors: &mut Vec<FieldError>,
) -> Option<Expiry> {
    let parsed = match fields.get("expires_at") {
        // A misspelt expiry would otherwise be ignored and the default taken in silence.
        None if fields.contains_key("expiresAt") => {
            errors.push(FieldError::new(
                "expiresAt",
                "is not a field of the request; did you mean `expires_at`?",
            ));
            return None;
        }
        None | Some(Value::Null) => Ok(Expiry::after(now, limits.default_ttl)),
        Some(Value::String(text)) => Expiry::parse(text, now, limits.max_ttl),
        other => {
            Err(format!("must be a string such as `2026-01-31T12:00:00Z` or null, got {}", kind_of(other)))
        }
    };
    parsed.map_err(|rule| errors.push(FieldError::new("expires_at", rule))).ok()
}

/// A value's JSON type, in words, for "got …".
pub(super) fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    }
}

/// A text quoted; of anything else its type.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => quote(text),
        other => kind_of(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LIMITS: Limits =
        Limits { default_ttl: Duration::from_secs(300), max_ttl: Duration::from_secs(86_400) };

    fn now() -> Timestamp {
        Timestamp::from_millis(1_769_860_800_000)
    }

    fn valid() -> Value {
        json!({
            "hostname": "https://app.example.com",
            "policy": [{"type": "agent", "id": "agent-1", "access": ["read_messages", "write_messages"]}],
            "expires_at": "2026-01-31T12:10:00Z",
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = valid();
        body[field] = value;
        body
    }

    fn parse(body: &Value) -> Result<TokenRequest, Vec<FieldError>> {
        TokenRequest::parse(body, now(), &LIMITS)
    }

    /// The one mistake of a body.
    fn mistake(body: &Value) -> (String, String) {
        let mut errors = parse(body).expect_err("a mistake");
        assert_eq!(errors.len(), 1, "{errors:?}");
        let error = errors.remove(0);
        (error.field, error.message)
    }

    #[test]
    fn a_right_request_is_taken() {
        let request = parse(&valid()).unwrap();
        assert_eq!(request.expiry.at().to_string(), "2026-01-31T12:10:00.000Z");
        assert_eq!(
            request.policy.grants()[0].access,
            [crate::token::Access::ReadMessages, crate::token::Access::WriteMessages]
        );
    }

    #[test]
    fn without_an_expiry_or_with_null_the_default_holds() {
        let mut body = valid();
        body.as_object_mut().unwrap().remove("expires_at");
        for body in [body, with("expires_at", Value::Null)] {
            assert_eq!(parse(&body).unwrap().expiry.at().to_string(), "2026-01-31T12:05:00.000Z");
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert!(parse(&with("note", json!({"any": "thing"}))).is_ok());
        let mut body = valid();
        body["policy"][0]["note"] = json!(1);
        assert!(parse(&body).is_ok());
    }

    #[test]
    fn a_camel_case_expiry_is_refused_unless_the_right_one_is_there() {
        assert!(parse(&with("expiresAt", json!("x"))).is_ok());
        let mut body = valid();
        let expiry = body.as_object_mut().unwrap().remove("expires_at").unwrap();
        body["expiresAt"] = expiry;
        let (field, message) = mistake(&body);
        assert_eq!(field, "expiresAt");
        assert!(message.contains("did you mean `expires_at`?"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_apart() {
        for (field, value, seen) in [
            ("hostname", json!(7), "a number"),
            ("hostname", Value::Null, "null"),
            ("policy", json!("agent-1"), "a string"),
            ("policy", json!({}), "an object"),
            ("expires_at", json!(1_769_861_400), "a number"),
            ("expires_at", json!(true), "a boolean"),
        ] {
            let (at, message) = mistake(&with(field, value));
            assert_eq!(at, field);
            assert!(message.contains(&format!("got {seen}")), "{message}");
        }
    }

    #[test]
    fn a_grants_mistake_names_the_entry() {
        for (pointer, value, field, rule) in [
            ("/policy/0", json!("agent-1"), "policy[0]", "must be an object"),
            ("/policy/0/type", json!("tool"), "policy[0].type", "must be `agent`, got `tool`"),
            ("/policy/0/type", Value::Null, "policy[0].type", "must be `agent`, got null"),
            ("/policy/0/id", json!(1), "policy[0].id", "must be a string"),
            ("/policy/0/id", json!(""), "policy[0].id", "1 to 256 characters, got 0"),
            ("/policy/0/id", json!("a/b"), "policy[0].id", "other than `/`"),
            ("/policy/0/id", json!("a b"), "policy[0].id", "visible ASCII"),
            ("/policy/0/id", json!("sk-hp-secret"), "policy[0].id", "looks like an API key"),
            ("/policy/0/id", json!("ä"), "policy[0].id", "visible ASCII"),
            ("/policy/0/id", json!("a".repeat(257)), "policy[0].id", "got 257"),
            ("/policy/0/access", json!([]), "policy[0].access", "one or more"),
            ("/policy/0/access", json!("read_agent"), "policy[0].access", "must be an array"),
            ("/policy/0/access/1", json!("admin"), "policy[0].access[1]", "got `admin`"),
            ("/policy/0/access/1", json!(3), "policy[0].access[1]", "got a number"),
        ] {
            let mut body = valid();
            *body.pointer_mut(pointer).unwrap() = value;
            let (at, message) = mistake(&body);
            assert_eq!(at, field, "{message}");
            assert!(message.contains(rule), "{pointer}: {message}");
        }
    }

    #[test]
    fn a_policy_has_1_to_100_grants() {
        let grant = valid()["policy"][0].clone();
        assert!(parse(&with("policy", json!(vec![grant.clone(); 100]))).is_ok());
        for count in [0, 101] {
            let (field, message) = mistake(&with("policy", json!(vec![grant.clone(); count])));
            assert_eq!(field, "policy");
            assert!(message.contains(&format!("got {count}")), "{message}");
        }
    }

    #[test]
    fn repeated_access_is_kept_once() {
        let mut body = valid();
        body["policy"][0]["access"] = json!(["read_agent", "read_messages", "read_agent"]);
        let request = parse(&body).unwrap();
        assert_eq!(
            serde_json::to_value(&request.policy).unwrap()[0]["access"],
            json!(["read_agent", "read_messages"])
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let errors =
            parse(&json!({"policy": [{"type": "x", "access": ["y"]}], "expires_at": "z"})).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            ["hostname", "policy[0].type", "policy[0].id", "policy[0].access[0]", "expires_at"]
        );
    }

    #[test]
    fn a_flood_of_mistakes_is_cut() {
        let mut body = valid();
        body["policy"][0]["access"] = json!(vec!["nope"; 5_000]);
        let errors = parse(&body).unwrap_err();
        assert_eq!(errors.len(), MOST_ERRORS + 1);
        assert!(errors[MOST_ERRORS].message.contains("4950 more mistakes"));
    }

    #[test]
    fn a_body_that_is_no_object_is_told() {
        for body in [json!([]), json!("x"), Value::Null] {
            assert_eq!(mistake(&body).0, "body");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~]{0,12}".prop_map(Value::from),
            Just(json!("agent")),
            Just(json!("read_agent")),
            Just(json!("https://a.example")),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("hostname|policy|expires_at|type|id|access", inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_body_panics_and_an_accepted_one_holds_to_the_rules(body in any_json()) {
            if let Ok(request) = parse(&body) {
                prop_assert!(!request.policy.grants().is_empty());
                prop_assert!(request.policy.grants().iter().all(|g| !g.access.is_empty()));
                prop_assert!(request.expiry.exp() > now().seconds());
            }
        }

        #[test]
        fn an_accepted_policy_round_trips_through_json(
            ids in prop::collection::vec("[!-.0-~]{1,20}", 1..5),
            access in prop::collection::vec(prop::sample::select(&crate::token::Access::ALL[..]), 1..6),
        ) {
            let grants: Vec<_> = ids.iter().map(|id| json!({"type": "agent", "id": id, "access": access})).collect();
            let policy = parse(&with("policy", json!(grants))).unwrap().policy;
            let text = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        }
    }
}
