//! Whether an event's data holds a system message: read in one pass that keeps nothing, since it is
//! done for each event of each stream.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::SYSTEM_MESSAGE;

/// `None` if the data isn't JSON, or if an object says twice what it is: readers differ in which counts.
pub(super) fn holds_system_message(data: &[u8]) -> Option<bool> {
    let mut reader = serde_json::Deserializer::from_slice(data);
    let found = Scan { word: None }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
}

/// Reads any value: is it, or does it hold, a system message?
#[derive(Clone, Copy)]
struct Scan {
    /// The text that makes one of the object which the value is a field of.
    word: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Scan {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.word == Some(value))
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(holds) = items.next_element_seed(Scan { word: None })? {
            found |= holds;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let mut found = false;
        let mut seen = [false; SYSTEM_MESSAGE.len()];
        while let Some(mark) = entries.next_key_seed(Mark)? {
            if let Some(mark) = mark
                && std::mem::replace(&mut seen[mark], true)
            {
                return Err(A::Error::custom("it says twice what it is"));
            }
            found |= entries.next_value_seed(Scan { word: mark.map(|mark| SYSTEM_MESSAGE[mark].1) })?;
        }
        Ok(found)
    }
}

/// Reads a key: which of those that say what an object is, if any?
struct Mark;

impl<'de> DeserializeSeed<'de> for Mark {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<usize>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Mark {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(SYSTEM_MESSAGE.iter().position(|(name, _)| *name == key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::json::samples::any_json;
    use super::super::AnswerRule;

    fn hides(data: &str) -> Option<bool> {
        AnswerRule::Messages.hides(data.as_bytes())
    }

    #[test]
    fn a_system_message_is_hidden() {
        for data in [
            r#"{"id":"message-1","message_type":"system_message","content":"secret"}"#,
            r#"{"content":"secret","message_type":"system_message"}"#,
            r#"{"message\u005ftype":"\u0073ystem_message"}"#,
            r#"{"role":"system","content":"secret"}"#,
            r#"{"message_type":"user_message","role":"system"}"#,
            r#" {"message_type" : "system_message"} "#,
        ] {
            assert_eq!(hides(data), Some(true), "{data}");
        }
    }

    #[test]
    fn a_system_message_within_an_event_hides_it() {
        for data in [
            r#"{"messages":[{"message_type":"assistant_message"},{"message_type":"system_message"}]}"#,
            r#"[{"role":"system"}]"#,
            r#"{"message_type":"event_message","event_data":{"a":{"b":[[{"role":"system"}]]}}}"#,
            r#"{"role":{"role":"system"}}"#,
            r#"{"message_type":[{"message_type":"system_message"}]}"#,
        ] {
            assert_eq!(hides(data), Some(true), "{data}");
        }
    }

    #[test]
    fn everything_else_is_shown() {
        for data in [
            r#"{"id":"message-1","message_type":"assistant_message","content":"system_message"}"#,
            r#"{"message_type":"ping"}"#,
            r#"{"message_type":"usage_statistics","completion_tokens":1.5,"steps":-1,"run_ids":[null,true]}"#,
            r#"{"message_type":"user_message","content":"{\"message_type\":\"system_message\"}"}"#,
            r#"{"message_type":["system_message"],"role":{"a":"system"}}"#,
            r#"{"system_message":"message_type","type":"system"}"#,
            r#"{"message_type":"SYSTEM_MESSAGE"}"#,
            "[DONE]",
            "null",
            "1",
            "",
        ] {
            assert_eq!(hides(data), Some(false), "{data}");
        }
    }

    #[test]
    fn of_what_cannot_be_read_nobody_knows() {
        for data in [
            "{",
            "hello",
            "[DONE] ",
            r#"{"message_type":"ping"} {"message_type":"system_message"}"#,
            r#"{"message_type":"system_message","message_type":"ping"}"#,
            r#"{"message_type":"ping","message_typ\u0065":"ping"}"#,
            r#"{"messages":[{"role":"user","role":"user"}]}"#,
        ] {
            assert_eq!(hides(data), None, "{data}");
        }
        assert_eq!(AnswerRule::Messages.hides(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(hides(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), None);
    }

    #[test]
    fn other_rules_hide_nothing_or_know_nothing() {
        let data = br#"{"message_type":"system_message"}"#;
        assert_eq!(AnswerRule::AsIs.hides(data), Some(false));
        assert_eq!(AnswerRule::Agent.hides(data), None);
        assert_eq!(AnswerRule::Agent.hides(b"[DONE]"), None);
    }

    proptest! {
        #[test]
        fn what_redacting_would_change_is_hidden_and_nothing_else(value in any_json()) {
            let mut redacted = value.clone();
            AnswerRule::Messages.redact(&mut redacted);
            prop_assert_eq!(hides(&value.to_string()), Some(redacted != value));
        }
    }
}
