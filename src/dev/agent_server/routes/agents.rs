//! Agents: the list, one, and changes to one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use serde_json::Value;

use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::check_agent;
use super::super::objects::Parts;
use super::Server;

/// The parts that `include` names.
fn parts(given: &mut Given) -> Parts {
    let included = given.texts("include").unwrap_or_default();
    let has = |part: &str| included.iter().any(|name| name == part);
    Parts { blocks: has("agent.blocks"), tools: has("agent.tools"), tags: has("agent.tags") }
}

/// `GET /v1/agents/`: the agents known so far, the newest first.
pub(super) async fn list_agents(
    State(server): Server,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let mut given = Given::in_query(query.as_deref());
    let parts = parts(&mut given);
    let (name, text) = (given.text("name"), given.text("query_text").map(|text| text.to_lowercase()));
    let tags = given.texts("tags");
    let (before, after) = (given.text("before"), given.text("after"));
    let order = given.choice("order", &["asc", "desc"]);
    let limit = given.limit(50);
    given.check()?;
    let limit = limit?;
    let world = server.world();
    let mut agents: Vec<_> = world.agents.iter().collect();
    if order != Some("asc") {
        agents.reverse();
    }
    let place = |id: Option<String>| agents.iter().position(|agent| Some(&agent.id) == id.as_ref());
    let (start, end) = (place(after).map_or(0, |place| place + 1), place(before).unwrap_or(agents.len()));
    let agents = agents.get(start..end).unwrap_or_default().iter();
    let agents = agents.filter(|agent| name.as_ref().is_none_or(|name| agent.name == *name));
    let agents = agents
        .filter(|agent| text.as_ref().is_none_or(|text| agent.name.to_lowercase().contains(text.as_str())));
    let agents = agents
        .filter(|agent| tags.as_ref().is_none_or(|tags| tags.iter().any(|tag| agent.tags.contains(tag))));
    Ok(Json(agents.take(limit).map(|agent| agent.shown(parts)).collect()))
}

/// `GET /v1/agents/{agent}`.
pub(super) async fn retrieve_agent(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let parts = parts(&mut Given::in_query(query.as_deref()));
    let now = server.clock.now();
    Ok(Json(server.world().agent(&id, now).shown(parts)))
}

/// `PATCH /v1/agents/{agent}`, whose answer shows all parts. Members that the mock has no use for are left
/// alone, as Letta leaves those that it doesn't know.
pub(super) async fn modify_agent(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_body(&body)?;
    let (name, description) = (given.text("name"), given.text("description"));
    let (timezone, system, model) = (given.text("timezone"), given.text("system"), given.text("model"));
    let (tags, hidden) = (given.texts("tags"), optional(&mut given, "hidden", Given::flag));
    let window = optional(&mut given, "context_window_limit", Given::integer);
    let max_tokens = optional(&mut given, "max_tokens", Given::integer);
    let object = |given: &mut Given, key: &str| match given.raw(key).cloned() {
        Some(Value::Null) | None => None,
        Some(value) if value.is_object() => Some(value),
        Some(other) => given.wrong(key, "dict_type", "Input should be a valid dictionary", other),
    };
    let (metadata, settings) = (object(&mut given, "metadata"), object(&mut given, "model_settings"));
    given.check()?;
    let now = server.clock.now();
    let mut world = server.world();
    let agent = world.agent(&id, now);
    set(&mut agent.name, name);
    set(&mut agent.description, description.map(Some));
    set(&mut agent.timezone, timezone);
    set(&mut agent.system, system);
    set(&mut agent.model, model);
    set(&mut agent.tags, tags);
    set(&mut agent.hidden, hidden.map(Some));
    set(&mut agent.context_window, window);
    set(&mut agent.max_tokens, max_tokens);
    set(&mut agent.metadata, metadata);
    set(&mut agent.model_settings, settings.map(Some));
    agent.updated_at = now;
    Ok(Json(agent.shown(Parts { blocks: true, tools: true, tags: true })))
}

/// Reads a member that may also be null.
pub(super) fn optional<T>(
    given: &mut Given,
    key: &str,
    read: impl Fn(&mut Given, &str) -> Option<T>,
) -> Option<T> {
    if given.raw(key).is_none_or(Value::is_null) { None } else { read(given, key) }
}

/// Changes what was given.
pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
