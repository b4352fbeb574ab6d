//! Messages: what an agent keeps of them, the forms in which Letta shows them, and pages of them.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::given::Given;
use super::time::seconds;
use crate::clock::Timestamp;

/// A message as it is kept. What the agent said in one step is one message, and is shown as several.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) otid: Option<String>,
    pub(super) name: Option<String>,
    pub(super) conversation: Option<String>,
    pub(super) run: Option<String>,
    pub(super) step: Option<String>,
    pub(super) at: Timestamp,
    pub(super) said: Said,
}

/// Who said what.
#[derive(Clone)]
pub(super) enum Said {
    System(String),
    /// A text, or a list of parts.
    User(Value),
    Reply {
        reasoning: String,
        text: String,
    },
    Call {
        reasoning: String,
        call: ToolCall,
    },
    Return {
        call: ToolCall,
        text: String,
    },
}

/// A tool that the agent calls.
#[derive(Clone)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as text.
    pub(super) arguments: String,
}

/// All types that there are, to check what is asked for.
pub(super) const TYPES: [&str; 11] = [
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
];

impl Message {
    /// The objects in which it is shown, in their order.
    pub(super) fn shown(&self) -> Vec<Value> {
        match &self.said {
            Said::System(text) => {
                vec![self.entry("system_message", self.otid.as_deref(), json!({ "content": text }))]
            }
            Said::User(content) => {
                vec![self.entry("user_message", self.otid.as_deref(), json!({ "content": content }))]
            }
            Said::Reply { reasoning, text } => vec![self.reasoning(reasoning), self.reply(text)],
            Said::Call { reasoning, call } => {
                let called = call.shown();
                vec![self.reasoning(reasoning), self.call(call, json!([called]))]
            }
            Said::Return { call, text } => {
                let returned = json!({
                    "tool_return": text, "status": "success", "tool_call_id": call.id, "stdout": null,
                    "stderr": null
                });
                let mut one = returned.clone();
                one["type"] = json!("tool");
                let mut more = returned;
                more["tool_returns"] = json!([one]);
                vec![self.entry("tool_return_message", Some(&self.nth_otid(0)), more)]
            }
        }
    }

    /// What it reasoned, or a piece of that.
    pub(super) fn reasoning(&self, text: &str) -> Value {
        let more = json!({ "source": "reasoner_model", "reasoning": text, "signature": null });
        self.entry("reasoning_message", Some(&self.nth_otid(0)), more)
    }

    /// What it replied, or a piece of that.
    pub(super) fn reply(&self, text: &str) -> Value {
        self.entry("assistant_message", Some(&self.nth_otid(1)), json!({ "content": text }))
    }

    /// What it called. The list of calls is a list only where tokens aren't streamed.
    pub(super) fn call(&self, call: &ToolCall, calls: Value) -> Value {
        let more = json!({ "tool_call": call.shown(), "tool_calls": calls });
        self.entry("tool_call_message", Some(&self.nth_otid(1)), more)
    }

    fn entry(&self, kind: &str, otid: Option<&str>, more: Value) -> Value {
        let mut entry = json!({
            "id": self.id, "date": seconds(self.at), "name": self.name, "message_type": kind, "otid": otid,
            "sender_id": null, "step_id": self.step, "is_err": null, "seq_id": null, "run_id": self.run
        });
        if let (Value::Object(entry), Value::Object(more)) = (&mut entry, more) {
            entry.extend(more);
        }
        entry
    }

    /// What Letta makes of a message's id for the entries that it is shown as: the last seven bits count.
    fn nth_otid(&self, nth: u8) -> String {
        let uuid = self.id.trim_start_matches("message-");
        let start = uuid.len().saturating_sub(2);
        let (most, last) = uuid.split_at_checked(start).unwrap_or(("", "0"));
        let last = u8::from_str_radix(last, 16).unwrap_or(0);
        format!("{most}{:02x}", last & 0x80 | nth)
    }

    /// About how many bytes it keeps.
    pub(super) fn weight(&self) -> usize {
        let said = match &self.said {
            Said::System(text) | Said::User(Value::String(text)) => text.len(),
            Said::User(content) => content.to_string().len(),
            Said::Reply { reasoning, text } => reasoning.len() + text.len(),
            Said::Call { reasoning, .. } => reasoning.len(),
            Said::Return { text, .. } => text.len(),
        };
        said + self.name.as_ref().map_or(0, String::len) + self.otid.as_ref().map_or(0, String::len)
    }
}

impl ToolCall {
    pub(super) fn shown(&self) -> Value {
        json!({ "name": self.name, "arguments": self.arguments, "tool_call_id": self.id })
    }
}

/// Which messages of a list are wanted.
pub(super) struct Page {
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    pub(super) ascending: bool,
    pub(super) types: Option<Vec<String>>,
}

impl Page {
    /// Reads the keys that all lists of messages have.
    pub(super) fn of(given: &mut Given, ascending: bool) -> Result<Self, Failure> {
        let (before, after) = (given.text("before"), given.text("after"));
        let order = given.choice("order", &["asc", "desc"]);
        given.choice("order_by", &["created_at"]);
        let types = types(given);
        let limit = given.limit(100);
        given.check()?;
        let ascending = order.map_or(ascending, |order| order == "asc");
        Ok(Self { before, after, limit: limit?, ascending, types })
    }

    /// Takes away cursors that aren't among these.
    pub(super) fn forget_cursors_but(&mut self, known: &[&str]) {
        let is_known = |cursor: &String| known.contains(&cursor.as_str());
        self.before = self.before.take().filter(is_known);
        self.after = self.after.take().filter(is_known);
    }

    /// The messages of the page, in the order that was asked for: out of all that there are, the oldest first,
    /// those that are wanted. A cursor that isn't among all of them is given back.
    pub(super) fn cut<'m>(
        &self,
        all: impl Iterator<Item = &'m Message>,
        is_wanted: impl Fn(&Message) -> bool,
    ) -> Result<Vec<&'m Message>, String> {
        let all: Vec<_> = all.collect();
        let place = |cursor: &Option<String>| match cursor {
            None => Ok(None),
            Some(id) => match all.iter().position(|message| message.id == *id) {
                Some(place) => Ok(Some(place)),
                None => Err(id.clone()),
            },
        };
        let start = place(&self.after)?.map_or(0, |place| place + 1);
        let end = place(&self.before)?.unwrap_or(all.len());
        let between = all.get(start..end).unwrap_or_default().iter().copied();
        let mut wanted: Vec<_> = between.filter(|message| is_wanted(message)).collect();
        if !self.ascending {
            wanted.reverse();
        }
        wanted.truncate(self.limit);
        Ok(wanted)
    }

    /// Whether entries of this type are wanted.
    pub(super) fn shows(&self, entry: &Value) -> bool {
        is_among(self.types.as_deref(), entry)
    }
}

/// Whether an entry's type is among those wanted, or all are.
pub(super) fn is_among(types: Option<&[String]>, entry: &Value) -> bool {
    types.is_none_or(|types| types.iter().any(|kind| entry["message_type"] == kind.as_str()))
}

/// The types that `include_return_message_types` names.
pub(super) fn types(given: &mut Given) -> Option<Vec<String>> {
    let types = given.texts("include_return_message_types")?;
    match types.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        None => Some(types),
        Some(unknown) => {
            let message = "Input should be a type of message";
            given.wrong("include_return_message_types", "enum", message, Value::from(unknown.as_str()))
        }
    }
}

/// What a client wrote, as it is shown: a single part of text as the text alone.
pub(super) fn plain(content: Value) -> Value {
    match content.as_array().map(Vec::as_slice) {
        Some([Value::Object(part)]) if is_text(part) => part.get("text").cloned().unwrap_or_default(),
        _ => content,
    }
}

/// The text of what a client wrote.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(Value::as_object).filter(|part| is_text(part));
            let texts: Vec<_> = texts.filter_map(|part| part.get("text")?.as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

fn is_text(part: &Map<String, Value>) -> bool {
    part.get("type").and_then(Value::as_str) == Some("text") && part.get("text").is_some_and(Value::is_string)
}
