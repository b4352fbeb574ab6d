//! Archival memory: passages that an agent can look up.

use std::collections::BTreeSet;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::super::agent::Passage;
use super::super::failure::Failure;
use super::super::given::Given;
use super::super::ids::check_agent;
use super::super::time::with_offset;
use super::Server;
use crate::clock::Timestamp;

/// How many passages an agent keeps.
const MAX_PASSAGES: usize = 200;

/// `GET /v1/agents/{agent}/archival-memory`, the oldest first unless told otherwise.
pub(super) async fn list_passages(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let (before, after) = (given.text("before"), given.text("after"));
    let search = given.text("search").map(|text| text.to_lowercase());
    let ascending = given.flag("ascending").unwrap_or(true);
    let limit = given.limit(100);
    given.check()?;
    let limit = limit?;
    let now = server.clock.now();
    let mut world = server.world();
    let seed = world.seed;
    let mut passages: Vec<_> = world.agent(&id, now).passages.iter().collect();
    passages.sort_by_key(|passage| passage.created_at);
    if !ascending {
        passages.reverse();
    }
    let place = |id: Option<String>| passages.iter().position(|passage| Some(&passage.id) == id.as_ref());
    let (start, end) = (place(after).map_or(0, |place| place + 1), place(before).unwrap_or(passages.len()));
    let passages = passages.get(start..end).unwrap_or_default().iter();
    let has = |passage: &Passage| {
        search.as_ref().is_none_or(|text| passage.text.to_lowercase().contains(text.as_str()))
    };
    let found = passages.filter(|passage| has(passage)).take(limit);
    Ok(Json(found.map(|passage| passage.shown(seed, &id)).collect()))
}

/// `GET /v1/agents/{agent}/archival-memory/search`: the nearest first. Here those are near that have the most
/// words of the query; as with embeddings, all are nearer or farther, and none is left out.
pub(super) async fn search_passages(
    State(server): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_query(query.as_deref());
    let query = words(&given.needed_text("query"));
    let tags = given.texts("tags");
    let all_tags = given.choice("tag_match_mode", &["any", "all"]) == Some("all");
    let top = given.integer("top_k").map_or(5, |top| usize::try_from(top).unwrap_or(0));
    let (from, to) = (moment(&mut given, "start_datetime"), moment(&mut given, "end_datetime"));
    given.check()?;
    let now = server.clock.now();
    let mut world = server.world();
    let is_tagged = |passage: &Passage| {
        let has = |tag: &String| passage.tags.as_ref().is_some_and(|tags| tags.contains(tag));
        tags.as_ref().is_none_or(|tags| if all_tags { tags.iter().all(has) } else { tags.iter().any(has) })
    };
    let is_within = |at: Timestamp| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to);
    let passages = world.agent(&id, now).passages.iter();
    let mut found: Vec<_> =
        passages.filter(|passage| is_tagged(passage) && is_within(passage.created_at)).collect();
    found.sort_by_cached_key(|passage| usize::MAX - words(&passage.text).intersection(&query).count());
    let results: Vec<_> = found
        .iter()
        .take(top)
        .map(|passage| {
            json!({
                "id": passage.id, "timestamp": with_offset(passage.created_at), "content": passage.text,
                "tags": passage.tags.as_deref().unwrap_or_default()
            })
        })
        .collect();
    Ok(Json(json!({ "results": results, "count": results.len() })))
}

/// `POST /v1/agents/{agent}/archival-memory`.
pub(super) async fn create_passage(
    State(server): Server,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    check_agent(&id)?;
    let mut given = Given::in_body(&body)?;
    let (text, tags) = (given.needed_text("text"), given.texts("tags"));
    let created_at = moment(&mut given, "created_at");
    given.check()?;
    let now = server.clock.now();
    let mut world = server.world();
    let seed = world.seed;
    let agent = world.agent(&id, now);
    if agent.passages.len() >= MAX_PASSAGES {
        agent.passages.pop_front();
    }
    agent.passages_made += 1;
    let passage = Passage {
        id: seed.id("passage", format_args!("{id} {}", agent.passages_made)),
        text,
        tags,
        created_at: created_at.unwrap_or(now),
        updated_at: now,
    };
    let shown = passage.shown(seed, &id);
    agent.passages.push_back(passage);
    Ok(Json(json!([shown])))
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// A time that may be missing; without an offset it is in UTC.
fn moment(given: &mut Given, key: &str) -> Option<Timestamp> {
    let text = given.text(key)?;
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let parsed =
        parse(&text).or_else(|| parse(&format!("{text}Z"))).or_else(|| parse(&format!("{text}T00:00:00Z")));
    match parsed {
        Some(at) => {
            let millis = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            Some(Timestamp::from_millis(millis))
        }
        None => {
            let message = "Input should be a valid datetime or date, invalid character in year";
            given.wrong(key, "datetime_from_date_parsing", message, Value::from(text))
        }
    }
}
