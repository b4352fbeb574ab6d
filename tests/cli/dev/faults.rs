//! Faults that were asked for.

use serde_json::{Value, json};

use super::{AGENT, PAGE, status, text};
use crate::workspace::{Server, Workspace, wait_until};

/// The raw answer to a message that is streamed.
fn stream(server: &Server, token: &str, says: &str) -> (String, String) {
    let authorization = format!("Bearer {token}");
    let headers =
        [("authorization", authorization.as_str()), ("origin", PAGE), ("content-type", "application/json")];
    let body = json!({"messages": [{"role": "user", "content": says}], "stream_tokens": true}).to_string();
    server.exchange("POST", &format!("/v1/agents/{AGENT}/messages/stream"), &headers, &body)
}

fn events(body: &str) -> usize {
    body.matches("data: ").count()
}

#[test]
fn too_many_messages_looks_as_in_earnest_and_passes() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    server.fault(r#"{"next": "429", "times": 2}"#);
    assert_eq!(server.read(&token), (429, json!("too_many_messages")));
    assert_eq!(server.read(&token), (429, json!("too_many_messages")));
    assert_eq!(server.read(&token), (200, Value::Null));
    let requests = server.requests();
    assert_eq!(text(&requests[1], "fault"), "429");
    assert_eq!(requests[3].get("fault"), None);
}

#[test]
fn a_fault_hits_pages_alone() {
    let server = Workspace::new().dev(&[]);
    server.fault(r#"{"next": "429"}"#);
    let token = server.token();
    assert_eq!(server.request("GET", "/v1/agents/", super::KEY, "").0, 200);
    let preflight = [("origin", PAGE), ("access-control-request-method", "POST")];
    let (head, _) = server.exchange("OPTIONS", &format!("/v1/agents/{AGENT}/messages"), &preflight, "");
    assert_eq!(status(&head), 204);
    assert_eq!(server.read(&token).0, 429);
}

#[test]
fn a_slow_answer_is_late_and_right() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    server.fault(r#"{"next": "slow", "ms": 300}"#);
    assert_eq!(server.read(&token), (200, Value::Null));
    assert!(server.requests()[1]["ms"].as_u64().unwrap() >= 300);
}

#[test]
fn a_token_is_revoked_before_the_next_request() {
    let server = Workspace::new().dev(&[]);
    let (token, other) = (server.token(), server.token());
    server.fault(r#"{"next": "revoke"}"#);
    assert_eq!(server.read(&token), (401, json!("token_revoked")));
    assert_eq!(server.read(&token), (401, json!("token_revoked")));
    assert_eq!(server.read(&other), (200, Value::Null));
}

#[test]
fn a_token_is_revoked_in_the_middle_of_its_stream() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    server.fault(r#"{"next": "revoke", "events": 2}"#);
    assert_eq!(server.read(&token), (200, Value::Null), "it waits for a stream");
    let (head, body) = stream(&server, &token, "[words 200] [slow 50]");
    assert_eq!(status(&head), 200);
    assert!(body.contains("event: error") && body.contains("token_revoked"), "{body}");
    assert!(events(&body) > 2 && !body.contains("[DONE]"), "{body}");
    assert_eq!(server.read(&token), (401, json!("token_revoked")));
    wait_until("the log tells how the stream ended", || {
        server.requests().iter().any(|request| request["stream"]["ended"] == "token_revoked")
    });
}

#[test]
fn a_connection_breaks_in_the_middle_of_a_stream() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    server.fault(r#"{"next": "drop-stream", "events": 4}"#);
    let (head, body) = stream(&server, &token, "[words 50]");
    assert_eq!(status(&head), 200);
    assert_eq!(events(&body), 4, "{body}");
    assert!(!body.ends_with("0\r\n\r\n"), "an answer that ends well didn't break: {body}");
    wait_until("the log tells how the stream ended", || {
        server.requests().iter().any(|request| request["stream"] == json!({"events": 4, "ended": "dropped"}))
    });
    // The next one is whole.
    let (_, body) = stream(&server, &token, "[words 3]");
    assert!(body.contains("[DONE]") && body.ends_with("0\r\n\r\n"), "{body}");
}

#[test]
fn keys_rotate_and_tokens_stay_good() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    server.fault(r#"{"next": "rotate-keys"}"#);
    assert_eq!(server.read(&token), (200, Value::Null));
    let after = server.token();
    assert_ne!(kid(&after), kid(&token), "another key signs");
    assert_eq!(server.read(&after), (200, Value::Null));
}

#[test]
fn an_expired_token_ends_its_stream() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    server.fault(r#"{"next": "slow", "ms": 1}"#);
    std::thread::scope(|scope| {
        let streaming = scope.spawn(|| stream(&server, &token, "[words 500] [slow 100]"));
        wait_until("the stream is open", || server.requests().len() > 1);
        server.control("POST", "/dev/clock", r#"{"advance": "6m"}"#);
        let (_, body) = streaming.join().unwrap();
        assert!(body.contains("event: error") && body.contains("token_expired"), "{body}");
    });
}

#[test]
fn a_fault_that_makes_no_sense_is_refused_and_told() {
    let server = Workspace::new().dev(&[]);
    for (body, rule) in [
        (r#"{"next": "boom"}"#, "expected one of `429`, `drop-stream`, `slow`, `revoke`, `rotate-keys`"),
        (r#"{"next": "429", "times": 0}"#, "`times` must be from 1 to 100"),
        (r#"{"next": "429", "time": 1}"#, "unknown field `time`"),
        ("[]", "the body is not what is wanted"),
    ] {
        let (status, answer) = server.control("POST", "/dev/fault", body);
        assert_eq!(status, 400, "{body}");
        assert!(text(&answer, "detail").contains(rule), "{answer}");
    }
}
