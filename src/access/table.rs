//! The permission table: one row a route, as data.

mod changes;
mod pattern;

use std::borrow::Cow;
use std::fmt;

pub(super) use self::pattern::{Pattern, Segment};
use super::{AnswerRule, BodyRule, letta};
use crate::token::{Access, quote};

/// The methods that a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that name, which is case-sensitive (RFC 9110, section 9.1).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// What a token must grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Access(Access),
    AnyToken,
}

impl Needs {
    /// As the configuration writes it: one of the four, or `any`.
    pub fn as_str(self) -> &'static str {
        match self {
            Needs::Access(access) => access.as_str(),
            Needs::AnyToken => "any",
        }
    }
}

/// Where a row names its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentPlace {
    /// `{agent}` in the path.
    Path,
    /// The value of this query key, given once.
    Query(Cow<'static, str>),
    /// Looked up by the conversation or run in the path.
    Owner,
    /// The row concerns no agent.
    Nowhere,
}

/// The table to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Letta's REST API, version 1.
    #[default]
    Letta,
    None,
}

/// What a deployment decides about the table.
#[derive(Clone, Debug)]
pub struct Settings {
    pub preset: Preset,
    pub require_origin: bool,
    /// Largest `max_steps` of a message request.
    pub max_steps: u32,
    /// More fields that a PATCH of an agent may carry.
    pub agent_fields: Vec<String>,
    /// Whether answers keep their `system_message` entries.
    pub system_messages: bool,
    pub changes: Vec<RouteChange>,
}

/// A row added or taken away by the configuration (`[[gateway.routes]]`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteChange {
    pub method: Method,
    /// With `{agent}` as one segment, or as the value of a query key.
    pub path: String,
    /// One of the four, or `any`; not needed to take a row away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Query keys that are passed; `tags*` may be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// A query key that a row passes on. Written `limit`, or `tags*` (as in RFC 6570) if it is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryKey {
    pub name: Cow<'static, str>,
    /// Whether it may be given more than once.
    pub is_list: bool,
}

impl From<&'static str> for QueryKey {
    fn from(text: &'static str) -> Self {
        let name = text.strip_suffix('*');
        Self { name: Cow::Borrowed(name.unwrap_or(text)), is_list: name.is_some() }
    }
}

impl From<String> for QueryKey {
    fn from(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(name) => Self { name: Cow::Owned(name.to_owned()), is_list: true },
            None => Self { name: Cow::Owned(text), is_list: false },
        }
    }
}

impl fmt::Display for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_list { "*" } else { "" })
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    /// As people read it and as metrics name it: `/v1/agents/{agent}/messages`,
    /// `/v1/runs/?agent_id={agent}`. A slash at the path's end is there if the agent server wants it.
    pub template: Cow<'static, str>,
    pub needs: Needs,
    pub agent: AgentPlace,
    /// Query keys that are passed on, besides the agent's.
    pub query: Vec<QueryKey>,
    pub body: BodyRule,
    pub answer: AnswerRule,
    /// Whether it counts as a message request (limits).
    pub is_message: bool,
    /// What the gateway does besides deciding, for people; empty where the decision is all, and only
    /// such rows pass forward-auth.
    pub also: Cow<'static, str>,
}

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TableError {
    /// Which entry of `changes`, or the setting by name.
    pub key: String,
    pub problem: String,
}

/// What a PATCH of an agent may carry only if a deployment says so.
const MORE_AGENT_FIELDS: [&str; 8] =
    ["metadata", "tags", "hidden", "system", "model", "model_settings", "context_window_limit", "max_tokens"];

/// All rows. By default there is none, and so nothing is allowed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Route>,
    /// Of each row, in the same order.
    patterns: Vec<Pattern>,
    /// By the number of segments: the places of rows, in the order in which they are tried.
    by_length: Vec<Vec<usize>>,
    pub(super) preset: Preset,
    pub(super) require_origin: bool,
}

impl Table {
    pub fn new(settings: &Settings) -> Result<Self, TableError> {
        check_agent_fields(&settings.agent_fields)?;
        let mut rows = match settings.preset {
            Preset::Letta => letta::rows(settings)
                .map_err(|problem| TableError { key: "gateway.preset".to_owned(), problem })?,
            Preset::None => Vec::new(),
        };
        for (index, change) in settings.changes.iter().enumerate() {
            changes::apply(index, change, &mut rows)?;
        }
        let (rows, patterns): (Vec<Route>, Vec<Pattern>) = rows.into_iter().unzip();
        let longest = patterns.iter().map(|pattern| pattern.segments.len()).max().unwrap_or(0);
        let mut by_length = vec![Vec::new(); longest + 1];
        for (place, pattern) in patterns.iter().enumerate() {
            by_length[pattern.segments.len()].push(place);
        }
        for places in &mut by_length {
            places.sort_by_key(|place| patterns[*place].openness());
        }
        let Settings { preset, require_origin, .. } = *settings;
        Ok(Self { rows, patterns, by_length, preset, require_origin })
    }

    pub fn rows(&self) -> &[Route] {
        &self.rows
    }

    /// The row for this method and path.
    pub(super) fn find(&self, method: Method, segments: &[Cow<'_, str>]) -> Option<(&Route, &Pattern)> {
        let places = self.by_length.get(segments.len())?.iter();
        let mut rows = places.map(|place| (&self.rows[*place], &self.patterns[*place]));
        rows.find(|(row, pattern)| row.method == method && pattern.fits(segments))
    }
}

fn check_agent_fields(fields: &[String]) -> Result<(), TableError> {
    match fields.iter().find(|field| !MORE_AGENT_FIELDS.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(TableError {
            key: "gateway.agent_fields".to_owned(),
            problem: format!(
                "may hold `{}`; {} is none of them. `name`, `description` and `timezone` may be changed anyway",
                MORE_AGENT_FIELDS.join("`, `"),
                quote(field)
            ),
        }),
    }
}
