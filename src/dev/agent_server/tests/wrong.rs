//! Requests that are wrong, and what is said of them.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;

use super::{Mock, said, text};

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_as_pydantic_tells_them() {
    let mock = Mock::new();
    for (body, wanted) in [
        ("", "'missing', 'loc': ('body',), 'msg': 'Field required', 'input': None}]"),
        ("{", "'json_invalid', 'loc': ('body', 1), 'msg': 'JSON decode error', 'input': {}, 'ctx': {"),
        ("[]", "'model_attributes_type', 'loc': ('body',)"),
        ("{}", "'value_error', 'loc': ('body',)"),
        (r#"{"input":"x","messages":[]}"#, "'value_error', 'loc': ('body',)"),
        (r#"{"input":7}"#, "'string_type', 'loc': ('body', 'input')"),
        (r#"{"messages":"x"}"#, "'msg': 'Input should be a valid list', 'input': 'x'}]"),
        (r#"{"messages":[7]}"#, "'model_attributes_type', 'loc': ('body', 'messages', 0)"),
        (r#"{"input":"x","max_steps":"many"}"#, "'int_parsing', 'loc': ('body', 'max_steps')"),
        (r#"{"input":"x","max_steps":null}"#, "'int_type', 'loc': ('body', 'max_steps')"),
        (r#"{"input":"x","streaming":"perhaps"}"#, "'bool_parsing', 'loc': ('body', 'streaming')"),
        (
            r#"{"input":"x","include_return_message_types":["x"]}"#,
            "'enum', 'loc': ('body', 'include_return_message_types')",
        ),
    ] {
        mock.is_refused(body, wanted).await;
    }
    let two = mock.is_refused(r#"{"input":"x","max_steps":"x","streaming":7}"#, "'max_steps'").await;
    assert!(two.contains("}, {'type': 'bool_type', 'loc': ('body', 'streaming')"), "{two}");
}

#[tokio::test(start_paused = true)]
async fn mistakes_in_a_message_are_told_with_its_place() {
    let mock = Mock::new();
    for (message, wanted) in [
        (r#"{"role":"user"}"#, "'missing', 'loc': ('body', 'messages', 1, 'content')"),
        (r#"{"content":"x"}"#, "'missing', 'loc': ('body', 'messages', 1, 'role')"),
        (r#"{"role":"robot","content":"x"}"#, "'literal_error', 'loc': ('body', 'messages', 1, 'role')"),
        (r#"{"role":"user","content":7}"#, "'string_type', 'loc': ('body', 'messages', 1, 'content')"),
        (r#"{"role":"user","content":[{}]}"#, "'string_type', 'loc': ('body', 'messages', 1, 'content')"),
        (r#"{"type":"approval","approve":true}"#, "'literal_error', 'loc': ('body', 'messages', 1, 'type')"),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}},{message}]}}"#);
        mock.is_refused(&body, wanted).await;
    }
}

impl Mock {
    /// Sends a body in each way to an agent, to see that it is refused and that no run begins.
    async fn is_refused(&self, body: &str, wanted: &str) -> String {
        let mut detail = String::new();
        for path in ["/messages", "/messages/stream", "/messages/async"] {
            let (status, answer) = self.answer("POST", &self.path(path), Body::from(body.to_owned())).await;
            assert_eq!(
                (status, &answer["trace_id"]),
                (StatusCode::UNPROCESSABLE_ENTITY, &json!("")),
                "{body}"
            );
            text(&answer["detail"]).clone_into(&mut detail);
            assert!(detail.starts_with("[{'type': '") && detail.contains(wanted), "{body}: {detail}");
        }
        assert_eq!(self.found("/v1/runs/").await, json!([]));
        detail
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_said_is_refused_in_a_form_of_its_own() {
    let mock = Mock::new();
    let (status, answer) = mock.post(&mock.path("/messages"), &json!({ "messages": [] })).await;
    let wanted = json!({ "detail": "Messages must not be empty" });
    assert_eq!((status, answer), (StatusCode::UNPROCESSABLE_ENTITY, wanted));
}

#[tokio::test(start_paused = true)]
async fn mistakes_in_a_query_are_told_too() {
    let mock = Mock::new();
    for (query, wanted) in [
        ("limit=many", "'int_parsing', 'loc': ('query', 'limit')"),
        ("order=sideways", "\"Input should be 'asc' or 'desc'\", 'input': 'sideways'"),
        ("order_by=name", "'literal_error', 'loc': ('query', 'order_by')"),
        ("include_return_message_types=x", "'enum', 'loc': ('query', 'include_return_message_types')"),
    ] {
        let (status, answer) = mock.get(&mock.path(&format!("/messages?{query}"))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text(&answer["detail"]).contains(wanted), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_of_agents_must_have_the_right_form() {
    let mock = Mock::new();
    for path in [
        "",
        "/messages",
        "/core-memory",
        "/core-memory/blocks",
        "/core-memory/blocks/human",
        "/archival-memory",
        "/archival-memory/search",
    ] {
        for id in ["agent-x", "agent-123E4567-e89b-42d3-8456-426614174000", "x"] {
            let (status, body) = mock.get(&format!("/v1/agents/{id}{path}")).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(text(&body["detail"]).contains("'loc': ('path', 'agent_id')"));
            assert!(body["examples"].is_array());
        }
    }
    let (status, _) = mock.post("/v1/agents/agent-x/messages", &said("x")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}
