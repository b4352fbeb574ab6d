//! What a run will do, decided when it begins: the messages that it will say, how fast, and what goes wrong.

use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};

use super::messages::{Message, Said, ToolCall};
use super::reply::Turn;
use super::request::Sent;
use super::seed::Seed;
use super::steering::{Breaks, Steering};
use super::world::Usage;
use crate::clock::Timestamp;

/// The pause between two pieces, unless told otherwise.
const BETWEEN: Duration = Duration::from_millis(30);

/// To whom something is said.
pub(super) struct To {
    pub(super) agent: String,
    pub(super) conversation: Option<String>,
}

/// How the one who asked is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With all that was said, at the end.
    Whole,
    /// With messages as they come about.
    Stream,
    /// With tokens as they come about.
    Tokens,
    /// With the run, which is asked about later.
    Later,
}

impl Answer {
    /// As a request wants it that may stream.
    pub(super) fn to(sent: &Sent, streams: bool) -> Self {
        match (streams, sent.stream_tokens) {
            (false, _) => Self::Whole,
            (true, false) => Self::Stream,
            (true, true) => Self::Tokens,
        }
    }

    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Tokens)
    }
}

/// All that a run will do, decided when it begins.
pub(super) struct Plan {
    pub(super) generation: u64,
    pub(super) run: String,
    pub(super) agent: String,
    pub(super) conversation: Option<String>,
    /// What was said to the agent: kept with the first step, as Letta does it.
    pub(super) sent: Vec<Message>,
    pub(super) steps: Vec<Vec<Message>>,
    pub(super) between: Duration,
    pub(super) answer: Answer,
    pub(super) error: Option<Breaks>,
    pub(super) stop_reason: &'static str,
    pub(super) usage: Usage,
    pub(super) types: Option<Vec<String>>,
}

/// Makes the messages of a run.
pub(super) struct Maker<'a> {
    pub(super) seed: Seed,
    pub(super) number: u64,
    pub(super) run: String,
    pub(super) to: &'a To,
    pub(super) now: Timestamp,
}

impl Maker<'_> {
    /// Decides all that the run will do.
    pub(super) fn plan(
        self,
        generation: u64,
        sent: &Sent,
        steering: &Steering,
        turn: &Turn<'_>,
        answer: Answer,
    ) -> Plan {
        let first_step = self.seed.id("step", format_args!("{} 0", self.number));
        let sent_messages = sent.messages.iter().enumerate().map(|(place, message)| {
            let said = match (&message.content, message.is_system) {
                (Value::String(text), true) => Said::System(text.clone()),
                (content, _) => Said::User(content.clone()),
            };
            let made = || self.seed.uuid("otid", format_args!("{} {place}", self.number));
            let otid = message.otid.clone().or_else(|| Some(made()));
            let name = message.name.clone();
            Message { otid, name, ..self.message(format_args!("sent {place}"), &first_step, said) }
        });
        let sent_messages = sent_messages.collect();
        let mut steps = self.steps(steering.tool.as_deref(), turn);
        let all = steps.len();
        steps.truncate(usize::try_from(sent.max_steps).unwrap_or(0));
        let stop_reason = if steps.len() < all { "max_steps" } else { "end_turn" };
        let completion = steps.iter().flatten().map(|message| message.weight().div_ceil(4)).sum();
        let prompt = 100 + sent.text().len().div_ceil(4);
        let usage = Usage { prompt: prompt * steps.len(), completion, steps: steps.len() };
        Plan {
            generation,
            agent: self.to.agent.clone(),
            conversation: self.to.conversation.clone(),
            sent: sent_messages,
            steps,
            between: steering.slow.unwrap_or(BETWEEN),
            answer,
            error: steering.error,
            stop_reason,
            usage,
            types: sent.types.clone(),
            run: self.run,
        }
    }

    /// A call of a tool and what it returns, if one is wanted; then the reply.
    fn steps(&self, tool: Option<&str>, turn: &Turn<'_>) -> Vec<Vec<Message>> {
        let mut steps = Vec::new();
        if let Some(name) = tool {
            let step = self.seed.id("step", format_args!("{} 0", self.number));
            let id = format!("call_{}", self.seed.uuid("call", self.number).replace('-', ""));
            let arguments = json!({ "query": turn.text }).to_string();
            let call = ToolCall { id, name: name.to_owned(), arguments };
            let returned = format!("{name} has been called. Nothing was run: this is a mock.");
            let said = Said::Call { reasoning: turn.reasoning(), call: call.clone() };
            let returned = Message {
                name: Some(name.to_owned()),
                ..self.message("return", &step, Said::Return { call, text: returned })
            };
            steps.push(vec![self.message("call", &step, said), returned]);
        }
        let step = self.seed.id("step", format_args!("{} {}", self.number, steps.len()));
        let said = Said::Reply { reasoning: turn.reasoning(), text: turn.text() };
        steps.push(vec![self.message("reply", &step, said)]);
        steps
    }

    fn message(&self, what: impl Display, step: &str, said: Said) -> Message {
        Message {
            id: self.seed.id("message", format_args!("{} {what}", self.number)),
            otid: None,
            name: None,
            conversation: self.to.conversation.clone(),
            run: Some(self.run.clone()),
            step: Some(step.to_owned()),
            at: self.now,
            said,
        }
    }
}
