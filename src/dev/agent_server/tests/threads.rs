//! Conversations and runs.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Mock, each, kinds, said, said_with, text};

impl Mock {
    async fn converse(&self, body: &Value) -> String {
        let path = format!("/v1/conversations/?agent_id={}", self.agent);
        let (status, conversation) = self.post(&path, body).await;
        assert_eq!(status, StatusCode::OK, "{conversation}");
        text(&conversation["id"]).to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_made_with_or_without_a_body() {
    let mock = Mock::new();
    let path = format!("/v1/conversations/?agent_id={}", mock.agent);
    let (_, made) = mock.post(&path, &json!({ "summary": "An order" })).await;
    assert_eq!(
        made,
        json!({
            "created_by_id": "user-00000000-0000-4000-8000-000000000000",
            "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
            "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000000Z",
            "id": made["id"], "agent_id": mock.agent, "summary": "An order", "in_context_message_ids": [],
            "isolated_block_ids": [], "model": null, "model_settings": null, "last_message_at": null
        })
    );
    let (status, bare) = mock.answer("POST", &path, Body::empty()).await;
    assert_eq!((status, &bare["summary"]), (StatusCode::OK, &Value::Null));
    let (_, isolated) = mock.post(&path, &json!({ "isolated_block_labels": ["human"] })).await;
    assert_eq!(isolated["isolated_block_ids"].as_array().unwrap().len(), 1);
    let (status, body) = mock.post(&path, &json!({ "isolated_block_labels": ["nothing"] })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text(&body["detail"]).starts_with("INVALID_ARGUMENT: Block with label 'nothing'"));
    let (status, body) = mock.post("/v1/conversations/", &json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&body["detail"]).contains("('query', 'agent_id')"));
    let (status, body) = mock.post("/v1/conversations/?agent_id=x", &json!({})).await;
    assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({ "detail": "Agent not found" })));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_in_a_conversation_stays_there() {
    let mock = Mock::new();
    let (one, other) = (mock.converse(&json!({})).await, mock.converse(&json!({})).await);
    let path = format!("/v1/conversations/{one}/messages");
    let events = mock.events(&path, &said("hello")).await;
    assert_eq!(kinds(&events)[1..3], ["reasoning_message", "assistant_message"]);
    let (status, whole) = mock.post(&path, &said_with("again", &json!({ "streaming": false }))).await;
    assert_eq!((status, whole["messages"].as_array().unwrap().len()), (StatusCode::OK, 2));
    mock.say("outside").await;
    let newest = mock.found(&path).await;
    let turn = ["reasoning_message", "assistant_message", "user_message"];
    assert_eq!(each(&newest, "message_type"), [&turn[..], &turn, &["system_message"]].concat());
    assert_eq!(
        each(&mock.found(&format!("{path}?order=asc&limit=2")).await, "message_type"),
        ["system_message", "user_message"]
    );
    let before = mock.found(&format!("{path}?limit=1&before={}", text(&newest[2]["id"]))).await;
    assert_eq!(before[1], newest[4]);
    assert_eq!(mock.found(&format!("{path}?before=unknown")).await, newest);
    assert_eq!(mock.found(&format!("/v1/conversations/{other}/messages")).await.as_array().unwrap().len(), 1);
    let in_agent = async |conversation: &str| {
        let path = mock.path(&format!("/messages?conversation_id={conversation}"));
        mock.found(&path).await.as_array().unwrap().len()
    };
    assert_eq!((in_agent(&one).await, in_agent("default").await, in_agent("conv-x").await), (7, 4, 0));
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 12);
    let conversation = mock.found(&format!("/v1/conversations/{one}")).await;
    assert_eq!(conversation["in_context_message_ids"].as_array().unwrap().len(), 5);
    assert!(conversation["last_message_at"].is_string());
}

#[tokio::test(start_paused = true)]
async fn conversations_are_listed_by_their_keys() {
    let mock = Mock::new();
    let mut ids = Vec::new();
    for summary in [json!("An order"), json!("A journey"), Value::Null] {
        ids.push(mock.converse(&json!({ "summary": summary })).await);
        mock.clock.advance(Duration::from_secs(1));
    }
    let list = async |query: &str| {
        let list = mock.found(&format!("/v1/conversations/?agent_id={}&{query}", mock.agent)).await;
        let places =
            each(&list, "id").into_iter().map(|id| ids.iter().position(|known| known == id).unwrap());
        places.collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [2, 1, 0]);
    assert_eq!(list("order=asc&limit=2").await, [0, 1]);
    assert_eq!(list(&format!("after={}", ids[2])).await, [1, 0]);
    assert_eq!(list("summary_search=order").await, [0]);
    assert_eq!(list("summary_search=nothing").await, Vec::<usize>::new());
    for place in [1, 0] {
        mock.events(&format!("/v1/conversations/{}/messages", ids[place]), &said("x")).await;
        mock.clock.advance(Duration::from_secs(1));
    }
    for key in ["last_message_at", "last_run_completion"] {
        assert_eq!(list(&format!("order_by={key}")).await, [0, 1, 2]);
        assert_eq!(list(&format!("order_by={key}&order=asc")).await, [1, 0, 2]);
    }
    let all = mock.found("/v1/conversations/").await;
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[0]["in_context_message_ids"], json!([]));
    assert_eq!(mock.found("/v1/conversations/?agent_id=agent-x").await, json!([]));
    let (status, _) = mock.get("/v1/conversations/?order_by=name").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_cancelled_alone() {
    let mock = Mock::new();
    let (one, other) = (mock.converse(&json!({})).await, mock.converse(&json!({})).await);
    let path = |id: &str, what: &str| format!("/v1/conversations/{id}/{what}");
    let slow = said("[slow 1000] [words 50]");
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        mock.answer("POST", &path(&one, "cancel"), Body::empty()).await
    };
    let (in_one, in_other) = (path(&one, "messages"), path(&other, "messages"));
    let (events, uncancelled, (status, _)) =
        tokio::join!(mock.events(&in_one, &slow), mock.events(&in_other, &slow), cancel);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(kinds(&events), ["ping", "stop_reason"]);
    assert_eq!(kinds(&uncancelled).last().unwrap(), "[DONE]");
    let (status, body) = mock.answer("POST", &path(&one, "cancel"), Body::empty()).await;
    let detail = format!("CONFLICT: No active runs to cancel for conversation {one}");
    assert_eq!((status, body), (StatusCode::CONFLICT, json!({ "detail": detail })));
}

#[tokio::test(start_paused = true)]
async fn unknown_and_ill_formed_conversations_and_runs_are_told_apart() {
    let mock = Mock::new();
    let uuid = "123e4567-e89b-42d3-8456-426614174000";
    for path in ["", "/messages"] {
        for (id, wanted) in [
            ("conv-x".to_owned(), "'string_too_short'"),
            (format!("conv-{uuid}0"), "'string_too_long'"),
            (format!("conv-{}", uuid.to_uppercase()), "'string_pattern_mismatch'"),
        ] {
            let (status, body) = mock.get(&format!("/v1/conversations/{id}{path}")).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(text(&body["detail"]).contains(wanted));
        }
    }
    let conversation = format!("/v1/conversations/conv-{uuid}");
    let (status, body) = mock.get(&conversation).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&body["detail"]).starts_with("Conversation not found"));
    assert_eq!(mock.found(&format!("{conversation}/messages")).await, json!([]));
    for path in ["messages", "cancel"] {
        let (status, _) = mock.post(&format!("{conversation}/{path}"), &said("x")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    for path in ["", "/messages", "/usage"] {
        let (status, body) = mock.get(&format!("/v1/runs/run-x{path}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text(&body["detail"]).starts_with("INVALID_ARGUMENT: Invalid run ID format: run-x"));
        let (status, body) = mock.get(&format!("/v1/runs/run-{uuid}{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text(&body["detail"]).starts_with("Run not found"));
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_by_their_keys() {
    let mock = Mock::new();
    let conversation = mock.converse(&json!({})).await;
    mock.say("one").await;
    mock.events(&format!("/v1/conversations/{conversation}/messages"), &said("two")).await;
    mock.post(&mock.path("/messages/stream"), &said("[error 500]")).await;
    let (_, run) = mock.post(&mock.path("/messages/async"), &said("[slow 1000]")).await;
    let other = "agent-123e4567-e89b-42d3-8456-426614174000";
    mock.post(&format!("/v1/agents/{other}/messages"), &said("five")).await;
    let all = mock.found("/v1/runs/?order=asc").await;
    let ids = each(&all, "id");
    let list = async |query: &str| {
        let list = mock.found(&format!("/v1/runs/?{query}")).await;
        let places =
            each(&list, "id").into_iter().map(|id| ids.iter().position(|known| *known == id).unwrap());
        places.collect::<Vec<_>>()
    };
    let agent = &mock.agent;
    assert_eq!(list("").await, [4, 3, 2, 1, 0]);
    assert_eq!(list(&format!("agent_id={agent}")).await, [3, 2, 1, 0]);
    assert_eq!(list(&format!("agent_ids={agent}&agent_ids={other}&ascending=true")).await, [0, 1, 2, 3, 4]);
    assert_eq!(list(&format!("agent_id={agent}&agent_ids={other}&limit=1")).await, [3]);
    assert_eq!(list("statuses=failed&statuses=created").await, [3, 2]);
    assert_eq!(list("active=true").await, [3]);
    assert_eq!(list("background=true").await, [3]);
    assert_eq!(list("stop_reason=llm_api_error").await, [2]);
    assert_eq!(list(&format!("conversation_id={conversation}")).await, [1]);
    assert_eq!(list(&format!("after={}", ids[2])).await, [1, 0]);
    assert_eq!(list(&format!("before={}&order=asc", ids[2])).await, [0, 1]);
    assert_eq!(list("agent_id=agent-x").await, Vec::<usize>::new());
    for query in ["limit=0", "limit=1001", "limit=x", "order=x", "background=x"] {
        let (status, _) = mock.get(&format!("/v1/runs/?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    let (status, _) = mock.get("/v1/runs/?statuses=x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(mock.ended(text(&run["id"])).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_run_tells_what_was_said_in_it_and_what_it_cost() {
    let mock = Mock::new();
    mock.say("before").await;
    let answer = mock.say("[tool look_up] now").await;
    let run = text(&answer["messages"][0]["run_id"]);
    let path = format!("/v1/runs/{run}");
    let found = mock.found(&path).await;
    assert_eq!((&found["conversation_id"], &found["background"]), (&Value::Null, &json!(false)));
    assert_eq!(found["metadata"], json!({ "run_type": "send_message" }));
    assert_eq!(found["request_config"]["use_assistant_message"], true);
    let messages = mock.found(&format!("{path}/messages")).await;
    assert_eq!(messages[0]["content"], "[tool look_up] now");
    assert_eq!(messages.as_array().unwrap()[1..], answer["messages"].as_array().unwrap()[..]);
    let newest = mock.found(&format!("{path}/messages?order=desc&limit=2")).await;
    assert_eq!(
        each(&newest, "message_type"),
        ["assistant_message", "reasoning_message", "tool_return_message"]
    );
    let (status, _) = mock.get(&format!("{path}/messages?before=x")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let usage = mock.found(&format!("{path}/usage")).await;
    assert_eq!(usage["total_tokens"], answer["usage"]["total_tokens"]);
    assert_eq!((&usage["prompt_tokens_details"], usage.as_object().unwrap().len()), (&Value::Null, 5));
}
