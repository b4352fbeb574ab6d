//! What is taken out of an agent server's answers before a client token's holder sees them.

mod event;

use serde_json::{Map, Value};

/// What a row does with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRule {
    AsIs,
    /// An agent object, or a list of them: secrets and source code are blanked.
    Agent,
    /// Messages, alone, in lists or in streams: `system_message` entries are left out.
    Messages,
}

impl AnswerRule {
    /// Takes out what must not be seen, wherever it stands: an agent may hold others, and a list may
    /// stand under any name. What stands where a system message stood is null, unless it was a list.
    ///
    /// As deep as the answer nests, which its parser bounds.
    pub fn redact(self, answer: &mut Value) {
        match self {
            AnswerRule::AsIs => {}
            AnswerRule::Agent => blank_secrets(answer),
            AnswerRule::Messages if is_system_message(answer) => *answer = Value::Null,
            AnswerRule::Messages => {
                drop_system_messages(answer);
                match answer {
                    Value::Array(items) => items.iter_mut().for_each(blank_run),
                    one => blank_run(one),
                }
            }
        }
    }

    /// Whether an event of a stream, by its data, is left out: it is a system message, or holds one.
    /// `None`: the data can't be read, so nobody knows. An event without data is no event.
    pub fn hides(self, data: &[u8]) -> Option<bool> {
        match self {
            AnswerRule::AsIs => Some(false),
            // No stream has agents in it.
            AnswerRule::Agent => None,
            AnswerRule::Messages if data.is_empty() || data == b"[DONE]" => Some(false),
            AnswerRule::Messages => event::holds_system_message(data),
        }
    }
}

/// Blanks what an agent object has for its tools and for the server alone: environment variables (each
/// with its plain text), source code, and the addresses of models, which may lie in the server's
/// network and may carry a password.
fn blank_secrets(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank_secrets),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "secrets" | "tool_exec_environment_variables" => *value = Value::Array(Vec::new()),
                    "source_code" if !value.is_null() => *value = Value::String(String::new()),
                    "model_endpoint" | "embedding_endpoint" | "azure_endpoint" => *value = Value::Null,
                    _ => blank_secrets(value),
                }
            }
        }
        _ => {}
    }
}

/// Blanks what a run says of its failure, which quotes the provider of the language model, and of whom the
/// server tells about it. No stream has runs in it.
fn blank_run(run: &mut Value) {
    if !run["id"].as_str().is_some_and(|id| id.starts_with("run-")) {
        return;
    }
    if let Some(error) = run.pointer_mut("/metadata/error") {
        *error = Value::Null;
    }
    for name in ["callback_url", "callback_error"] {
        if let Some(value) = run.get_mut(name) {
            *value = Value::Null;
        }
    }
}

fn drop_system_messages(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !is_system_message(item));
            items.iter_mut().for_each(drop_system_messages);
        }
        Value::Object(fields) => {
            for value in fields.values_mut() {
                if is_system_message(value) {
                    *value = Value::Null;
                } else {
                    drop_system_messages(value);
                }
            }
        }
        _ => {}
    }
}

/// By the type that Letta's API gives it, or by the role that it has in the server's own records.
fn is_system_message(value: &Value) -> bool {
    let says =
        |fields: &Map<String, Value>, (name, word)| fields.get(name).is_some_and(|value| value == word);
    value.as_object().is_some_and(|fields| SYSTEM_MESSAGE.iter().any(|mark| says(fields, *mark)))
}

/// A field and its value that make an object a system message.
const SYSTEM_MESSAGE: [(&str, &str); 2] = [("message_type", "system_message"), ("role", "system")];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::samples::any_json;
    use super::*;

    fn redacted(rule: AnswerRule, mut answer: Value) -> Value {
        rule.redact(&mut answer);
        answer
    }

    fn agent() -> Value {
        let secret = json!({"key": "TOKEN", "value": "s3cret", "value_enc": "s3cret"});
        json!({
            "id": "agent-1",
            "name": "helper",
            "system": "You help.",
            "llm_config": {"model": "m", "model_endpoint": "http://user:s3cret@10.0.0.1/v1"},
            "embedding_config": {"embedding_endpoint": "http://s3cret/", "azure_endpoint": "http://s3cret/"},
            "secrets": [secret],
            "tool_exec_environment_variables": [secret],
            "tools": [{"name": "t", "source_code": "s3cret", "json_schema": {"name": "t"}}, {"source_code": null}],
            "blocks": [{"label": "human", "value": "likes secrets"}],
        })
    }

    fn blanked_agent() -> Value {
        json!({
            "id": "agent-1",
            "name": "helper",
            "system": "You help.",
            "llm_config": {"model": "m", "model_endpoint": null},
            "embedding_config": {"embedding_endpoint": null, "azure_endpoint": null},
            "secrets": [],
            "tool_exec_environment_variables": [],
            "tools": [{"name": "t", "source_code": "", "json_schema": {"name": "t"}}, {"source_code": null}],
            "blocks": [{"label": "human", "value": "likes secrets"}],
        })
    }

    #[test]
    fn an_agents_secrets_and_source_code_are_blanked() {
        assert_eq!(redacted(AnswerRule::Agent, agent()), blanked_agent());
    }

    #[test]
    fn agents_in_lists_and_in_groups_are_blanked() {
        let nest = |agent: Value| json!([agent, {"managed_group": {"agents": [agent]}, "multi_agent_group": agent, "x": [[agent]]}]);
        assert_eq!(redacted(AnswerRule::Agent, nest(agent())), nest(blanked_agent()));
    }

    #[test]
    fn secrets_in_another_form_are_blanked_too() {
        for secrets in [json!({"TOKEN": "s3cret"}), json!("s3cret"), Value::Null] {
            let answer = json!({"secrets": secrets, "tool_exec_environment_variables": secrets});
            let blanked = json!({"secrets": [], "tool_exec_environment_variables": []});
            assert_eq!(redacted(AnswerRule::Agent, answer), blanked);
        }
        let answer = json!({"tools": [{"source_code": {"main.py": "s3cret"}}]});
        assert_eq!(redacted(AnswerRule::Agent, answer), json!({"tools": [{"source_code": ""}]}));
    }

    #[test]
    fn system_messages_are_left_out_of_lists() {
        let user = json!({"id": "message-1", "message_type": "user_message", "content": "hi"});
        let system = json!({"id": "message-0", "message_type": "system_message", "content": "prompt"});
        let raw = json!({"role": "system", "content": [{"type": "text", "text": "prompt"}]});
        assert_eq!(redacted(AnswerRule::Messages, json!([system, user, raw, user])), json!([user, user]));
        let answer = json!({"messages": [system, user], "usage": {"steps": 1}, "turns": [{"of": [raw]}]});
        let left = json!({"messages": [user], "usage": {"steps": 1}, "turns": [{"of": []}]});
        assert_eq!(redacted(AnswerRule::Messages, answer), left);
    }

    #[test]
    fn a_system_message_outside_a_list_becomes_null() {
        let system = json!({"message_type": "system_message", "content": "prompt"});
        assert_eq!(redacted(AnswerRule::Messages, system.clone()), Value::Null);
        assert_eq!(redacted(AnswerRule::Messages, json!({"last": system})), json!({"last": null}));
    }

    #[test]
    fn each_rule_leaves_alone_what_is_not_its_own() {
        let messages = json!([{"message_type": "system_message", "content": "prompt"}]);
        assert_eq!(redacted(AnswerRule::AsIs, messages.clone()), messages);
        assert_eq!(redacted(AnswerRule::Agent, messages.clone()), messages);
        assert_eq!(redacted(AnswerRule::AsIs, agent()), agent());
        assert_eq!(redacted(AnswerRule::Messages, agent()), agent());
    }

    /// Every object of a document, however deep.
    fn objects(value: &Value) -> Vec<&Map<String, Value>> {
        match value {
            Value::Array(items) => items.iter().flat_map(objects).collect(),
            Value::Object(fields) => {
                std::iter::once(fields).chain(fields.values().flat_map(objects)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_runs_failure_is_told_without_the_providers_words() {
        let run = json!({"id": "run-1", "metadata": {"error": {"detail": "sk-…"}, "run_type": "x"},
            "callback_url": "http://intern", "callback_error": null});
        let told = json!({"id": "run-1", "metadata": {"error": null, "run_type": "x"},
            "callback_url": null, "callback_error": null});
        assert_eq!(redacted(AnswerRule::Messages, run.clone()), told);
        assert_eq!(redacted(AnswerRule::Messages, json!([run, {"id": 2}])), json!([told, {"id": 2}]));
    }

    proptest! {
        #[test]
        fn no_secret_is_left_at_any_depth(answer in any_json()) {
            let left = redacted(AnswerRule::Agent, answer);
            for fields in objects(&left) {
                for name in ["secrets", "tool_exec_environment_variables"] {
                    prop_assert!(fields.get(name).is_none_or(|value| *value == json!([])), "{}", left);
                }
                prop_assert!(fields.get("source_code").is_none_or(|code| code == "" || code.is_null()), "{}", left);
            }
        }

        #[test]
        fn no_system_message_is_left_at_any_depth(answer in any_json()) {
            let left = redacted(AnswerRule::Messages, answer);
            for fields in objects(&left) {
                prop_assert!(fields.get("message_type") != Some(&json!("system_message")), "{}", left);
                prop_assert!(fields.get("role") != Some(&json!("system")), "{}", left);
            }
        }

        #[test]
        fn redacting_twice_changes_nothing_more(answer in any_json()) {
            for rule in [AnswerRule::AsIs, AnswerRule::Agent, AnswerRule::Messages] {
                let once = redacted(rule, answer.clone());
                prop_assert_eq!(redacted(rule, once.clone()), once);
            }
        }
    }
}
