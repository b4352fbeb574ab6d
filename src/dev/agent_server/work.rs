//! A run: what an agent does with what was said to it. It goes on by itself, whether anybody listens or not.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::AgentServer;
use super::end::End;
use super::messages::{Message, Said, is_among};
use super::plan::{Answer, Maker, Plan, To};
use super::reply::Turn;
use super::request::Sent;
use super::steering::{Breaks, Steering};
use super::world::{Run, RunKind, Status, Usage};

/// The pause before the first piece.
const BEFORE_THE_FIRST: Duration = Duration::from_millis(40);

/// What a listener is told.
pub(super) enum Event {
    /// A message, or a piece of one.
    Said(Value),
    Stopped(&'static str),
    Used(Value),
    /// The error as a message.
    Failed(Value),
    Done,
    /// The end of a run that was cancelled: no `Done` follows.
    Cancelled,
}

/// A run that has begun.
pub(super) struct Begun {
    pub(super) run: String,
    /// The run as an object, at its beginning.
    pub(super) object: Value,
    pub(super) events: UnboundedReceiver<Event>,
    /// The status with which a request is answered in place of all that.
    pub(super) fails_with: Option<StatusCode>,
}

impl AgentServer {
    /// Begins a run.
    pub(super) fn begin(self: &Arc<Self>, to: To, sent: &Sent, kind: RunKind, answer: Answer) -> Begun {
        let (alive, ended) = oneshot::channel();
        let (events, listener) = unbounded_channel();
        let now = self.clock.now();
        let (steering, text) = Steering::take_out_of(&sent.text());
        let (plan, object) = {
            let mut world = self.world();
            let number = world.number_run();
            let (seed, generation) = (world.seed, world.generation);
            let agent = world.agent(&to.agent, now);
            let turn = agent.turns;
            agent.turns += 1;
            let words = steering.words;
            let purpose = agent.purpose;
            let turn = Turn { seed, agent: &to.agent, purpose, number: turn, text: &text, words };
            let maker = Maker { seed, number, run: seed.id("run", number), to: &to, now };
            let plan = maker.plan(generation, sent, &steering, &turn, answer);
            let run = Run {
                id: plan.run.clone(),
                agent: to.agent.clone(),
                conversation: to.conversation.clone(),
                kind,
                status: if answer.is_stream() { Status::Running } else { Status::Created },
                created_at: now,
                completed_at: None,
                request_config: sent.config.clone(),
                types: sent.types.clone(),
                stop_reason: None,
                error: None,
                usage: Usage::default(),
                work: Some(alive),
            };
            let object = run.shown(false);
            world.add_run(run);
            (plan, object)
        };
        let (run, fails_with) = (plan.run.clone(), plan.error.and_then(Breaks::status));
        tokio::spawn(Arc::clone(self).work(plan, events, ended));
        Begun { run, object, events: listener, fails_with }
    }

    /// Works until all is done or the run is ended from elsewhere.
    async fn work(self: Arc<Self>, plan: Plan, events: UnboundedSender<Event>, ended: oneshot::Receiver<()>) {
        let cancelled = async {
            // Nothing is ever sent: the other half is dropped, which ends the wait.
            let _ = ended.await;
        };
        tokio::select! {
            biased;
            () = self.perform(&plan, &events) => {}
            () = cancelled => drop(events.send(Event::Cancelled)),
        }
    }

    async fn perform(&self, plan: &Plan, events: &UnboundedSender<Event>) {
        sleep(BEFORE_THE_FIRST).await;
        let say = |entry: Value| {
            if is_among(plan.types.as_deref(), &entry) {
                // A listener that has left is no reason to stop.
                let _ = events.send(Event::Said(entry));
            }
        };
        if let Some(Breaks::AtOnce(_)) = plan.error {
            return self.finish(plan, End::bad(plan), events).await;
        }
        for (place, step) in plan.steps.iter().enumerate() {
            let is_last = place + 1 == plan.steps.len();
            let breaks = plan.error.filter(|_| is_last).is_some();
            let mut kept = Vec::new();
            for message in step {
                let message = Message { at: self.clock.now(), ..message.clone() };
                if !plan.say(&message, breaks, say).await {
                    return self.finish(plan, End::bad(plan), events).await;
                }
                kept.push(message);
            }
            if !self.keep(plan, place, kept) {
                return pending().await;
            }
        }
        self.finish(plan, End::good(plan), events).await;
    }

    /// Keeps what was said in a step; false if the run has ended meanwhile.
    fn keep(&self, plan: &Plan, place: usize, mut step: Vec<Message>) -> bool {
        let now = self.clock.now();
        let Some(mut world) = self.world_of(plan.generation) else { return false };
        if !world.run(&plan.run).is_some_and(|run| run.status.is_active()) {
            return false;
        }
        if place == 0 {
            step.splice(0..0, plan.sent.iter().cloned());
        }
        let agent = world.agent(&plan.agent, now);
        agent.keep(step);
        agent.updated_at = now;
        let inside = |id: &String| Some(id) == plan.conversation.as_ref();
        if let Some(conversation) = world.conversations.iter_mut().find(|known| inside(&known.id)) {
            conversation.updated_at = now;
            conversation.last_message_at = Some(now);
        }
        true
    }

    /// Ends the run and says so, unless it has ended meanwhile: then the wait is for being told.
    async fn finish(&self, plan: &Plan, end: End, events: &UnboundedSender<Event>) {
        let has_ended = match self.world_of(plan.generation) {
            Some(mut world) => world.finish_run(&plan.run, &end, self.clock.now()),
            None => false,
        };
        if !has_ended {
            return pending().await;
        }
        for event in end.events {
            let _ = events.send(event);
        }
    }
}

impl Plan {
    /// Says a message at the pace of a model; false if it breaks in the middle.
    async fn say(&self, message: &Message, breaks: bool, say: impl Fn(Value)) -> bool {
        match &message.said {
            Said::Reply { reasoning, text } => {
                for piece in pieces(reasoning) {
                    sleep(self.between).await;
                    if self.answer == Answer::Tokens {
                        say(message.reasoning(piece));
                    }
                }
                let whole: Vec<_> = pieces(text).collect();
                let wanted = if breaks { whole.len().div_ceil(2) } else { whole.len() };
                for piece in &whole[..wanted] {
                    sleep(self.between).await;
                    if self.answer == Answer::Tokens {
                        say(message.reply(piece));
                    }
                }
            }
            Said::Call { reasoning, call } => {
                for piece in pieces(reasoning) {
                    sleep(self.between).await;
                    if self.answer == Answer::Tokens {
                        say(message.reasoning(piece));
                    }
                }
                sleep(self.between).await;
                if self.answer == Answer::Tokens {
                    say(message.call(call, call.shown()));
                }
            }
            Said::Return { .. } | Said::User(_) | Said::System(_) => {
                sleep(self.between).await;
                message.shown().into_iter().for_each(&say);
                return true;
            }
        }
        if self.answer != Answer::Tokens {
            let entries = message.shown();
            let wanted = if breaks { 1 } else { entries.len() };
            entries.into_iter().take(wanted).for_each(say);
        }
        !breaks
    }
}

/// The words, each with the space that follows it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
