//! The body of a message request, from its bytes: what the agent server gets holds only what a client
//! token may say, whatever was sent, and a refusal is bounded and repeats no secret. What the strict
//! reader reads is what an ordinary one reads, but for keys that stand twice. Answers are read here too.

#![no_main]

use std::collections::BTreeSet;

use hallpass::access::{AnswerRule, BodyRefusal, BodyRule, parse_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MOST_STEPS: u32 = 50;
/// Its own words, and 64 characters of what was sent, each escaped at worst.
const MOST_REFUSAL_BYTES: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let plain = serde_json::from_slice::<Value>(bytes).ok();
    let body = match parse_json(bytes) {
        Ok(body) => body,
        Err(refusal) => {
            check_refusal(&refusal.0);
            assert!(
                plain.is_none() || ["stands twice", "more than"].iter().any(|why| refusal.0.contains(why))
            );
            return;
        }
    };
    assert_eq!(Some(&body), plain.as_ref(), "two readers agree");
    check_answer(bytes, &body);

    let rule = BodyRule::Message { max_steps: MOST_STEPS };
    match rule.rewrite(body.clone()) {
        Ok(passed) => {
            check_passed(&passed);
            let text = passed.to_string();
            assert_eq!(parse_json(text.as_bytes()).as_ref(), Ok(&passed), "it can be sent");
            assert_eq!(rule.rewrite(passed.clone()), Ok(passed), "and is right as it is");
        }
        Err(BodyRefusal::Malformed(problem)) => check_refusal(&problem),
        Err(BodyRefusal::Field { field, rule }) => {
            check_refusal(&field);
            check_refusal(&rule);
        }
    }
    if let Err(BodyRefusal::Field { field, .. }) = BodyRule::Fields(vec!["name".into()]).rewrite(body) {
        check_refusal(&field);
    }
});

fn check_refusal(refusal: &str) {
    assert!(refusal.len() <= MOST_REFUSAL_BYTES, "{} bytes", refusal.len());
    assert!(!["eyJ", "sk-", "ck-"].iter().any(|mark| refusal.contains(mark)), "{refusal}");
    assert!(!refusal.contains(char::is_control), "{refusal:?}");
}

fn check_passed(body: &Value) {
    check_keys(
        body,
        "assistant_message_tool_kwarg assistant_message_tool_name background include_pings \
         include_return_message_types max_steps messages stream_tokens streaming use_assistant_message",
    );
    let steps = body["max_steps"].as_u64().expect("it is always written");
    assert!((1..=u64::from(MOST_STEPS)).contains(&steps), "{steps}");
    let messages = body["messages"].as_array().expect("it is always written");
    assert!((1..=100).contains(&messages.len()));
    for message in messages {
        check_keys(message, "content name otid role type");
        assert_eq!((&message["role"], &message["type"]), (&"user".into(), &"message".into()));
        assert!(["name", "otid"].iter().all(|name| message[name].is_null() || message[name].is_string()));
        match &message["content"] {
            Value::Array(parts) => parts.iter().for_each(check_part),
            content => assert!(content.is_string(), "{content}"),
        }
    }
}

fn check_part(part: &Value) {
    if part["type"] == "text" {
        check_keys(part, "text type");
        assert!(part["text"].is_string());
        return;
    }
    check_keys(part, "source type");
    assert_eq!(part["type"], "image");
    let source = &part["source"];
    if source["type"] == "url" {
        check_keys(source, "type url");
        let url = source["url"].as_str().expect("an address is a string");
        let media_type = url.strip_prefix("data:").unwrap_or_default().to_ascii_lowercase();
        assert!(media_type.starts_with("image/"), "{url}");
    } else {
        check_keys(source, "data detail media_type type");
        assert_eq!(source["type"], "base64");
        let media_type = source["media_type"].as_str().expect("a type is a string");
        assert!(media_type.to_ascii_lowercase().starts_with("image/"), "{media_type}");
    }
}

fn check_keys(value: &Value, allowed: &str) {
    let allowed: BTreeSet<_> = allowed.split(' ').collect();
    for key in value.as_object().expect("an object").keys() {
        assert!(allowed.contains(key.as_str()), "{key}");
    }
}

/// An event of a stream is hidden if, and only if, something in it would be taken out. Runs, in which
/// something is blanked, are no events.
fn check_answer(bytes: &[u8], answer: &Value) {
    let mut redacted = answer.clone();
    AnswerRule::Messages.redact(&mut redacted);
    let is_run = |value: &Value| value["id"].as_str().is_some_and(|id| id.starts_with("run-"));
    if !is_run(answer) && !answer.as_array().is_some_and(|items| items.iter().any(is_run)) {
        assert_eq!(AnswerRule::Messages.hides(bytes), Some(redacted != *answer));
    }
    check_nowhere(&redacted, &|name, value| {
        matches!((name, value.as_str()), ("message_type", Some("system_message")) | ("role", Some("system")))
    });
    let mut redacted = answer.clone();
    AnswerRule::Agent.redact(&mut redacted);
    check_nowhere(&redacted, &|name, value| match name {
        "secrets" | "tool_exec_environment_variables" => *value != Value::Array(Vec::new()),
        "source_code" => value.as_str().is_some_and(|code| !code.is_empty()),
        _ => false,
    });
}

fn check_nowhere(value: &Value, is_bad: &dyn Fn(&str, &Value) -> bool) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| check_nowhere(item, is_bad)),
        Value::Object(fields) => {
            for (name, value) in fields {
                assert!(!is_bad(name, value), "{name}: {value}");
                check_nowhere(value, is_bad);
            }
        }
        _ => {}
    }
}
