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
/// Keys by which it chooses among messages. Another agent's group or conversation yields an empty list.
const CHOICE: [&str; 2] = ["group_id", "include_return_message_types*"];
/// What an agent's messages take besides, three of them long deprecated and harmless.
const MORE_CHOICE: [&str; 4] = [
    "conversation_id",
    "use_assistant_message",
    "assistant_message_tool_name",
    "assistant_message_tool_kwarg",
];

const OWNER: &str = "asks the agent server whose it is";
const ONE_AGENT: &str = "takes `agent_id` exactly once";
const REDACTED: &str = "blanks secrets, source code and addresses of models in the answer";
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
    let more = settings.agent_fields.iter().cloned().map(Cow::Owned);
    let fields: Vec<_> = AGENT_FIELDS.into_iter().map(Cow::Borrowed).chain(more).collect();
    let send = |path| Row::new(Post, path, WriteMessages).message(settings).messages(settings);
    vec![
        Row::new(Get, "/v1/agents/{agent}", ReadAgent)
            .also("drops `include` and `include_relationships` from the query")
            .redacted(),
        Row::new(Patch, "/v1/agents/{agent}", WriteAgent).fields(fields).redacted(),
        Row::new(Get, "/v1/agents/{agent}/messages", ReadMessages)
            .query(&PAGE)
            .query(&CHOICE)
            .query(&MORE_CHOICE)
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
            .query(&PAGE)
            .query(&CHOICE)
            .also(OWNER)
            .messages(settings),
        Row::new(Post, "/v1/conversations/{conversation}/messages", WriteMessages)
            .also(OWNER)
            .message(settings)
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

    fn message(self, settings: &Settings) -> Self {
        let max_steps = settings.max_steps;
        let also = format!(
            "lets only a user's messages pass, and of the fields the harmless ones, `max_steps` up to {max_steps}"
        );
        Self { is_message: true, ..self.body(BodyRule::Message { max_steps }).also(also) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AgentPlace;
    use crate::access::testing::settings;

    fn all(settings: &Settings) -> Vec<Route> {
        rows(settings).unwrap().into_iter().map(|(route, _)| route).collect()
    }

    fn names(rows: &[Route], which: impl Fn(&Route) -> bool) -> Vec<String> {
        let chosen = rows.iter().filter(|row| which(row));
        chosen.map(|row| format!("{} {}", row.method.as_str(), row.template)).collect()
    }

    #[test]
    fn a_plain_yes_or_no_is_enough_for_few_rows() {
        let enough = names(&all(&settings()), |row| row.also.is_empty());
        assert_eq!(
            enough,
            [
                "GET /v1/agents/{agent}/core-memory",
                "GET /v1/agents/{agent}/core-memory/blocks",
                "GET /v1/agents/{agent}/core-memory/blocks/{label}",
                "GET /v1/agents/{agent}/archival-memory",
                "GET /v1/agents/{agent}/archival-memory/search",
                "POST /v1/agents/{agent}/archival-memory",
                "GET /v1/health/",
            ]
        );
    }

    #[test]
    fn what_is_done_to_a_body_or_an_answer_is_said() {
        for row in all(&settings()) {
            let silent =
                matches!(row.body, BodyRule::Nothing | BodyRule::Object) && row.answer == AnswerRule::AsIs;
            let says = !row.also.is_empty();
            assert!(silent || says, "{}", row.template);
            assert!(says || row.agent != AgentPlace::Owner, "{}", row.template);
        }
    }

    #[test]
    fn rows_that_send_a_message_are_counted_and_no_others() {
        let counted = names(&all(&settings()), |row| row.is_message);
        assert_eq!(
            counted,
            [
                "POST /v1/agents/{agent}/messages",
                "POST /v1/agents/{agent}/messages/stream",
                "POST /v1/agents/{agent}/messages/async",
                "POST /v1/conversations/{conversation}/messages",
            ]
        );
    }

    #[test]
    fn system_messages_are_left_out_unless_a_deployment_wants_them() {
        let messages = |settings: &Settings| names(&all(settings), |row| row.answer == AnswerRule::Messages);
        let rows = all(&settings());
        let expected = names(&rows, |row| {
            (row.template.contains("/messages") || row.template.contains("/runs/"))
                && !row.template.ends_with("/cancel")
                && !row.template.ends_with("/usage")
                || row.template == "/v1/conversations/{conversation}"
        });
        assert_eq!(messages(&settings()), expected);
        assert_eq!(messages(&Settings { system_messages: true, ..settings() }), [""; 0]);
    }

    #[test]
    fn agent_objects_are_redacted_whatever_is_configured() {
        for system_messages in [true, false] {
            let rows = all(&Settings { system_messages, ..settings() });
            let redacted = names(&rows, |row| row.answer == AnswerRule::Agent);
            assert_eq!(redacted, ["GET /v1/agents/{agent}", "PATCH /v1/agents/{agent}"]);
        }
    }

    #[test]
    fn keys_that_open_more_than_the_row_are_named_by_none() {
        for row in all(&settings()) {
            for key in &row.query {
                let closed = ["include", "include_relationships", "include_err", "agent_id", "agent_ids"];
                assert!(!closed.contains(&&*key.name), "{}: {key}", row.template);
            }
        }
    }
}
