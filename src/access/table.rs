//! The permission table: one row a route, as data.

use std::borrow::Cow;

use super::{AnswerRule, BodyRule};
use crate::token::Access;

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

/// What a token must grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Access(Access),
    AnyToken,
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
    /// Query keys that are passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    /// As people read it and as metrics name it: `/v1/agents/{agent}/messages`.
    pub template: Cow<'static, str>,
    pub needs: Needs,
    pub agent: AgentPlace,
    /// Query keys that are passed on, each at most once.
    pub query: Vec<Cow<'static, str>>,
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

/// All rows.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Route>,
    pub(super) require_origin: bool,
}

impl Table {
    pub fn new(settings: &Settings) -> Result<Self, TableError> {
        Ok(Self { rows: super::letta::rows(settings), require_origin: settings.require_origin })
    }

    pub fn rows(&self) -> &[Route] {
        &self.rows
    }
}
