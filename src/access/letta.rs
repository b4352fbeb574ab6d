//! The rows for Letta's REST API, version 1. Whatever isn't here is closed to client tokens; some of
//! it lies near, and stays out for a reason:
//!
//! - Deleting, exporting and importing agents, and all that attaches, detaches or runs tools, sources,
//!   files, archives or blocks, is a backend's business.
//! - Deleting a passage deletes that of any agent, and `/v1/messages/{message}` shows any agent's.
//! - Lists and searches of the whole organisation name no agent.
//! - `/latest` mirrors `/v1` and would be a second door.

use std::borrow::Cow;

use super::table::{Method, Needs, Pattern, QueryKey, Route, Settings};
use super::{AnswerRule, BodyRule};
use crate::token::Access;

use Access::{ReadAgent, ReadMessages, WriteAgent, WriteMessages};
use Method::{Get, Patch, Post};

/// What a PATCH of an agent may always carry.
const AGENT_FIELDS: [&str; 3] = ["name", "description", "timezone"];

/// Keys by which Letta pages through lists.
const PAGE: [&str; 5] = ["before", "after", "limit", "order", "order_by"];
const MESSAGES: [&str; 10] = [
    "before",
    "after",
    "limit",
    "order",
    "order_by",
    "group_id",
    "include_return_message_types*",
    "use_assistant_message",
    "assistant_message_tool_name",
    "assistant_message_tool_kwarg",
];

const OWNER: &str = "asks the agent server whose this is";
const ONE_AGENT: &str = "the query names one agent, once";
const MESSAGE_BODY: &str = "lets pass the fields of a message that are harmless, in user messages only";
const REDACTED: &str = "blanks secrets and source code in the answer";
const NO_SYSTEM_MESSAGES: &str = "leaves `system_message` entries out of the answer";

/// All rows with their paths, as the documentation shows them.
pub(super) fn rows(settings: &Settings) -> Result<Vec<(Route, Pattern)>, String> {
    let mut rows = agents(settings);
    rows.extend(memory());
    rows.extend(conversations(settings));
    rows.extend(runs(settings));
    rows.push(Row::any_token(Get, "/v1/health/"));
    rows.into_iter().map(Row::finish).collect()
}

fn agents(settings: &Settings) -> Vec<Row> {
    let message = || BodyRule::Message { max_steps: settings.max_steps };
    let more = settings.agent_fields.iter().cloned().map(Cow::Owned);
    let fields: Vec<_> = AGENT_FIELDS.into_iter().map(Cow::Borrowed).chain(more).collect();
    let send = |path| Row::new(Post, path, WriteMessages).message(message()).messages(settings);
    vec![
        Row::new(Get, "/v1/agents/{agent}", ReadAgent)
            .also("drops `include` and `include_relationships` from the query")
            .redacted(),
        Row::new(Patch, "/v1/agents/{agent}", WriteAgent).fields(fields).redacted(),
        Row::new(Get, "/v1/agents/{agent}/messages", ReadMessages)
            .query(&MESSAGES)
            .query(&["conversation_id"])
            .messages(settings),
        send("/v1/agents/{agent}/messages"),
        send("/v1/agents/{agent}/messages/stream"),
        send("/v1/agents/{agent}/messages/async"),
        Row::new(Post, "/v1/agents/{agent}/messages/cancel", WriteMessages).also("sends no body on"),
    ]
}

fn memory() -> Vec<Row> {
    let block_fields = ["value", "description", "limit"].map(Cow::Borrowed).to_vec();
    vec![
        Row::new(Get, "/v1/agents/{agent}/core-memory", ReadAgent),
        Row::new(Get, "/v1/agents/{agent}/core-memory/blocks", ReadAgent).query(&PAGE),
        Row::new(Get, "/v1/agents/{agent}/core-memory/blocks/{label}", ReadAgent),
        Row::new(Patch, "/v1/agents/{agent}/core-memory/blocks/{label}", WriteAgent)
            .fields(block_fields)
            .also("a block that agents share changes for all of them"),
        Row::new(Get, "/v1/agents/{agent}/archival-memory", ReadAgent).query(&[
            "after",
            "before",
            "limit",
            "search",
            "ascending",
        ]),
        Row::new(Get, "/v1/agents/{agent}/archival-memory/search", ReadAgent).query(&[
            "query",
            "tags*",
            "tag_match_mode",
            "top_k",
            "start_datetime",
            "end_datetime",
        ]),
        Row::new(Post, "/v1/agents/{agent}/archival-memory", WriteAgent).body(BodyRule::Object),
    ]
}

fn conversations(settings: &Settings) -> Vec<Row> {
    let fields = ["summary", "isolated_block_labels"].map(Cow::Borrowed).to_vec();
    vec![
        Row::new(Get, "/v1/conversations/?agent_id={agent}", ReadMessages)
            .query(&["limit", "after", "summary_search", "order", "order_by"])
            .also(ONE_AGENT),
        Row::new(Post, "/v1/conversations/?agent_id={agent}", WriteMessages).also(ONE_AGENT).fields(fields),
        Row::new(Get, "/v1/conversations/{conversation}", ReadMessages).also(OWNER).messages(settings),
        Row::new(Get, "/v1/conversations/{conversation}/messages", ReadMessages)
            .query(&MESSAGES[..7])
            .also(OWNER)
            .messages(settings),
        Row::new(Post, "/v1/conversations/{conversation}/messages", WriteMessages)
            .also(OWNER)
            .message(BodyRule::Message { max_steps: settings.max_steps })
            .messages(settings),
        Row::new(Post, "/v1/conversations/{conversation}/cancel", WriteMessages)
            .also(OWNER)
            .also("sends no body on"),
    ]
}

fn runs(settings: &Settings) -> Vec<Row> {
    // A run's `metadata` holds the messages of a request that ran in the background.
    vec![
        Row::new(Get, "/v1/runs/?agent_id={agent}", ReadMessages)
            .query(&["statuses*", "background", "stop_reason", "conversation_id", "active", "ascending"])
            .query(&PAGE)
            .also(ONE_AGENT)
            .also("drops `agent_ids`")
            .messages(settings),
        Row::new(Get, "/v1/runs/{run}", ReadMessages).also(OWNER).messages(settings),
        Row::new(Get, "/v1/runs/{run}/messages", ReadMessages).query(&PAGE).also(OWNER).messages(settings),
        Row::new(Get, "/v1/runs/{run}/usage", ReadMessages).also(OWNER),
    ]
}

/// A row in the making.
struct Row {
    method: Method,
    template: &'static str,
    needs: Needs,
    query: Vec<QueryKey>,
    body: BodyRule,
    answer: AnswerRule,
    is_message: bool,
    also: Vec<String>,
}

impl Row {
    fn new(method: Method, template: &'static str, access: Access) -> Self {
        Self { needs: Needs::Access(access), ..Self::any_token(method, template) }
    }

    fn any_token(method: Method, template: &'static str) -> Self {
        Self {
            method,
            template,
            needs: Needs::AnyToken,
            query: Vec::new(),
            body: BodyRule::Nothing,
            answer: AnswerRule::AsIs,
            is_message: false,
            also: Vec::new(),
        }
    }

    fn query(mut self, keys: &[&'static str]) -> Self {
        self.query.extend(keys.iter().copied().map(QueryKey::from));
        self
    }

    fn body(self, body: BodyRule) -> Self {
        Self { body, ..self }
    }

    fn fields(self, fields: Vec<Cow<'static, str>>) -> Self {
        let also = format!("lets pass `{}` in the body and nothing else", fields.join("`, `"));
        self.body(BodyRule::Fields(fields)).also(also)
    }

    fn message(self, body: BodyRule) -> Self {
        Self { is_message: true, ..self.body(body).also(MESSAGE_BODY) }
    }

    fn messages(self, settings: &Settings) -> Self {
        if settings.system_messages {
            return self;
        }
        Self { answer: AnswerRule::Messages, ..self.also(NO_SYSTEM_MESSAGES) }
    }

    fn redacted(self) -> Self {
        Self { answer: AnswerRule::Agent, ..self.also(REDACTED) }
    }

    fn also(mut self, text: impl Into<String>) -> Self {
        self.also.push(text.into());
        self
    }

    fn finish(self) -> Result<(Route, Pattern), String> {
        let Self { method, template, needs, query, body, answer, is_message, also } = self;
        let pattern = Pattern::parse(template)?;
        let route = Route {
            method,
            template: Cow::Borrowed(template),
            needs,
            agent: pattern.agent_place(),
            query,
            body,
            answer,
            is_message,
            also: Cow::Owned(also.join("; ")),
        };
        Ok((route, pattern))
    }
}
