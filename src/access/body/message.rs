//! The body of a message request. A token that may send messages may say something as the user, and
//! nothing more: no other role, no approval of tool calls, no other prompt, model or tools, and
//! nothing that makes the agent server fetch or call an address.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{BodyRefusal, shown};
use crate::token::quote;

/// The fields that pass as they are. Any other than `messages`, `input` and `max_steps` is dropped: that
/// is the way of `override_system`, `system`, `override_model`, `client_tools`, `client_skills`,
/// `callback_url`, `run_ids`, `return_token_ids`, `return_logprobs`, and of what later versions add.
const PASSED: [&str; 8] = [
    "streaming",
    "stream_tokens",
    "include_pings",
    "background",
    "use_assistant_message",
    "assistant_message_tool_name",
    "assistant_message_tool_kwarg",
    "include_return_message_types",
];

const MOST_MESSAGES: usize = 100;

/// The scheme of an address that is its own content.
const DATA: &str = "data:";

/// The request as the agent server gets it.
pub(super) fn rewrite(mut sent: Map<String, Value>, most_steps: u32) -> Result<Value, BodyRefusal> {
    let messages = match (given(&mut sent, "messages"), given(&mut sent, "input")) {
        (Some(_), Some(_)) => {
            return Err(BodyRefusal::field("input", "may not stand beside `messages`; send one of them"));
        }
        (Some(messages), None) => rewrite_messages(messages)?,
        (None, Some(Value::String(text))) => vec![from_input(text)?],
        (None, Some(other)) => {
            let rule =
                format!("must be a string with a client token, got {}; use `messages`", shown(Some(&other)));
            return Err(BodyRefusal::field("input", rule));
        }
        (None, None) => {
            return Err(BodyRefusal::malformed("messages", "must be an array of messages", None));
        }
    };
    let max_steps = clamp_steps(given(&mut sent, "max_steps").as_ref(), most_steps)?;
    let mut passed: Map<_, _> = PASSED.iter().filter_map(|name| sent.remove_entry(*name)).collect();
    passed.insert("messages".to_owned(), Value::Array(messages));
    passed.insert("max_steps".to_owned(), max_steps.into());
    Ok(Value::Object(passed))
}

/// Takes a field out. Clients send null for what they don't set.
fn given(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.remove(name).filter(|value| !value.is_null())
}

/// `input` is short for one message; written out, it is under the rules for messages.
fn from_input(text: String) -> Result<Value, BodyRefusal> {
    if text.is_empty() {
        return Err(BodyRefusal::Malformed("`input` must not be empty".to_owned()));
    }
    Ok(user_message(Value::String(text)).into())
}

fn clamp_steps(given: Option<&Value>, most: u32) -> Result<u32, BodyRefusal> {
    let Some(given) = given else { return Ok(most) };
    // JSON has one kind of number: 10.0 is 10, and what is beyond 64 bits is beyond the limit too.
    let Some(steps) = given.as_f64().filter(|steps| *steps >= 1.0 && steps.fract() == 0.0) else {
        let seen = given.as_number().map_or_else(|| shown(Some(given)).into_owned(), ToString::to_string);
        let problem = format!("`max_steps` must be a whole number of at least 1, got {seen}");
        return Err(BodyRefusal::Malformed(problem));
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to a `u32`"
    )]
    let clamped = steps.min(f64::from(most)) as u32;
    Ok(clamped)
}

fn rewrite_messages(messages: Value) -> Result<Vec<Value>, BodyRefusal> {
    let list = match messages {
        Value::Array(list) if (1..=MOST_MESSAGES).contains(&list.len()) => list,
        Value::Array(list) => {
            let problem = format!("`messages` must hold 1 to {MOST_MESSAGES} messages, got {}", list.len());
            return Err(BodyRefusal::Malformed(problem));
        }
        other => {
            return Err(BodyRefusal::malformed("messages", "must be an array of messages", Some(&other)));
        }
    };
    let place = |(i, message)| rewrite_message(message, &format!("messages[{i}]"));
    list.into_iter().enumerate().map(place).collect()
}

/// `type` is always written: without it the agent server guesses, by fields that make an approval.
fn rewrite_message(message: Value, at: &str) -> Result<Value, BodyRefusal> {
    let mut sent = fields(message, at)?;
    let kind = given(&mut sent, "type");
    if kind.as_ref().is_some_and(|kind| kind != "message") {
        return Err(only(format!("{at}.type"), &["message"], kind.as_ref()));
    }
    let role = sent.remove("role");
    if role.as_ref().and_then(Value::as_str) != Some("user") {
        return Err(only(format!("{at}.role"), &["user"], role.as_ref()));
    }
    let content = rewrite_content(given(&mut sent, "content"), &format!("{at}.content"))?;
    let mut passed = user_message(content);
    for name in ["otid", "name"] {
        if let Some(value) = given(&mut sent, name) {
            let value = text(Some(value), &format!("{at}.{name}"))?;
            // The agent server finds a run in the background by it, whosever that is: only what nobody
            // guesses is taken, which is what the SDKs send.
            if name != "otid" || Uuid::parse_str(&value).is_ok() {
                passed.insert(name.to_owned(), value.into());
            }
        }
    }
    Ok(Value::Object(passed))
}

fn user_message(content: Value) -> Map<String, Value> {
    object([("role", "user".into()), ("type", "message".into()), ("content", content)])
}

fn rewrite_content(content: Option<Value>, at: &str) -> Result<Value, BodyRefusal> {
    match content {
        Some(Value::String(text)) if !text.is_empty() => Ok(Value::String(text)),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let place = |(i, part)| rewrite_part(part, &format!("{at}[{i}]"));
            parts.into_iter().enumerate().map(place).collect()
        }
        // The agent server would fail on it as if the fault were its own.
        Some(Value::String(_) | Value::Array(_)) => {
            Err(BodyRefusal::Malformed(format!("`{at}` must not be empty")))
        }
        other => Err(BodyRefusal::malformed(at, "must be a string or an array of parts", other.as_ref())),
    }
}

fn rewrite_part(part: Value, at: &str) -> Result<Value, BodyRefusal> {
    let mut sent = fields(part, at)?;
    let kind = sent.remove("type");
    match kind.as_ref().and_then(Value::as_str) {
        Some("text") => {
            let text = text(sent.remove("text"), &format!("{at}.text"))?;
            Ok(Value::Object(object([("type", "text".into()), ("text", text.into())])))
        }
        Some("image") => {
            let source = rewrite_source(sent.remove("source"), &format!("{at}.source"))?;
            Ok(Value::Object(object([("type", "image".into()), ("source", source)])))
        }
        _ => Err(only(format!("{at}.type"), &["text", "image"], kind.as_ref())),
    }
}

/// An image that is in the request itself. The agent server would fetch one at an address from inside
/// its network, and one that it keeps may be another's.
fn rewrite_source(source: Option<Value>, at: &str) -> Result<Value, BodyRefusal> {
    let mut sent = fields(source.unwrap_or_default(), at)?;
    let kind = sent.remove("type");
    let passed = match kind.as_ref().and_then(Value::as_str) {
        Some("base64") => {
            let media_type = text(sent.remove("media_type"), &format!("{at}.media_type"))?;
            if !is_image_type(&media_type) {
                let rule = format!("must be an image type such as `image/png`, got {}", quote(&media_type));
                return Err(BodyRefusal::field(format!("{at}.media_type"), rule));
            }
            let data = text(sent.remove("data"), &format!("{at}.data"))?;
            let mut passed =
                object([("type", "base64".into()), ("media_type", media_type.into()), ("data", data.into())]);
            if let Some(detail) = given(&mut sent, "detail") {
                passed.insert("detail".to_owned(), text(Some(detail), &format!("{at}.detail"))?.into());
            }
            passed
        }
        Some("url") => {
            let mut url = text(sent.remove("url"), &format!("{at}.url"))?;
            if !is_image_data(&url) {
                let rule = format!(
                    "must be a `data:` URL of an image, such as `data:image/png;base64,…`, got {}; \
                     the agent server fetches nothing for a client token",
                    quote(&url)
                );
                return Err(BodyRefusal::field(format!("{at}.url"), rule));
            }
            // The agent server takes the type from what follows `data:`, which it knows only so.
            url.replace_range(..DATA.len(), DATA);
            object([("type", "url".into()), ("url", url.into())])
        }
        _ => return Err(only(format!("{at}.type"), &["base64", "url"], kind.as_ref())),
    };
    Ok(Value::Object(passed))
}

/// A `data:` URL (RFC 2397) of an image. Byte for byte: a URL parser would drop tabs, line ends and
/// spaces before the scheme, the agent server's another set of them than a browser's.
fn is_image_data(url: &str) -> bool {
    let data = url.split_at_checked(DATA.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(DATA));
    let header = data.and_then(|(_, rest)| rest.split_once(',')).map(|(header, _)| header);
    header.and_then(|header| header.split(';').next()).is_some_and(is_image_type)
}

/// `image/` and a subtype (RFC 6838, section 4.2).
fn is_image_type(media_type: &str) -> bool {
    let image = media_type.split_at_checked(6).filter(|(kind, _)| kind.eq_ignore_ascii_case("image/"));
    image.is_some_and(|(_, subtype)| {
        (1..=127).contains(&subtype.len())
            && subtype.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c))
    })
}

fn fields(value: Value, at: &str) -> Result<Map<String, Value>, BodyRefusal> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(BodyRefusal::malformed(at, "must be an object", Some(&other))),
    }
}

fn text(value: Option<Value>, at: &str) -> Result<String, BodyRefusal> {
    match value {
        Some(Value::String(text)) => Ok(text),
        other => Err(BodyRefusal::malformed(at, "must be a string", other.as_ref())),
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The refusal of a word other than those that a client token may say.
fn only(field: String, allowed: &[&str], seen: Option<&Value>) -> BodyRefusal {
    let allowed: Vec<_> = allowed.iter().map(|word| format!("`{word}`")).collect();
    let rule = format!("must be {} with a client token, got {}", allowed.join(" or "), shown(seen));
    BodyRefusal::Field { field, rule }
}

#[cfg(test)]
mod tests;
