//! Replies that the user's text steers, and runs that are cancelled.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Mock, data, each, kinds, said, said_with, text};

#[tokio::test(start_paused = true)]
async fn a_reply_has_as_many_words_as_are_wanted() {
    let mock = Mock::new();
    for words in [1, 50, 2000] {
        let answer = mock.say(&format!("[words {words}] [slow 0] hello")).await;
        assert_eq!(text(&answer["messages"][1]["content"]).split_whitespace().count(), words);
        assert!(!text(&answer["messages"][1]["content"]).contains('['));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_sets_the_pause_between_pieces() {
    let mock = Mock::new();
    let body =
        said_with("[slow 200] [words 10] x", &json!({ "stream_tokens": true, "include_pings": false }));
    let start = Instant::now();
    let events = mock.events(&mock.path("/messages/stream"), &body).await;
    let pieces = u32::try_from(events.len() - 3).unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(40) + Duration::from_millis(200) * pieces);
}

#[tokio::test(start_paused = true)]
async fn the_last_thing_the_user_said_steers() {
    let mock = Mock::new();
    let messages = json!([
        { "role": "user", "content": "[words 3]" },
        { "role": "user", "content": [{ "type": "text", "text": "[words" }, { "type": "text", "text": "5]" }] },
        { "role": "system", "content": "[words 7]" }
    ]);
    let (_, answer) = mock.post(&mock.path("/messages"), &json!({ "messages": messages })).await;
    assert_eq!(text(&answer["messages"][1]["content"]).split(' ').count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_called_before_the_reply() {
    let mock = Mock::new();
    let events = mock.events(&mock.path("/messages/stream"), &said("[tool get_weather] in June")).await;
    assert_eq!(
        kinds(&events),
        [
            "ping",
            "reasoning_message",
            "tool_call_message",
            "tool_return_message",
            "reasoning_message",
            "assistant_message",
            "stop_reason",
            "usage_statistics",
            "[DONE]"
        ]
    );
    let (call, returned) = (data(&events[2]), data(&events[3]));
    let called = &call["tool_call"];
    assert_eq!(called["name"], "get_weather");
    assert_eq!(called["arguments"], r#"{"query":"in June"}"#);
    assert_eq!(call["tool_calls"], json!([called]));
    assert_eq!((&returned["name"], &returned["status"]), (&json!("get_weather"), &json!("success")));
    assert_eq!(returned["tool_call_id"], called["tool_call_id"]);
    let one = &returned["tool_returns"][0];
    assert_eq!((&one["type"], &one["tool_return"]), (&json!("tool"), &returned["tool_return"]));
    assert_eq!(
        (&call["step_id"], data(&events[4])["step_id"] == call["step_id"]),
        (&returned["step_id"], false)
    );
    let history = mock.found(&mock.path("/messages?limit=4")).await;
    assert_eq!(history[2], call);
    let tokens = said_with("[tool get_weather]", &json!({ "stream_tokens": true }));
    let events = mock.events(&mock.path("/messages/stream"), &tokens).await;
    let call =
        events.iter().map(|event| data(event)).find(|event| event["message_type"] == "tool_call_message");
    assert_eq!(call.as_ref().unwrap()["tool_calls"], call.as_ref().unwrap()["tool_call"]);
}

#[tokio::test(start_paused = true)]
async fn steps_are_counted_and_may_run_out() {
    let mock = Mock::new();
    for (steps, wanted) in
        [(json!(2), "end_turn"), (json!("1"), "max_steps"), (json!(0), "max_steps"), (json!(-1), "max_steps")]
    {
        let body = said_with("[tool look_up]", &json!({ "max_steps": steps }));
        let (_, answer) = mock.post(&mock.path("/messages"), &body).await;
        assert_eq!(answer["stop_reason"]["stop_reason"], wanted);
    }
    // Without a step nothing was said either.
    let history = mock.found(&mock.path("/messages")).await;
    assert_eq!(each(&history, "message_type").iter().filter(|kind| **kind == "user_message").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_answered_with_the_status_that_was_asked_for() {
    let mock = Mock::new();
    for (status, kind) in [
        (400, "llm_bad_request"),
        (401, "llm_authentication"),
        (402, "llm_insufficient_credits"),
        (429, "llm_rate_limit"),
        (500, "llm_error"),
        (504, "llm_timeout"),
    ] {
        for path in [mock.path("/messages"), mock.path("/messages/stream")] {
            let (answered, body) = mock.post(&path, &said(&format!("[error {status}]"))).await;
            assert_eq!((answered.as_u16(), &body["error"]["type"]), (status, &json!(kind)));
            assert!(body["error"]["message"].is_string() && body["error"]["detail"].is_string());
        }
    }
    let (status, body) = mock.post(&mock.path("/messages"), &said("[error 503]")).await;
    assert_eq!((status, body["detail"].is_string()), (StatusCode::SERVICE_UNAVAILABLE, true));
    let runs = mock.found("/v1/runs/").await;
    assert!(each(&runs, "status").iter().all(|status| *status == "failed"));
    assert_eq!((&runs[0]["stop_reason"], &runs[1]["stop_reason"]), (&Value::Null, &json!("llm_api_error")));
    assert_eq!(runs[1]["metadata"]["error"]["error_type"], "llm_timeout");
    assert_eq!(runs[1]["metadata"]["error"]["run_id"], runs[1]["id"]);
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_tokens_may_fail_in_its_middle_and_is_never_done() {
    let mock = Mock::new();
    let body = said_with("[error stream] [words 20]", &json!({ "stream_tokens": true }));
    let events = mock.events(&mock.path("/messages/stream"), &body).await;
    let wanted = ["ping", "reasoning_message", "assistant_message", "stop_reason", "error_message"];
    assert_eq!(kinds(&events), wanted);
    let said = events.iter().filter(|event| data(event)["message_type"] == "assistant_message");
    assert_eq!(said.count(), 10);
    let end = &events[events.len() - 3..];
    assert_eq!(data(&end[0]), json!({ "message_type": "stop_reason", "stop_reason": "error" }));
    assert_eq!(data(&end[1]), json!({ "message_type": "stop_reason", "stop_reason": "llm_api_error" }));
    assert!(end[2].starts_with("event: error\ndata: {"));
    let error = data(&end[2]);
    assert_eq!((&error["error_type"], &error["seq_id"]), (&json!("internal_error"), &Value::Null));
    let run = mock.ended(text(&error["run_id"])).await;
    assert_eq!((&run["status"], &run["stop_reason"]), (&json!("completed"), &json!("llm_api_error")));
    assert_eq!(run["metadata"], json!({ "run_type": "send_message_streaming" }));
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_messages_may_fail_between_them() {
    let mock = Mock::new();
    let body = said("[tool look_up] [error stream]");
    let events = mock.events(&mock.path("/messages/stream"), &body).await;
    let before =
        ["ping", "reasoning_message", "tool_call_message", "tool_return_message", "reasoning_message"];
    assert_eq!(kinds(&events), [&before[..], &["stop_reason", "error_message", "[DONE]"]].concat());
    let error = data(&events[6]);
    assert_eq!(error["error_type"], "llm_error");
    let run = mock.ended(text(&error["run_id"])).await;
    assert_eq!((&run["status"], &run["metadata"]["error"]), (&json!("failed"), &error));
    // What was said before is kept.
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stream_fails_as_a_whole() {
    let mock = Mock::new();
    let (status, _) = mock.post(&mock.path("/messages"), &said("[error stream]")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let run = mock.found("/v1/runs/").await[0].clone();
    assert_eq!((&run["status"], &run["stop_reason"]), (&json!("failed"), &Value::Null));
    assert!(run["metadata"]["error"].is_string());
    let (_, run) = mock.post(&mock.path("/messages/async"), &said("[error 429]")).await;
    let run = mock.ended(text(&run["id"])).await;
    assert_eq!((&run["status"], &run["stop_reason"]), (&json!("failed"), &json!("error")));
    assert!(run["metadata"]["error"].is_string());
}

#[tokio::test(start_paused = true)]
async fn an_async_run_ends_by_itself() {
    let mock = Mock::new();
    let (status, run) = mock.post(&mock.path("/messages/async"), &said("hello")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&run["status"], &run["background"], &run["completed_at"]),
        (&json!("created"), &json!(true), &Value::Null)
    );
    assert_eq!(run["metadata"], json!({ "run_type": "send_message_async", "lettuce": null }));
    mock.clock.advance(Duration::from_secs(2));
    let ended = mock.ended(text(&run["id"])).await;
    assert_eq!((&ended["status"], &ended["stop_reason"]), (&json!("completed"), &json!("end_turn")));
    assert_eq!(ended["completed_at"], "2026-01-31T12:00:02.000000");
    assert_eq!(ended["total_duration_ns"], Value::Null);
    assert_eq!(mock.found("/v1/runs/").await[0]["total_duration_ns"], 2_000_000_000_u64);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_stream_ends_without_done_and_leaves_nothing() {
    let mock = Mock::new();
    let cancel = mock.path("/messages/cancel");
    let nothing = json!({ "detail": format!("CONFLICT: No active runs to cancel for agent {}", mock.agent) });
    assert_eq!(mock.post(&cancel, &json!({})).await, (StatusCode::CONFLICT, nothing.clone()));
    let body = said_with("[slow 1000] [words 100]", &json!({ "stream_tokens": true }));
    let response = mock.ask("POST", &mock.path("/messages/stream"), Body::from(body.to_string())).await;
    let mut pieces = response
        .into_body()
        .into_data_stream()
        .map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap());
    let run = data(&pieces.next().await.unwrap())["run_id"].clone();
    pieces.next().await.unwrap();
    let (status, answer) = mock.answer("POST", &cancel, Body::empty()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ text(&run): "cancelled" })));
    let rest: Vec<_> = pieces.collect().await;
    let end = rest.last().unwrap();
    assert_eq!(data(end), json!({ "message_type": "stop_reason", "stop_reason": "cancelled" }));
    assert!(rest.iter().all(|event| !event.contains("[DONE]")));
    let run = mock.found(&format!("/v1/runs/{}", text(&run))).await;
    assert_eq!((&run["status"], &run["stop_reason"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(run["completed_at"].is_string());
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 1);
    assert_eq!(mock.post(&cancel, &json!({})).await, (StatusCode::CONFLICT, nothing));
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_what_waits_for_the_whole_answer_too() {
    let mock = Mock::new();
    let path = mock.path("/messages");
    let body = said("[tool look_up] [slow 1000] [words 100]");
    let cancel = async {
        // The first step is over by then.
        tokio::time::sleep(Duration::from_secs(30)).await;
        mock.post(&mock.path("/messages/cancel"), &json!({})).await
    };
    let ((status, answer), (cancelled, _)) = tokio::join!(mock.post(&path, &body), cancel);
    assert_eq!((status, cancelled), (StatusCode::OK, StatusCode::OK));
    assert_eq!(answer["stop_reason"]["stop_reason"], "cancelled");
    assert_eq!(
        each(&answer["messages"], "message_type"),
        ["reasoning_message", "tool_call_message", "tool_return_message"]
    );
    assert_eq!(mock.found(&path).await.as_array().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn runs_are_cancelled_by_name_too() {
    let mock = Mock::new();
    let begin = async || mock.post(&mock.path("/messages/async"), &said("[slow 1000]")).await.1["id"].clone();
    let (one, other) = (begin().await, begin().await);
    let body = json!({ "run_ids": [one, "run-x"] });
    let (status, answer) = mock.post(&mock.path("/messages/cancel"), &body).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ text(&one): "cancelled", "run-x": "failed" })));
    assert_eq!(mock.found(&format!("/v1/runs/{}", text(&other))).await["status"], "created");
    assert_eq!(mock.ended(text(&one)).await["status"], "cancelled");
}
