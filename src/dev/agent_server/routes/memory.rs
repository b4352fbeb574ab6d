//! Core memory: the blocks of an agent's prompt.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use serde_json::Value;

use super::super::agent::{Agent, Block};
use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::check_agent;
use super::super::objects::memory;
use super::Server;
use super::agents::{optional, set};

/// `GET /v1/agents/{agent}/core-memory`.
pub(super) async fn retrieve_memory(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let now = server.clock.now();
    let blocks: Vec<_> = server.world().agent(&id, now).blocks.iter().map(Block::shown).collect();
    Ok(Json(memory(&blocks)))
}

/// `GET /v1/agents/{agent}/core-memory/blocks`, in the order in which they stand in the prompt.
pub(super) async fn list_blocks(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let (before, after) = (given.text("before"), given.text("after"));
    let order = given.choice("order", &["asc", "desc"]);
    given.choice("order_by", &["created_at"]);
    let limit = given.limit(50);
    given.check()?;
    let limit = limit?;
    let now = server.clock.now();
    let mut world = server.world();
    let mut blocks: Vec<_> = world.agent(&id, now).blocks.iter().collect();
    if order == Some("asc") {
        blocks.reverse();
    }
    let place = |id: Option<String>| blocks.iter().position(|block| Some(&block.id) == id.as_ref());
    let (start, end) = (place(after).map_or(0, |place| place + 1), place(before).unwrap_or(blocks.len()));
    let blocks = blocks.get(start..end).unwrap_or_default().iter();
    Ok(Json(blocks.take(limit).map(|block| block.shown()).collect()))
}

/// `GET /v1/agents/{agent}/core-memory/blocks/{label}`.
pub(super) async fn retrieve_block(
    State(server): Server,
    Path((id, label)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let now = server.clock.now();
    Ok(Json(block(server.world().agent(&id, now), &label)?.shown()))
}

/// `PATCH /v1/agents/{agent}/core-memory/blocks/{label}`. Letta takes a value that is longer than the limit.
pub(super) async fn modify_block(
    State(server): Server,
    Path((id, label)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_body(&body)?;
    let (value, description) = (given.text("value"), given.text("description"));
    let limit = optional(&mut given, "limit", Given::integer);
    given.check()?;
    let now = server.clock.now();
    let mut world = server.world();
    let agent = world.agent(&id, now);
    let block = block(agent, &label)?;
    set(&mut block.value, value);
    set(&mut block.description, description.map(Some));
    set(&mut block.limit, limit);
    Ok(Json(block.shown()))
}

fn block<'a>(agent: &'a mut Agent, label: &str) -> Result<&'a mut Block, Failure> {
    let id = &agent.id;
    let block = agent.blocks.iter_mut().find(|block| block.label == label);
    block.ok_or_else(|| Failure::not_found(format!("No block with label '{label}' found for agent '{id}'")))
}
