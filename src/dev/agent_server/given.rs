//! What a request gives in its body or its query, read as leniently as Letta's server reads it, with all
//! mistakes told together.

use axum::http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::failure::{Failure, Mistake};

/// The members of a body or the keys of a query, and what has been found wrong with them.
pub(super) struct Given {
    place: &'static str,
    members: Map<String, Value>,
    mistakes: Vec<Mistake>,
}

impl Given {
    /// The body of a request, which must be a JSON object.
    pub(super) fn in_body(body: &[u8]) -> Result<Self, Failure> {
        let mistake = |kind, place: String, message: &str, input, context: &str| {
            let (message, context) = (message.to_owned(), context.to_owned());
            Failure::invalid(&[Mistake { kind, place, message, input, context }])
        };
        if body.is_empty() {
            return Err(mistake("missing", "'body',".to_owned(), "Field required", Value::Null, ""));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { place: "body", members, mistakes: Vec::new() }),
            Ok(other) => {
                let message = "Input should be a valid dictionary or object to extract fields from";
                Err(mistake("model_attributes_type", "'body',".to_owned(), message, other, ""))
            }
            Err(error) => {
                let place = format!("'body', {}", error.column());
                let context = "{'error': 'Expecting value'}";
                Err(mistake("json_invalid", place, "JSON decode error", Value::Object(Map::new()), context))
            }
        }
    }

    /// The body of a request that may have none.
    pub(super) fn in_body_if_any(body: &[u8]) -> Result<Self, Failure> {
        if body.is_empty() || body == b"null" {
            return Ok(Self { place: "body", members: Map::new(), mistakes: Vec::new() });
        }
        Self::in_body(body)
    }

    /// The query of a request. All that a key was given is kept, as a list.
    pub(super) fn in_query(query: Option<&str>) -> Self {
        let mut members = Map::new();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let all = members.entry(key.into_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.push(Value::from(value.into_owned()));
            }
        }
        Self { place: "query", members, mistakes: Vec::new() }
    }

    /// The value as it was given; of several in a query, the last.
    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        let value = self.members.get(key)?;
        match value {
            Value::Array(all) if self.place == "query" => all.last(),
            value => Some(value),
        }
    }

    /// A text that may be missing or null.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.raw(key)?.clone() {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => self.wrong(key, "string_type", "Input should be a valid string", other),
        }
    }

    /// A text that must be there.
    pub(super) fn needed_text(&mut self, key: &str) -> String {
        match self.raw(key) {
            None => {
                let whole = match self.place {
                    "body" => Value::Object(self.members.clone()),
                    _ => Value::Null,
                };
                self.wrong(key, "missing", "Field required", whole)
            }
            Some(Value::Null) => {
                self.wrong(key, "string_type", "Input should be a valid string", Value::Null)
            }
            Some(_) => self.text(key),
        }
        .unwrap_or_default()
    }

    /// One of these texts.
    pub(super) fn choice(&mut self, key: &str, choices: &[&'static str]) -> Option<&'static str> {
        let given = self.text(key)?;
        let chosen = choices.iter().find(|choice| **choice == given);
        if let Some(chosen) = chosen {
            return Some(chosen);
        }
        let quoted: Vec<_> = choices.iter().map(|choice| format!("'{choice}'")).collect();
        let message = format!("Input should be {}", quoted.join(" or "));
        self.wrong(key, "literal_error", &message, Value::from(given))
    }

    /// Yes or no, in any of the ways that pydantic takes.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let given = self.raw(key)?.clone();
        let read = match &given {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
                "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        };
        match read {
            Some(flag) => Some(flag),
            None if given.is_string() => {
                let message = "Input should be a valid boolean, unable to interpret input";
                self.wrong(key, "bool_parsing", message, given)
            }
            None => self.wrong(key, "bool_type", "Input should be a valid boolean", given),
        }
    }

    /// A whole number, in any of the ways that pydantic takes.
    pub(super) fn integer(&mut self, key: &str) -> Option<i64> {
        let given = self.raw(key)?.clone();
        let read = match &given {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match read {
            Some(number) => Some(number),
            None if given.is_string() => {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                self.wrong(key, "int_parsing", message, given)
            }
            None => self.wrong(key, "int_type", "Input should be a valid integer", given),
        }
    }

    /// Several texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let given = self.members.get(key)?.clone();
        let Value::Array(items) = given else {
            return match given {
                Value::Null => None,
                other => self.wrong(key, "list_type", "Input should be a valid list", other),
            };
        };
        let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        match texts {
            Some(texts) => Some(texts),
            None => self.wrong(key, "string_type", "Input should be a valid string", Value::Array(items)),
        }
    }

    /// How many of a list are wanted, from a key that has no bound of its own.
    pub(super) fn limit(&mut self, default: usize) -> Result<usize, Failure> {
        match self.integer("limit") {
            None => Ok(default),
            // A negative one gets as far as the database there.
            Some(limit) => usize::try_from(limit)
                .map_err(|_| Failure::detail(StatusCode::INTERNAL_SERVER_ERROR, "An unknown error occurred")),
        }
    }

    /// Notes a mistake that only the caller can see.
    pub(super) fn wrong<T>(
        &mut self,
        key: &str,
        kind: &'static str,
        message: &str,
        input: Value,
    ) -> Option<T> {
        let place = format!("'{}', '{key}'", self.place);
        self.note(kind, place, message, input)
    }

    /// As [`Self::wrong`], at a place that is written out, in Python.
    pub(super) fn note<T>(
        &mut self,
        kind: &'static str,
        place: String,
        message: &str,
        input: Value,
    ) -> Option<T> {
        let (message, context) = (message.to_owned(), String::new());
        self.mistakes.push(Mistake { kind, place, message, input, context });
        None
    }

    /// Refuses the request if anything was wrong with it.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(Failure::invalid(&self.mistakes)) }
    }
}

/// A number without a fraction, held within what fits.
fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a float is cast to the nearest number that fits")]
    (number.fract() == 0.0).then_some(number as i64)
}
