//! The answer to something said: a stream of server-sent events, or one object when all has been said.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::AgentServer;
use super::failure::Failure;
use super::seed::Seed;
use super::time::seconds;
use super::work::{Begun, Event};
use super::world::Usage;
use crate::clock::Clock;

/// How long a stream may be silent before it says that it is still there.
const SILENCE: Duration = Duration::from_secs(20);

/// Listens to a run and writes what it says as server-sent events.
struct Listener {
    begun: Begun,
    clock: Arc<dyn Clock>,
    seed: Seed,
    /// Whether there are pings, and how many there have been.
    pings: Option<u64>,
}

/// The answer to something said: a stream, with or without pings, or all at once.
pub(super) async fn answer(
    server: &AgentServer,
    mut begun: Begun,
    pings: Option<bool>,
) -> Result<Response, Failure> {
    if let Some(status) = begun.fails_with {
        while begun.events.recv().await.is_some() {}
        return Err(Failure::of_model(status));
    }
    match pings {
        Some(include_pings) => Ok(streamed(begun, Arc::clone(&server.clock), server.seed, include_pings)),
        None => collected(begun).await,
    }
}

fn streamed(begun: Begun, clock: Arc<dyn Clock>, seed: Seed, include_pings: bool) -> Response {
    let listener = Listener { begun, clock, seed, pings: include_pings.then_some(0) };
    let events = stream::unfold(listener, |mut listener| async {
        let text = listener.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), listener))
    });
    let mut response = Body::from_stream(events).into_response();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

impl Listener {
    /// The next event as text; nothing after the last.
    async fn next(&mut self) -> Option<String> {
        match self.pings {
            Some(0) => Some(self.ping()),
            Some(_) => match timeout(SILENCE, self.begun.events.recv()).await {
                Ok(event) => event.map(|event| event.written()),
                Err(_) => Some(self.ping()),
            },
            None => self.begun.events.recv().await.map(|event| event.written()),
        }
    }

    fn ping(&mut self) -> String {
        let number = self.pings.unwrap_or(0);
        self.pings = Some(number + 1);
        let run = &self.begun.run;
        data(&json!({
            "id": self.seed.id("ping", format_args!("{run} {number}")),
            "date": seconds(self.clock.now()), "name": null, "message_type": "ping", "otid": null,
            "sender_id": null, "step_id": null, "is_err": null, "seq_id": null, "run_id": run
        }))
    }
}

impl Event {
    fn written(&self) -> String {
        match self {
            Event::Said(entry) | Event::Used(entry) => data(entry),
            Event::Stopped(reason) => data(&stopped(reason)),
            Event::Failed(error) => format!("event: error\n{}", data(error)),
            Event::Done => "data: [DONE]\n\n".to_owned(),
            Event::Cancelled => data(&stopped("cancelled")),
        }
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn stopped(reason: &str) -> Value {
    json!({ "message_type": "stop_reason", "stop_reason": reason })
}

/// Waits for a run's end and answers with all that it said.
async fn collected(mut begun: Begun) -> Result<Response, Failure> {
    let (mut messages, mut stop_reason, mut usage) = (Vec::new(), "cancelled", unused());
    while let Some(event) = begun.events.recv().await {
        match event {
            Event::Said(entry) => messages.push(entry),
            Event::Stopped(reason) => stop_reason = reason,
            Event::Used(used) => usage = used,
            Event::Failed(_) => return Err(Failure::of_model(StatusCode::INTERNAL_SERVER_ERROR)),
            Event::Done | Event::Cancelled => {}
        }
    }
    let answer = json!({
        "messages": messages, "stop_reason": stopped(stop_reason), "usage": usage, "logprobs": null,
        "turns": null
    });
    Ok(Json(answer).into_response())
}

/// The usage of a run that was cancelled.
fn unused() -> Value {
    Usage::default().shown(false)
}
