//! All that the mock remembers: agents, conversations, runs. Bounded: the oldest is dropped.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::agent::Agent;
use super::end::End;
use super::objects::USER;
use super::purpose::{ANY, FROM_THE_START};
use super::seed::Seed;
use super::time::{bare, exact};
use crate::clock::Timestamp;

const MAX_AGENTS: usize = 100;
const MAX_CONVERSATIONS: usize = 200;
const MAX_RUNS: usize = 500;

pub(super) struct World {
    pub(super) seed: Seed,
    /// How often everything was forgotten: a run from before must not write.
    pub(super) generation: u64,
    /// The oldest first; likewise the others.
    pub(super) agents: VecDeque<Agent>,
    pub(super) conversations: VecDeque<Conversation>,
    pub(super) runs: VecDeque<Run>,
    /// How many conversations and runs there have ever been.
    conversations_made: u64,
    runs_made: u64,
}

pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) summary: Option<String>,
    pub(super) isolated_blocks: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) last_message_at: Option<Timestamp>,
}

pub(super) struct Run {
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) conversation: Option<String>,
    pub(super) kind: RunKind,
    pub(super) status: Status,
    pub(super) created_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) request_config: Value,
    pub(super) types: Option<Vec<String>>,
    pub(super) stop_reason: Option<&'static str>,
    pub(super) error: Option<Value>,
    pub(super) usage: Usage,
    /// Dropping it ends the work.
    pub(super) work: Option<oneshot::Sender<()>>,
}

/// By which route a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunKind {
    Message,
    Streaming,
    Async,
    Conversation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Created,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// What a run has cost.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) completion: usize,
    pub(super) steps: usize,
}

impl World {
    pub(super) fn new(seed: Seed, generation: u64, now: Timestamp) -> Self {
        let agents = from_the_start(seed).zip(&FROM_THE_START);
        let agents = agents
            .map(|((id, name), purpose)| Agent::new(seed, &id, name.to_owned(), purpose, now))
            .collect();
        Self {
            seed,
            generation,
            agents,
            conversations: VecDeque::new(),
            runs: VecDeque::new(),
            conversations_made: 0,
            runs_made: 0,
        }
    }

    /// The agent of this id, which comes into being if need be.
    pub(super) fn agent(&mut self, id: &str, now: Timestamp) -> &mut Agent {
        let place = self.agents.iter().position(|agent| agent.id == id).unwrap_or_else(|| {
            if self.agents.len() >= MAX_AGENTS {
                self.drop_agent(FROM_THE_START.len());
            }
            let name = format!("{} {}", ANY.name, id.get(6..10).unwrap_or_default());
            self.agents.push_back(Agent::new(self.seed, id, name, &ANY, now));
            self.agents.len() - 1
        });
        &mut self.agents[place]
    }

    /// Drops an agent with all that is its own, and ends its runs.
    fn drop_agent(&mut self, place: usize) {
        if let Some(agent) = self.agents.remove(place) {
            self.conversations.retain(|conversation| conversation.agent != agent.id);
            self.runs.retain(|run| run.agent != agent.id);
        }
    }

    pub(super) fn conversation(&self, id: &str) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.id == id)
    }

    /// Begins a conversation.
    pub(super) fn add_conversation(
        &mut self,
        agent: &str,
        summary: Option<String>,
        isolated_labels: &[String],
        now: Timestamp,
    ) -> &Conversation {
        if self.conversations.len() >= MAX_CONVERSATIONS
            && let Some(oldest) = self.conversations.pop_front()
            && let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == oldest.agent)
        {
            agent.forget(&oldest.id);
        }
        self.conversations_made += 1;
        let seed = self.seed;
        let id = seed.id("conv", self.conversations_made);
        self.agent(agent, now).begin(seed, Some(&id), now);
        let isolated_blocks =
            isolated_labels.iter().map(|label| seed.id("block", format_args!("{id} {label}"))).collect();
        self.conversations.push_back(Conversation {
            id,
            agent: agent.to_owned(),
            summary,
            isolated_blocks,
            created_at: now,
            updated_at: now,
            last_message_at: None,
        });
        &self.conversations[self.conversations.len() - 1]
    }

    pub(super) fn run(&self, id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// The number of the next run, from which all its ids are drawn.
    pub(super) fn number_run(&mut self) -> u64 {
        self.runs_made += 1;
        self.runs_made
    }

    pub(super) fn add_run(&mut self, run: Run) {
        if self.runs.len() >= MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    /// Ends a run that is going on, and says so in its agent; false if it had ended already.
    pub(super) fn finish_run(&mut self, id: &str, end: &End, now: Timestamp) -> bool {
        let Some(run) = self.runs.iter_mut().find(|run| run.id == id && run.status.is_active()) else {
            return false;
        };
        run.status = end.status;
        run.stop_reason = end.stop_reason;
        run.error.clone_from(&end.error);
        run.usage = end.usage;
        run.completed_at = Some(now);
        run.work = None;
        let agent = run.agent.clone();
        let agent = self.agent(&agent, now);
        agent.last_stop_reason = end.stop_reason.or(agent.last_stop_reason);
        agent.updated_at = now;
        true
    }
}

/// Ids and names of the agents that are there from the start.
pub(super) fn from_the_start(seed: Seed) -> impl Iterator<Item = (String, &'static str)> {
    FROM_THE_START.iter().enumerate().map(move |(place, purpose)| (seed.id("agent", place), purpose.name))
}

impl Conversation {
    /// The conversation as an object. Lists don't tell what is in it.
    pub(super) fn shown(&self, messages: &[&str]) -> Value {
        json!({
            "created_by_id": USER, "last_updated_by_id": USER, "created_at": exact(self.created_at),
            "updated_at": exact(self.updated_at), "id": self.id, "agent_id": self.agent,
            "summary": self.summary, "in_context_message_ids": messages,
            "isolated_block_ids": self.isolated_blocks, "model": null, "model_settings": null,
            "last_message_at": self.last_message_at.map(exact)
        })
    }
}

impl Run {
    /// The run as an object. Only lists tell how long it took.
    pub(super) fn shown(&self, in_list: bool) -> Value {
        let mut metadata = json!({ "run_type": self.kind.name() });
        if self.kind == RunKind::Async {
            metadata["lettuce"] = Value::Null;
        }
        if let Some(error) = &self.error {
            metadata["error"] = error.clone();
        }
        let ended = self.completed_at.filter(|_| in_list);
        let took = ended.map(|ended| (ended.millis() - self.created_at.millis()).max(0) * 1_000_000);
        json!({
            "id": self.id, "status": self.status.name(), "created_at": exact(self.created_at),
            "completed_at": self.completed_at.map(bare), "agent_id": self.agent,
            "conversation_id": self.conversation, "base_template_id": null,
            "background": self.is_background(), "metadata": metadata,
            "request_config": self.request_config, "stop_reason": self.stop_reason,
            "callback_url": null, "callback_sent_at": null, "callback_status_code": null,
            "callback_error": null, "ttft_ns": null, "total_duration_ns": took
        })
    }

    /// Whether nobody waits for it.
    pub(super) fn is_background(&self) -> bool {
        self.kind == RunKind::Async
    }
}

impl RunKind {
    fn name(self) -> &'static str {
        match self {
            RunKind::Message => "send_message",
            RunKind::Streaming => "send_message_streaming",
            RunKind::Async => "send_message_async",
            RunKind::Conversation => "send_conversation_message",
        }
    }
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    pub(super) fn is_active(self) -> bool {
        matches!(self, Status::Created | Status::Running)
    }
}

impl Usage {
    /// As a message. What a stream of tokens doesn't count is null there.
    pub(super) fn shown(self, tokens: bool) -> Value {
        let uncounted = if tokens { Value::Null } else { json!(0) };
        json!({
            "message_type": "usage_statistics", "completion_tokens": self.completion,
            "prompt_tokens": self.prompt, "total_tokens": self.prompt + self.completion,
            "step_count": self.steps, "run_ids": null, "cached_input_tokens": uncounted,
            "cache_write_tokens": uncounted, "reasoning_tokens": uncounted,
            "context_tokens": self.prompt.checked_div(self.steps)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn world() -> World {
        World::new(Seed(1), 0, NOW)
    }

    #[test]
    fn the_oldest_agents_are_dropped_with_all_that_is_theirs_but_for_the_first_three() {
        let mut world = world();
        let id = |number: usize| Seed(2).id("agent", number);
        let conversation = world.add_conversation(&id(0), None, &[], NOW).id.clone();
        world.add_run(run("run-1", &id(0)));
        for number in 0..MAX_AGENTS {
            world.agent(&id(number), NOW);
        }
        assert_eq!(world.agents.len(), MAX_AGENTS);
        assert!(from_the_start(Seed(1)).all(|(id, _)| world.agents.iter().any(|agent| agent.id == id)));
        assert!(world.agents.iter().all(|agent| agent.id != id(0)));
        assert!(world.conversation(&conversation).is_none() && world.run("run-1").is_none());
    }

    #[test]
    fn the_oldest_conversations_and_runs_are_dropped() {
        let mut world = world();
        let agent = world.agents[0].id.clone();
        let first = world.add_conversation(&agent, None, &[], NOW).id.clone();
        assert_eq!(world.agents[0].ids_in(Some(&first)).len(), 1);
        for number in 0..MAX_RUNS {
            world.add_conversation(&agent, None, &[], NOW);
            world.add_run(run(&format!("run-{number}"), &agent));
        }
        world.add_run(run("run-last", &agent));
        assert_eq!((world.conversations.len(), world.runs.len()), (MAX_CONVERSATIONS, MAX_RUNS));
        assert!(world.agents[0].ids_in(Some(&first)).is_empty());
        assert!(world.run("run-0").is_none() && world.run("run-last").is_some());
        assert_eq!(world.agents[0].messages().count(), MAX_CONVERSATIONS + 1);
    }

    fn run(id: &str, agent: &str) -> Run {
        Run {
            id: id.to_owned(),
            agent: agent.to_owned(),
            conversation: None,
            kind: RunKind::Message,
            status: Status::Created,
            created_at: NOW,
            completed_at: None,
            request_config: Value::Null,
            types: None,
            stop_reason: None,
            error: None,
            usage: Usage::default(),
            work: None,
        }
    }
}
