//! JSON read strictly: a key that an object has twice is refused, since readers differ in which of
//! them counts. What the fields mean is for others.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::token::quote;

/// Most values that a text may hold. A small object takes some 600 bytes of memory for the seven of
/// `{"":0},`, so that a bound on a text's length bounds little.
const MOST_VALUES: usize = 50_000;

/// What is wrong with a text that should be JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);

/// Reads a JSON text (RFC 8259) whose objects have each key once. It may nest 127 deep and hold
/// 50,000 values; numbers are read as integers of 64 bits or doubles.
///
/// # Errors
///
/// The text says what is wrong, the line and the column.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let values_left = Cell::new(MOST_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { values_left: &values_left }.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_err(|e| JsonError(e.to_string()))
}

/// Reads any value, and refuses an object that has a key twice.
#[derive(Clone, Copy)]
struct Strict<'a> {
    values_left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let Some(left) = self.values_left.get().checked_sub(1) else {
            return Err(D::Error::custom(format!("more than {MOST_VALUES} values")));
        };
        self.values_left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(place) => drop(place.insert(entries.next_value_seed(self)?)),
                Entry::Occupied(place) => {
                    let key = quote(place.key());
                    return Err(A::Error::custom(format!("the key {key} stands twice in one object")));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// JSON for the tests of this module and its neighbours.
#[cfg(test)]
pub(super) mod samples {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// What means something in a request or an answer, often where it doesn't belong.
    const WORDS: [&str; 22] = [
        "messages",
        "input",
        "max_steps",
        "role",
        "type",
        "content",
        "text",
        "source",
        "url",
        "data",
        "name",
        "media_type",
        "system",
        "user",
        "message",
        "message_type",
        "system_message",
        "secrets",
        "tools",
        "source_code",
        "tool_exec_environment_variables",
        "run_ids",
    ];

    /// Any JSON, with objects that look a little like those that mean something.
    pub(in crate::access) fn any_json() -> impl Strategy<Value = Value> {
        let word = || prop::sample::select(&WORDS[..]).prop_map(str::to_owned);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
            ".{0,6}".prop_map(Value::from),
            word().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            let key = prop_oneof![4 => word(), 1 => ".{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::samples::any_json;
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).expect_err(text).0
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#" {"a": [null, true, -1, 18446744073709551615, 1.5, "ä\n\ud83d\ude00"], "b": {}} "#;
        let value = json!({"a": [null, true, -1, u64::MAX, 1.5, "ä\n😀"], "b": {}});
        assert_eq!(parse(text.as_bytes()), Ok(value));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":{}}"#,
            r#"[{"x":{"a":1,"a":2}}]"#,
            r#"{"x":[[{"a":1},{"b":1,"a":1,"a":1}]]}"#,
        ] {
            let refusal = refusal(text);
            assert!(
                refusal.starts_with("the key `a` stands twice in one object at line 1 column "),
                "{refusal}"
            );
        }
        assert!(parse(br#"[{"a":1},{"a":{"a":1}}]"#).is_ok());
    }

    #[test]
    fn keys_are_compared_after_their_escapes_are_read() {
        for text in
            [r#"{"role":"user","\u0072ole":"system"}"#, r#"{"\u0061":1,"\u0061":2}"#, r#"{"/":1,"\/":2}"#]
        {
            assert!(refusal(text).contains("stands twice"), "{text}");
        }
        // Letters that look alike, or that differ in case, are other keys.
        assert!(parse(r#"{"role":1,"Role":2,"rоle":3}"#.as_bytes()).is_ok());
    }

    #[test]
    fn a_refusal_says_line_and_column_and_repeats_no_secret() {
        assert_eq!(
            refusal("{\n \"a\": 1,\n \"a\": 2}"),
            "the key `a` stands twice in one object at line 3 column 4"
        );
        assert_eq!(refusal("[1,]"), "trailing comma at line 1 column 4");
        let refusal = refusal(r#"{"sk-hp-1":1,"sk-hp-1":2}"#);
        assert!(refusal.contains("`[masked]`") && !refusal.contains("sk-hp"), "{refusal}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1",
            "{} {}",
            "{}x",
            "nul",
            "NaN",
            "Infinity",
            "01",
            "+1",
            "1.",
            ".5",
            "'a'",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "1e999",
            "// c\n1",
            "\u{feff}{}",
            "{\"a\":1,}",
        ] {
            refusal(text);
        }
        for bytes in [&b"\"\xff\""[..], b"{\"\xc0\xaf\":1}", b"\"\xed\xa0\x80\"", b"{}\0"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(127).as_bytes()).is_ok());
        assert!(refusal(&nested(128)).starts_with("recursion limit exceeded"));
        assert!(refusal(&"{\"a\":".repeat(1_000_000)).starts_with("recursion limit exceeded"));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let list = |items| format!("[{}0]", "0,".repeat(items - 1));
        assert!(parse(list(MOST_VALUES - 1).as_bytes()).is_ok());
        assert!(refusal(&list(MOST_VALUES)).starts_with("more than 50000 values at line 1 column "));
    }

    /// A value as text in which one of its objects, by number, has one of its keys twice.
    fn with_a_key_twice(value: &Value, countdown: &mut usize, text: &mut String) {
        match value {
            Value::Array(items) => {
                text.push('[');
                for (i, item) in items.iter().enumerate() {
                    text.push_str(if i > 0 { "," } else { "" });
                    with_a_key_twice(item, countdown, text);
                }
                text.push(']');
            }
            Value::Object(object) => {
                text.push('{');
                for (i, (key, value)) in object.iter().enumerate() {
                    text.push_str(if i > 0 { "," } else { "" });
                    *text += &format!("{}:", Value::from(key.as_str()));
                    with_a_key_twice(value, countdown, text);
                    if *countdown == 0 {
                        let escaped: String =
                            key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                        *text += &format!(",\"{escaped}\":null");
                    }
                    *countdown = countdown.wrapping_sub(1);
                }
                text.push('}');
            }
            plain => *text += &plain.to_string(),
        }
    }

    fn entries(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(entries).sum(),
            Value::Object(object) => object.len() + object.values().map(entries).sum::<usize>(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn a_value_survives_its_text(value in any_json()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value.clone()));
            prop_assert_eq!(parse(&serde_json::to_vec_pretty(&value).unwrap()), Ok(value));
        }

        #[test]
        fn a_text_with_a_key_twice_anywhere_is_refused(value in any_json(), place in any::<prop::sample::Index>()) {
            prop_assume!(entries(&value) > 0);
            let mut text = String::new();
            with_a_key_twice(&value, &mut place.index(entries(&value)), &mut text);
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            let refusal = parse(text.as_bytes()).expect_err(&text).0;
            prop_assert!(refusal.contains("stands twice"), "{}: {}", text, refusal);
        }

        #[test]
        fn what_is_read_is_what_an_ordinary_reader_reads(bytes in "[\\[\\]{}:,\"\\\\ua0-9.e \n-]{0,24}") {
            let plain = serde_json::from_str::<Value>(&bytes);
            match parse(bytes.as_bytes()) {
                Ok(value) => prop_assert_eq!(plain.unwrap(), value),
                Err(JsonError(refusal)) => prop_assert!(plain.is_err() || refusal.contains("stands twice")),
            }
        }
    }
}
