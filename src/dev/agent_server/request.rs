//! A request that says something to an agent, read and checked as Letta's server does it.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::given::Given;
use super::messages::{plain, text_of, types};

/// What was sent, and how the answer is wanted.
pub(super) struct Sent {
    pub(super) messages: Vec<SentMessage>,
    pub(super) max_steps: i64,
    /// As the request says, if it does.
    pub(super) streaming: Option<bool>,
    pub(super) stream_tokens: bool,
    pub(super) include_pings: bool,
    pub(super) types: Option<Vec<String>>,
    /// What a run remembers of it.
    pub(super) config: Value,
}

pub(super) struct SentMessage {
    pub(super) is_system: bool,
    pub(super) content: Value,
    pub(super) otid: Option<String>,
    pub(super) name: Option<String>,
}

impl Sent {
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        let mut given = Given::in_body(body)?;
        let types = types(&mut given);
        let tool = given.text("assistant_message_tool_name").unwrap_or_else(|| "send_message".to_owned());
        let kwarg = given.text("assistant_message_tool_kwarg").unwrap_or_else(|| "message".to_owned());
        let config = json!({
            "use_assistant_message": given.flag("use_assistant_message").unwrap_or(true),
            "assistant_message_tool_name": tool, "assistant_message_tool_kwarg": kwarg,
            "include_return_message_types": types
        });
        let messages = messages(&mut given);
        let sent = Self {
            messages,
            max_steps: given.integer("max_steps").unwrap_or(50),
            streaming: given.flag("streaming"),
            stream_tokens: given.flag("stream_tokens").unwrap_or(false),
            include_pings: given.flag("include_pings").unwrap_or(true),
            types,
            config,
        };
        given.check()?;
        if sent.messages.is_empty() {
            return Err(Failure::detail(StatusCode::UNPROCESSABLE_ENTITY, "Messages must not be empty"));
        }
        Ok(sent)
    }

    /// The text of the last message that isn't the system's.
    pub(super) fn text(&self) -> String {
        let last = self.messages.iter().rfind(|message| !message.is_system);
        last.map(|message| text_of(&message.content)).unwrap_or_default()
    }
}

/// The messages, or what `input` says in their place.
fn messages(given: &mut Given) -> Vec<SentMessage> {
    let present = |given: &Given, key| given.raw(key).filter(|value| !value.is_null()).cloned();
    match (present(given, "messages"), present(given, "input")) {
        (Some(Value::Array(items)), None) => {
            items.iter().enumerate().filter_map(|(place, item)| message(given, place, item)).collect()
        }
        (Some(other), None) => {
            given.wrong::<()>("messages", "list_type", "Input should be a valid list", other);
            Vec::new()
        }
        (None, Some(content)) if is_content(&content) => {
            vec![SentMessage { is_system: false, content: plain(content), otid: None, name: None }]
        }
        (None, Some(other)) => {
            given.wrong::<()>("input", "string_type", "Input should be a valid string", other);
            Vec::new()
        }
        (given_messages, _) => {
            let message = match given_messages {
                Some(_) => "Value error, Give either 'input' or 'messages', not both",
                None => "Value error, Give either 'input' or 'messages'",
            };
            given.note::<()>("value_error", "'body',".to_owned(), message, Value::Object(Map::new()));
            Vec::new()
        }
    }
}

fn message(given: &mut Given, place: usize, item: &Value) -> Option<SentMessage> {
    let member = |key: &str| item.get(key).filter(|value| !value.is_null());
    let at = |key: &str| format!("'body', 'messages', {place}, '{key}'");
    if !item.is_object() {
        let message = "Input should be a valid dictionary or object to extract fields from";
        return given.note(
            "model_attributes_type",
            format!("'body', 'messages', {place}"),
            message,
            item.clone(),
        );
    }
    if let Some(kind) = member("type").filter(|kind| *kind != "message") {
        let message = "Input should be 'message': the mock takes neither approvals nor results of tools";
        return given.note("literal_error", at("type"), message, kind.clone());
    }
    let role = member("role").cloned().unwrap_or_default();
    if !["user", "system", "assistant"].iter().any(|known| role == *known) {
        return match item.get("role") {
            None => given.note("missing", at("role"), "Field required", item.clone()),
            Some(_) => {
                let message = "Input should be 'user', 'system' or 'assistant'";
                given.note("literal_error", at("role"), message, role)
            }
        };
    }
    let content = match item.get("content") {
        None => return given.note("missing", at("content"), "Field required", item.clone()),
        Some(content) if is_content(content) => plain(content.clone()),
        Some(other) => {
            return given.note("string_type", at("content"), "Input should be a valid string", other.clone());
        }
    };
    let text = |key| member(key).and_then(Value::as_str).map(str::to_owned);
    Some(SentMessage { is_system: role == "system", content, otid: text("otid"), name: text("name") })
}

/// A text, or a list of parts that each name their type.
fn is_content(content: &Value) -> bool {
    let is_part = |part: &Value| part.get("type").is_some_and(Value::is_string);
    content.is_string() || content.as_array().is_some_and(|parts| parts.iter().all(is_part))
}
