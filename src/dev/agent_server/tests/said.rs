//! What is said to an agent, and its history.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Mock, data, each, kinds, said_with, text};

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_members_of_letta() {
    let mock = Mock::new();
    let answer = mock.say("good morning").await;
    let run = mock.found("/v1/runs/").await[0].clone();
    let said = answer["messages"].as_array().unwrap();
    let (reasoning, reply) = (&said[0], &said[1]);
    assert_eq!(
        *reply,
        json!({
            "id": reasoning["id"], "date": "2026-01-31T12:00:00+00:00", "name": null,
            "message_type": "assistant_message", "otid": reply["otid"], "sender_id": null,
            "step_id": reasoning["step_id"], "is_err": null, "seq_id": null, "run_id": run["id"],
            "content": reply["content"]
        })
    );
    assert!(text(&reply["content"]).contains("“good morning”"));
    assert_eq!(
        (&reasoning["message_type"], &reasoning["source"], &reasoning["signature"]),
        (&json!("reasoning_message"), &json!("reasoner_model"), &Value::Null)
    );
    assert_ne!(reasoning["otid"], reply["otid"]);
    assert_eq!(answer["stop_reason"], json!({ "message_type": "stop_reason", "stop_reason": "end_turn" }));
    assert_eq!((&answer["logprobs"], &answer["turns"]), (&Value::Null, &Value::Null));
    let usage = &answer["usage"];
    assert_eq!(
        usage["total_tokens"],
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
    assert_eq!((&usage["step_count"], &usage["cached_input_tokens"]), (&json!(1), &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn the_history_begins_with_the_prompt_and_grows() {
    let mock = Mock::new();
    let path = mock.path("/messages");
    assert_eq!(each(&mock.found(&path).await, "message_type"), ["system_message"]);
    mock.say("one").await;
    mock.say("two").await;
    let history = mock.found(&path).await;
    let kinds = ["user_message", "reasoning_message", "assistant_message"];
    assert_eq!(each(&history, "message_type"), [&["system_message"][..], &kinds, &kinds].concat());
    assert_eq!((&history[1]["content"], &history[4]["content"]), (&json!("one"), &json!("two")));
    assert_ne!(history[3]["content"], history[6]["content"]);
    let agent = mock.found(&mock.path("")).await;
    assert_eq!(agent["message_ids"].as_array().unwrap().len(), 5);
    assert_eq!(agent["last_stop_reason"], "end_turn");
}

#[tokio::test(start_paused = true)]
async fn pages_of_the_history_are_cut_by_what_was_said_and_not_by_how_it_is_shown() {
    let mock = Mock::new();
    mock.say("one").await;
    mock.say("two").await;
    let list = async |query: &str| mock.found(&mock.path(&format!("/messages?{query}"))).await;
    // The newest two, which are shown as three, in the order in which they were said.
    let newest = list("limit=2").await;
    assert_eq!(each(&newest, "message_type"), ["user_message", "reasoning_message", "assistant_message"]);
    assert_eq!(newest[0]["content"], "two");
    assert_eq!(each(&list("limit=2&order=asc").await, "message_type"), ["system_message", "user_message"]);
    let before = list(&format!("limit=1&before={}", text(&newest[0]["id"]))).await;
    assert_eq!(each(&before, "message_type"), ["reasoning_message", "assistant_message"]);
    assert_eq!(list(&format!("after={}", text(&newest[0]["id"]))).await[1], newest[2]);
    let only =
        list("include_return_message_types=user_message&include_return_message_types=system_message").await;
    assert_eq!(each(&only, "message_type"), ["system_message", "user_message", "user_message"]);
    assert_eq!(list("limit=0").await, json!([]));
    assert_eq!(list("group_id=group-1").await, json!([]));
    for cursor in ["before", "after"] {
        let (status, body) = mock.get(&mock.path(&format!("/messages?{cursor}=x"))).await;
        let detail = format!("No message found with id 'x' for agent '{}'.", mock.agent);
        assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({ "detail": detail })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_whole_messages() {
    let mock = Mock::new();
    let events = mock
        .events(&mock.path("/messages/stream"), &said_with("hello", &json!({ "streaming": false })))
        .await;
    let whole =
        ["ping", "reasoning_message", "assistant_message", "stop_reason", "usage_statistics", "[DONE]"];
    assert_eq!(kinds(&events), whole);
    assert_eq!(events.len(), whole.len());
    let history = mock.found(&mock.path("/messages")).await;
    assert_eq!(history.as_array().unwrap()[2..], [data(&events[1]), data(&events[2])]);
    let ping = data(&events[0]);
    assert_eq!(ping["run_id"], data(&events[1])["run_id"]);
    assert!(text(&ping["id"]).starts_with("ping-"));
    let other = mock
        .events(
            &mock.path("/messages"),
            &said_with("hello", &json!({ "streaming": true, "include_pings": false })),
        )
        .await;
    assert_eq!(kinds(&other), whole[1..]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_tokens_tells_the_same_in_pieces_of_one_id() {
    let mock = Mock::new();
    let body = said_with("hello there", &json!({ "stream_tokens": true }));
    let events = mock.events(&mock.path("/messages/stream"), &body).await;
    let history = mock.found(&mock.path("/messages")).await;
    for (kind, member, kept) in
        [("reasoning_message", "reasoning", &history[2]), ("assistant_message", "content", &history[3])]
    {
        let pieces: Vec<_> =
            events.iter().map(|event| data(event)).filter(|event| event["message_type"] == kind).collect();
        assert!(pieces.len() > 2);
        let whole: String = pieces.iter().map(|piece| text(&piece[member])).collect();
        assert_eq!(whole, text(&kept[member]));
        assert!(pieces.iter().all(|piece| piece["id"] == kept["id"] && piece["otid"] == kept["otid"]));
    }
    let usage = data(&events[events.len() - 2]);
    assert_eq!((&usage["cached_input_tokens"], &usage["reasoning_tokens"]), (&Value::Null, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_comes_soon_and_the_others_at_an_even_pace() {
    let mock = Mock::new();
    let body = said_with("hello", &json!({ "stream_tokens": true, "include_pings": false }));
    let start = Instant::now();
    let response = mock.ask("POST", &mock.path("/messages/stream"), Body::from(body.to_string())).await;
    let mut pieces = response.into_body().into_data_stream();
    let mut times = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        let kind = data(std::str::from_utf8(&piece).unwrap())["message_type"].clone();
        if kind == "reasoning_message" || kind == "assistant_message" {
            times.push(start.elapsed());
        }
    }
    assert!(times.len() > 10 && times[0] < Duration::from_millis(80), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(30)), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_types_that_are_wanted_are_told() {
    let mock = Mock::new();
    let body = said_with("hello", &json!({ "include_return_message_types": ["assistant_message"] }));
    let (_, answer) = mock.post(&mock.path("/messages"), &body).await;
    assert_eq!(each(&answer["messages"], "message_type"), ["assistant_message"]);
    let events = mock.events(&mock.path("/messages/stream"), &body).await;
    assert_eq!(kinds(&events), ["ping", "assistant_message", "stop_reason", "usage_statistics", "[DONE]"]);
    let run = data(&events[0])["run_id"].clone();
    let kept = mock.found(&format!("/v1/runs/{}/messages", text(&run))).await;
    assert_eq!(each(&kept, "message_type"), ["assistant_message"]);
}

#[tokio::test(start_paused = true)]
async fn texts_parts_and_input_are_all_understood() {
    let mock = Mock::new();
    let image =
        json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "" } });
    let part = |text: &str| json!({ "type": "text", "text": text });
    let parts = json!([part("see"), image, part("this")]);
    let first = json!({ "role": "user", "content": "first" });
    let mut last = json!({ "role": "user", "type": "message", "content": "see this" });
    (last["otid"], last["name"]) = (json!("mine"), json!("Tester"));
    let in_parts = |parts: Value| json!({ "messages": [{ "role": "user", "content": parts }] });
    for (body, kept) in [
        (json!({ "input": "see this" }), json!("see this")),
        (in_parts(json!([part("see this")])), json!("see this")),
        (in_parts(parts.clone()), parts),
        (json!({ "messages": [first, last] }), json!("see this")),
    ] {
        let (status, answer) = mock.post(&mock.path("/messages"), &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(text(&answer["messages"][1]["content"]).contains("“see this”"));
        let history = mock.found(&mock.path("/messages?limit=2")).await;
        assert_eq!(history[0]["content"], kept);
    }
    let history = mock.found(&mock.path("/messages?limit=2")).await;
    assert_eq!((&history[0]["otid"], &history[0]["name"]), (&json!("mine"), &json!("Tester")));
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_when_its_listener_leaves() {
    let mock = Mock::new();
    let body = said_with("[words 40] hello", &json!({ "stream_tokens": true }));
    let response = mock.ask("POST", &mock.path("/messages/stream"), Body::from(body.to_string())).await;
    let mut pieces = response.into_body().into_data_stream();
    let ping = pieces.next().await.unwrap().unwrap();
    let run = data(std::str::from_utf8(&ping).unwrap())["run_id"].clone();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    assert_eq!(mock.found(&format!("/v1/runs/{}", text(&run))).await["status"], "running");
    assert_eq!(mock.found(&mock.path("/messages")).await.as_array().unwrap().len(), 1);
    assert_eq!(mock.ended(text(&run)).await["status"], "completed");
    let history = mock.found(&mock.path("/messages")).await;
    assert_eq!(text(&history[3]["content"]).split(' ').count(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_pings_every_twenty_seconds() {
    let mock = Mock::new();
    for (pings, wanted) in [(true, 5), (false, 0)] {
        let body = said_with("[slow 10000] [words 6]", &json!({ "include_pings": pings }));
        let start = Instant::now();
        let events = mock.events(&mock.path("/messages/stream"), &body).await;
        let took = start.elapsed();
        // One at once, one for each full 20 s; the words of the reasoning take their time too.
        let silences = usize::try_from(took.as_secs() / 20).unwrap();
        let count = events.iter().filter(|event| event.contains(r#""message_type":"ping""#)).count();
        assert_eq!(count, if pings { 1 + silences } else { 0 });
        assert!(count >= wanted, "{took:?}");
    }
}
