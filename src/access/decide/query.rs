//! Which part of a query is passed on.

use std::borrow::Cow;

use crate::access::{AgentPlace, Denial, Route, Target};

/// A query, sorted out.
pub(super) struct Chosen<'r> {
    pub(super) passed: Vec<&'r (Cow<'r, str>, Cow<'r, str>)>,
    /// Keys that the row doesn't name.
    pub(super) dropped: Vec<String>,
}

/// Keeps the keys that the row names. One that isn't a list must stand once: servers differ in which
/// of two counts.
pub(super) fn choose<'r>(route: &Route, target: &'r Target<'r>) -> Result<Chosen<'r>, Denial> {
    let mut chosen = Chosen { passed: Vec::new(), dropped: Vec::new() };
    for pair in &target.query {
        let key = &pair.0;
        let is_agent = matches!(&route.agent, AgentPlace::Query(agent_key) if agent_key == key);
        let known = route.query.iter().find(|known| known.name == *key);
        if known.is_none() && !is_agent {
            chosen.dropped.push(key.to_string());
            continue;
        }
        let is_list = known.is_some_and(|known| known.is_list);
        if !is_list && chosen.passed.iter().any(|(earlier, _)| earlier == key) {
            let rule = "must stand once, and stands more than once".to_owned();
            return Err(Denial::QueryNotValid { key: key.to_string(), rule });
        }
        chosen.passed.push(pair);
    }
    Ok(chosen)
}
