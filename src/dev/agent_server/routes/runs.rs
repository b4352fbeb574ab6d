//! Runs: what agents did, or are doing.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::check_run;
use super::super::messages::{Page, is_among};
use super::super::world::{Run, World};
use super::Server;
use super::messages::no_message;

const STATUSES: [&str; 5] = ["created", "running", "completed", "failed", "cancelled"];

/// `GET /v1/runs/`, the newest first unless told otherwise.
pub(super) async fn list_runs(
    State(server): Server,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let mut given = Given::in_query(query.as_deref());
    let (agent, conversation) = (given.text("agent_id"), given.text("conversation_id"));
    let agents = agent.map(|agent| vec![agent]).or_else(|| given.texts("agent_ids"));
    let (statuses, background) = (given.texts("statuses"), given.flag("background"));
    let stop_reason = given.text("stop_reason");
    let (before, after) = (given.text("before"), given.text("after"));
    let ascending = given.flag("ascending").unwrap_or(false);
    let is_active = given.flag("active").unwrap_or(false) && statuses.is_none();
    let ascending = given.choice("order", &["asc", "desc"]) == Some("asc") || ascending;
    given.choice("order_by", &["created_at"]);
    let limit = limit(&mut given);
    given.check()?;
    if let Some(unknown) = statuses.iter().flatten().find(|status| !STATUSES.contains(&status.as_str())) {
        let detail = format!("'{unknown}' is not a valid RunStatus");
        return Err(Failure::detail(StatusCode::BAD_REQUEST, detail));
    }
    let is_wanted = |run: &Run| {
        agents.as_ref().is_none_or(|agents| agents.contains(&run.agent))
            && conversation.as_ref().is_none_or(|wanted| run.conversation.as_ref() == Some(wanted))
            && statuses.as_ref().is_none_or(|all| all.iter().any(|status| status == run.status.name()))
            && (!is_active || run.status.is_active())
            && background.is_none_or(|background| run.is_background() == background)
            && stop_reason.as_deref().is_none_or(|reason| run.stop_reason == Some(reason))
    };
    let world = server.world();
    let mut runs: Vec<_> = world.runs.iter().collect();
    if !ascending {
        runs.reverse();
    }
    let place = |id: Option<String>| runs.iter().position(|run| Some(&run.id) == id.as_ref());
    let (start, end) = (place(after).map_or(0, |place| place + 1), place(before).unwrap_or(runs.len()));
    let runs = runs.get(start..end).unwrap_or_default().iter().filter(|run| is_wanted(run));
    Ok(Json(runs.take(limit).map(|run| run.shown(true)).collect()))
}

/// How many runs are wanted, within Letta's bounds.
fn limit(given: &mut Given) -> usize {
    let Some(limit) = given.integer("limit") else { return 100 };
    let input = given.raw("limit").cloned().unwrap_or_default();
    match limit {
        ..1 => {
            given.wrong("limit", "greater_than_equal", "Input should be greater than or equal to 1", input)
        }
        1..=1000 => usize::try_from(limit).ok(),
        _ => given.wrong("limit", "less_than_equal", "Input should be less than or equal to 1000", input),
    }
    .unwrap_or(0)
}

/// `GET /v1/runs/{run}`.
pub(super) async fn retrieve_run(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    check_run(&id)?;
    Ok(Json(known(&server.world(), &id)?.shown(false)))
}

/// `GET /v1/runs/{run}/messages`, the oldest first unless told otherwise.
pub(super) async fn list_messages(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_run(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let page = Page::of(&mut given, true)?;
    let world = server.world();
    let run = known(&world, &id)?;
    let Some(agent) = world.agents.iter().find(|agent| agent.id == run.agent) else {
        return Ok(Json(Value::Array(Vec::new())));
    };
    let messages = page.cut(agent.messages(), |message| message.run.as_ref() == Some(&id));
    let messages = messages.map_err(|cursor| no_message(&cursor, "None"))?;
    let entries = messages.into_iter().flat_map(|message| {
        let mut entries = message.shown();
        if !page.ascending {
            entries.reverse();
        }
        entries
    });
    Ok(Json(entries.filter(|entry| is_among(run.types.as_deref(), entry)).collect()))
}

/// `GET /v1/runs/{run}/usage`.
pub(super) async fn retrieve_usage(
    State(server): Server,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    check_run(&id)?;
    let usage = known(&server.world(), &id)?.usage;
    Ok(Json(json!({
        "completion_tokens": usage.completion, "prompt_tokens": usage.prompt,
        "total_tokens": usage.prompt + usage.completion, "prompt_tokens_details": null,
        "completion_tokens_details": null
    })))
}

fn known<'w>(world: &'w World, id: &str) -> Result<&'w Run, Failure> {
    world.run(id).ok_or_else(|| Failure::not_found(format!("Run not found with id='['{id}']'")))
}
