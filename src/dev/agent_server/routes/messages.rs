//! What is said to an agent, and what was said.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::super::end::End;
use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::check_agent;
use super::super::messages::Page;
use super::super::plan::{Answer, To};
use super::super::request::Sent;
use super::super::stream::answer;
use super::super::world::{RunKind, World};
use super::Server;
use crate::clock::Timestamp;

/// `GET /v1/agents/{agent}/messages`. Also when the newest are wanted, they come in the order in which they
/// were said.
pub(super) async fn list_messages(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let conversation = given.text("conversation_id");
    let group = given.text("group_id");
    let page = Page::of(&mut given, false)?;
    let now = server.clock.now();
    let mut world = server.world();
    let agent = world.agent(&id, now);
    let is_inside = |inside: &Option<String>| match conversation.as_deref() {
        None => true,
        Some("default") => inside.is_none(),
        Some(wanted) => inside.as_deref() == Some(wanted),
    };
    let messages = page.cut(agent.messages(), |message| group.is_none() && is_inside(&message.conversation));
    let mut messages = messages.map_err(|cursor| no_message(&cursor, &id))?;
    if !page.ascending {
        messages.reverse();
    }
    let entries = messages.into_iter().flat_map(super::super::messages::Message::shown);
    Ok(Json(entries.filter(|entry| page.shows(entry)).collect()))
}

/// 404 for a cursor that is no message of the agent's.
pub(super) fn no_message(cursor: &str, agent: &str) -> Failure {
    Failure::not_found(format!("No message found with id '{cursor}' for agent '{agent}'."))
}

/// `POST /v1/agents/{agent}/messages`.
pub(super) async fn send_message(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    check_agent(&id)?;
    let sent = Sent::read(&body)?;
    let streams = sent.streaming.unwrap_or(false);
    let begun = server.begin(
        To { agent: id, conversation: None },
        &sent,
        RunKind::Message,
        Answer::to(&sent, streams),
    );
    answer(&server, begun, streams.then_some(sent.include_pings)).await
}

/// `POST /v1/agents/{agent}/messages/stream`, which streams whatever the body says.
pub(super) async fn stream_message(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    check_agent(&id)?;
    let sent = Sent::read(&body)?;
    let begun = server.begin(
        To { agent: id, conversation: None },
        &sent,
        RunKind::Streaming,
        Answer::to(&sent, true),
    );
    answer(&server, begun, Some(sent.include_pings)).await
}

/// `POST /v1/agents/{agent}/messages/async`: the run, which goes on by itself.
pub(super) async fn send_message_async(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    check_agent(&id)?;
    let sent = Sent::read(&body)?;
    let begun = server.begin(To { agent: id, conversation: None }, &sent, RunKind::Async, Answer::Later);
    Ok(Json(begun.object).into_response())
}

/// `POST /v1/agents/{agent}/messages/cancel`: the runs that the body names, or all of the agent's.
pub(super) async fn cancel_messages(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_body_if_any(&body)?;
    let named = given.texts("run_ids").unwrap_or_default();
    given.check()?;
    let now = server.clock.now();
    let mut world = server.world();
    let active = world.runs.iter().filter(|run| run.agent == id && run.status.is_active());
    let runs = if named.is_empty() { active.map(|run| run.id.clone()).collect() } else { named };
    cancel(&mut world, runs, &format!("agent {id}"), now)
}

/// Cancels runs and says of each whether it was.
pub(super) fn cancel(
    world: &mut World,
    mut runs: Vec<String>,
    of: &str,
    now: Timestamp,
) -> Result<Json<Value>, Failure> {
    if runs.is_empty() {
        let detail = format!("CONFLICT: No active runs to cancel for {of}");
        return Err(Failure::detail(StatusCode::CONFLICT, detail));
    }
    runs.reverse();
    let outcome = |run: String| {
        let is_cancelled = world.finish_run(&run, &End::cancelled(), now);
        (run, Value::from(if is_cancelled { "cancelled" } else { "failed" }))
    };
    Ok(Json(Value::Object(runs.into_iter().map(outcome).collect::<Map<_, _>>())))
}
