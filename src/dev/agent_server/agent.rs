//! An agent: what it keeps, and the object in which Letta shows it.

use std::collections::VecDeque;

use serde_json::Value;

use super::messages::{Message, Said};
use super::purpose::Purpose;
use super::seed::Seed;
use crate::clock::Timestamp;

const MAX_MESSAGES: usize = 1_000;
const MAX_BYTES: usize = 16 << 20;

pub(super) struct Agent {
    pub(super) id: String,
    pub(super) purpose: &'static Purpose,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) system: String,
    pub(super) timezone: String,
    pub(super) model: String,
    pub(super) model_settings: Option<Value>,
    pub(super) context_window: i64,
    pub(super) max_tokens: i64,
    pub(super) metadata: Value,
    pub(super) tags: Vec<String>,
    pub(super) hidden: Option<bool>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) last_stop_reason: Option<&'static str>,
    pub(super) blocks: Vec<Block>,
    pub(super) passages: VecDeque<Passage>,
    /// How many passages there have ever been.
    pub(super) passages_made: u64,
    /// How often it was asked.
    pub(super) turns: u64,
    messages: VecDeque<Message>,
    /// What the messages weigh together.
    bytes: usize,
}

/// A part of the prompt that can be edited.
pub(super) struct Block {
    pub(super) id: String,
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) description: Option<String>,
    pub(super) limit: i64,
}

/// Something that the agent can look up.
pub(super) struct Passage {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) tags: Option<Vec<String>>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Agent {
    pub(super) fn new(seed: Seed, id: &str, name: String, purpose: &'static Purpose, now: Timestamp) -> Self {
        let block = |label: &'static str, value: &str, description: &str| Block {
            id: seed.id("block", format_args!("{id} {label}")),
            label,
            value: value.to_owned(),
            description: Some(description.to_owned()),
            limit: 100_000,
        };
        let mut agent = Self {
            id: id.to_owned(),
            purpose,
            name,
            description: Some(purpose.description.to_owned()),
            system: purpose.system.to_owned(),
            timezone: "UTC".to_owned(),
            model: "mock/mock-model".to_owned(),
            model_settings: None,
            context_window: 30_000,
            max_tokens: 16_384,
            metadata: Value::Null,
            tags: Vec::new(),
            hidden: None,
            created_at: now,
            updated_at: now,
            last_stop_reason: None,
            blocks: vec![
                block("persona", purpose.persona, "Who the agent is and how it speaks"),
                block("human", "Nothing is known yet.", "What the agent knows of the person it talks to"),
            ],
            passages: VecDeque::new(),
            passages_made: 0,
            turns: 0,
            messages: VecDeque::new(),
            bytes: 0,
        };
        agent.begin(seed, None, now);
        agent
    }

    /// Begins a conversation, or the one outside of all, with the prompt.
    pub(super) fn begin(&mut self, seed: Seed, conversation: Option<&str>, now: Timestamp) {
        let id = seed.id("message", format_args!("{} {}", self.id, conversation.unwrap_or_default()));
        let said = Said::System(self.prompt(conversation));
        let conversation = conversation.map(str::to_owned);
        let (otid, name, run, step) = (None, None, None, None);
        self.keep([Message { id, otid, name, conversation, run, step, at: now, said }]);
    }

    /// Everything that was said, the oldest first.
    pub(super) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter()
    }

    /// Keeps what was said, and drops the oldest when there is too much. Prompts stay.
    pub(super) fn keep(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.bytes += message.weight();
            self.messages.push_back(message);
        }
        while self.messages.len() > MAX_MESSAGES || self.bytes > MAX_BYTES {
            // Other texts of the system come with a run.
            let is_prompt =
                |message: &Message| matches!(message.said, Said::System(_)) && message.run.is_none();
            let Some(oldest) = self.messages.iter().position(|message| !is_prompt(message)) else { break };
            let Some(dropped) = self.messages.remove(oldest) else { break };
            self.bytes -= dropped.weight();
        }
    }

    /// Forgets a conversation.
    pub(super) fn forget(&mut self, conversation: &str) {
        self.messages.retain(|message| message.conversation.as_deref() != Some(conversation));
        self.bytes = self.messages.iter().map(Message::weight).sum();
    }

    /// Ids of what was said in a conversation, or outside of all.
    pub(super) fn ids_in(&self, conversation: Option<&str>) -> Vec<&str> {
        let inside = self.messages().filter(|message| message.conversation.as_deref() == conversation);
        inside.map(|message| message.id.as_str()).collect()
    }

    /// The system message.
    fn prompt(&self, conversation: Option<&str>) -> String {
        let blocks: Vec<_> = self
            .blocks
            .iter()
            .map(|block| format!("<{0}>\n<value>\n{1}\n</value>\n</{0}>", block.label, block.value))
            .collect();
        format!(
            "{}\n\n<memory_blocks>\n{}\n</memory_blocks>\n\n<memory_metadata>\n- AGENT_ID: {}\n\
             - CONVERSATION_ID: {}\n</memory_metadata>",
            self.system,
            blocks.join("\n\n"),
            self.id,
            conversation.unwrap_or("default")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::purpose::ANY;
    use super::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn said(number: usize, text: &str) -> Message {
        Message {
            id: format!("message-{number}"),
            otid: None,
            name: None,
            conversation: None,
            run: None,
            step: None,
            at: NOW,
            said: Said::User(Value::from(text)),
        }
    }

    #[test]
    fn the_oldest_messages_are_dropped_and_the_prompt_stays() {
        let mut agent = Agent::new(Seed(1), "agent", String::new(), &ANY, NOW);
        let prompt = agent.ids_in(None)[0].to_owned();
        agent.keep((0..MAX_MESSAGES + 10).map(|number| said(number, "x")));
        let ids = agent.ids_in(None);
        assert_eq!((ids.len(), ids[0], ids[1]), (MAX_MESSAGES, &*prompt, "message-11"));
        let long = "x".repeat(MAX_BYTES / 3);
        agent.keep((0..5).map(|number| said(number, &long)));
        assert!(agent.bytes <= MAX_BYTES);
        assert_eq!(agent.ids_in(None), [&*prompt, "message-3", "message-4"]);
        agent.keep([said(9, &"x".repeat(MAX_BYTES + 1))]);
        assert_eq!(agent.ids_in(None), [&*prompt]);
    }
}
