//! Conversations: threads of what is said to an agent, apart from each other.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::{check_conversation, is_agent};
use super::super::messages::Page;
use super::super::plan::{Answer, To};
use super::super::request::Sent;
use super::super::stream::answer;
use super::super::world::{Conversation, RunKind, World};
use super::Server;
use super::messages::cancel;
use crate::clock::Timestamp;

/// `GET /v1/conversations/`, the newest first unless told otherwise.
pub(super) async fn list_conversations(
    State(server): Server,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let mut given = Given::in_query(query.as_deref());
    let (agent, summary, after) = (given.text("agent_id"), given.text("summary_search"), given.text("after"));
    let ascending = given.choice("order", &["asc", "desc"]) == Some("asc");
    let order_by = given.choice("order_by", &["created_at", "last_run_completion", "last_message_at"]);
    let limit = given.limit(50);
    given.check()?;
    let limit = limit?;
    let world = server.world();
    let has = |conversation: &Conversation| {
        agent.as_ref().is_none_or(|agent| conversation.agent == *agent)
            && summary.as_ref().is_none_or(|text| {
                conversation.summary.as_ref().is_some_and(|summary| summary.contains(text.as_str()))
            })
    };
    let mut found: Vec<_> = world.conversations.iter().filter(|conversation| has(conversation)).collect();
    if !ascending {
        found.reverse();
    }
    if let Some(by) = order_by.filter(|by| *by != "created_at") {
        let key = |conversation: &Conversation| match by {
            "last_message_at" => conversation.last_message_at,
            _ => last_completion(&world, &conversation.id),
        };
        // What has no such time comes last, both ways.
        found.sort_by_key(|conversation| {
            let millis = key(conversation).map(Timestamp::millis);
            (millis.is_none(), millis.map(|millis| if ascending { millis } else { -millis }))
        });
    }
    let start = found.iter().position(|conversation| Some(&conversation.id) == after.as_ref());
    let found = found.iter().skip(start.map_or(0, |place| place + 1)).take(limit);
    Ok(Json(found.map(|conversation| conversation.shown(&[])).collect()))
}

fn last_completion(world: &World, conversation: &str) -> Option<Timestamp> {
    let runs = world.runs.iter().filter(|run| run.conversation.as_deref() == Some(conversation));
    runs.filter_map(|run| run.completed_at).max()
}

/// `POST /v1/conversations/?agent_id={agent}`, with or without a body.
pub(super) async fn create_conversation(
    State(server): Server,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let mut keys = Given::in_query(query.as_deref());
    let id = keys.needed_text("agent_id");
    keys.check()?;
    let mut given = Given::in_body_if_any(&body)?;
    let (summary, labels) = (given.text("summary"), given.texts("isolated_block_labels"));
    given.check()?;
    if !is_agent(&id) {
        return Err(Failure::not_found("Agent not found"));
    }
    let now = server.clock.now();
    let mut world = server.world();
    let labels = labels.unwrap_or_default();
    let agent = world.agent(&id, now);
    if let Some(label) = labels.iter().find(|label| agent.blocks.iter().all(|block| block.label != **label)) {
        let detail = format!("INVALID_ARGUMENT: Block with label '{label}' not found on agent '{id}'");
        return Err(Failure::detail(StatusCode::BAD_REQUEST, detail));
    }
    Ok(Json(world.add_conversation(&id, summary, &labels, now).shown(&[])))
}

/// `GET /v1/conversations/{conversation}`.
pub(super) async fn retrieve_conversation(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    check_conversation(&id)?;
    let world = server.world();
    let conversation = known(&world, &id)?;
    let agent = world.agents.iter().find(|agent| agent.id == conversation.agent);
    let messages = agent.map(|agent| agent.ids_in(Some(&id))).unwrap_or_default();
    Ok(Json(conversation.shown(&messages)))
}

/// `GET /v1/conversations/{conversation}/messages`, the newest first unless told otherwise. One that isn't
/// known is empty, and a cursor that isn't known is as none.
pub(super) async fn list_messages(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_conversation(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let group = given.text("group_id");
    let mut page = Page::of(&mut given, false)?;
    let world = server.world();
    let agent = world
        .conversation(&id)
        .and_then(|conversation| world.agents.iter().find(|agent| agent.id == conversation.agent));
    let Some(agent) = agent.filter(|_| group.is_none()) else { return Ok(Json(Value::Array(Vec::new()))) };
    let is_inside = |inside: &Option<String>| inside.as_ref() == Some(&id);
    let known = agent.ids_in(Some(&id));
    page.forget_cursors_but(&known);
    let messages = page.cut(agent.messages(), |message| is_inside(&message.conversation)).unwrap_or_default();
    let entries = messages.into_iter().flat_map(super::super::messages::Message::shown);
    Ok(Json(entries.filter(|entry| page.shows(entry)).collect()))
}

/// `POST /v1/conversations/{conversation}/messages`, which streams unless told otherwise. Letta leaves the
/// run of one that doesn't stream `created` for ever, and without its conversation: here it ends.
pub(super) async fn send_message(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    check_conversation(&id)?;
    let sent = Sent::read(&body)?;
    let agent = known(&server.world(), &id)?.agent.clone();
    let streams = sent.streaming.unwrap_or(true);
    let begun = server.begin(
        To { agent, conversation: Some(id) },
        &sent,
        RunKind::Conversation,
        Answer::to(&sent, streams),
    );
    answer(&server, begun, streams.then_some(sent.include_pings)).await
}

/// `POST /v1/conversations/{conversation}/cancel`.
pub(super) async fn cancel_conversation(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    check_conversation(&id)?;
    let now = server.clock.now();
    let mut world = server.world();
    known(&world, &id)?;
    let inside = world.runs.iter().filter(|run| run.conversation.as_deref() == Some(&*id));
    let runs = inside.filter(|run| run.status.is_active()).map(|run| run.id.clone()).collect();
    cancel(&mut world, runs, &format!("conversation {id}"), now)
}

fn known<'w>(world: &'w World, id: &str) -> Result<&'w Conversation, Failure> {
    world
        .conversation(id)
        .ok_or_else(|| Failure::not_found(format!("Conversation not found with id='['{id}']'")))
}
