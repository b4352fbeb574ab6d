//! What a deployment adds to the table and takes away from it.

use std::borrow::Cow;

use super::pattern::{Pattern, Segment, is_query_key};
use super::{AgentPlace, Needs, QueryKey, Route, RouteChange, TableError};
use crate::access::{AnswerRule, BodyRule};
use crate::token::{Access, quote};

/// Makes one change. `index` is its place in the configuration.
pub(super) fn apply(
    index: usize,
    change: &RouteChange,
    rows: &mut Vec<(Route, Pattern)>,
) -> Result<(), TableError> {
    let wrong =
        |field: &str, problem: String| TableError { key: format!("gateway.routes[{index}]{field}"), problem };
    let pattern = Pattern::parse(&change.path).map_err(|problem| wrong(".path", problem))?;
    let place = rows.iter().position(|(row, known)| row.method == change.method && known.is_like(&pattern));
    let named = format!("`{} {}`", change.method.as_str(), change.path);
    match (change.remove, place) {
        (true, Some(place)) => {
            rows.remove(place);
            Ok(())
        }
        (true, None) => Err(wrong(
            "",
            format!("takes away {named}, which is not in the table; `hallpass routes` lists its rows"),
        )),
        (false, Some(place)) => Err(wrong(
            ".path",
            format!(
                "{named} is in the table already, as `{}`; an entry with `remove = true` before this one takes that away",
                rows[place].0.template
            ),
        )),
        (false, None) => {
            rows.push((
                read_row(change, &pattern).map_err(|(field, problem)| wrong(field, problem))?,
                pattern,
            ));
            Ok(())
        }
    }
}

/// A row of the configuration. The error is the field and the problem.
fn read_row(change: &RouteChange, pattern: &Pattern) -> Result<Route, (&'static str, String)> {
    let foreign = |segment: &&Segment| !matches!(segment, Segment::Literal(_) | Segment::Agent);
    if pattern.segments.iter().any(|segment| foreign(&segment)) {
        let problem = format!("may name `{{agent}}` in braces and nothing else, got {}", quote(&change.path));
        return Err((".path", problem));
    }
    let agent = pattern.agent_place();
    Ok(Route {
        method: change.method,
        template: Cow::Owned(change.path.clone()),
        needs: read_access(change.access.as_deref(), &agent)?,
        query: read_query(&change.query, &agent)?,
        agent,
        body: BodyRule::AsSent,
        answer: AnswerRule::AsIs,
        is_message: false,
        also: Cow::Borrowed(""),
    })
}

fn read_access(access: Option<&str>, agent: &AgentPlace) -> Result<Needs, (&'static str, String)> {
    let names = Access::ALL.map(Access::as_str).join("`, `");
    let Some(access) = access else {
        return Err((".access", format!("is missing: one of `{names}`, or `any`")));
    };
    match (access, Access::named(access), agent) {
        ("any", _, AgentPlace::Nowhere) => Ok(Needs::AnyToken),
        // It would open every agent to every token.
        ("any", _, _) => Err((
            ".access",
            format!(
                "is `any`, which goes with paths that name no agent; for one with `{{agent}}`, one of `{names}`"
            ),
        )),
        (_, Some(_), AgentPlace::Nowhere) => Err((
            ".access",
            format!(
                "is {} for some agent, and the path names none by `{{agent}}`; without one, `any`",
                quote(access)
            ),
        )),
        (_, Some(access), _) => Ok(Needs::Access(access)),
        (_, None, _) => {
            Err((".access", format!("must be one of `{names}`, or `any`, got {}", quote(access))))
        }
    }
}

fn read_query(keys: &[String], agent: &AgentPlace) -> Result<Vec<QueryKey>, (&'static str, String)> {
    let mut query: Vec<QueryKey> = Vec::with_capacity(keys.len());
    for text in keys {
        let key = QueryKey::from(text.clone());
        if !is_query_key(&key.name) {
            let problem = format!(
                "must be names such as `limit`, or `tags*` for one that may be repeated, got {}",
                quote(text)
            );
            return Err((".query", problem));
        }
        if query.iter().any(|known| known.name == key.name) {
            return Err((".query", format!("names {} twice", quote(&key.name))));
        }
        if matches!(agent, AgentPlace::Query(agent_key) if *agent_key == key.name) {
            return Err((
                ".query",
                format!("names {}, which is the agent's and is passed anyway", quote(&key.name)),
            ));
        }
        query.push(key);
    }
    Ok(query)
}
