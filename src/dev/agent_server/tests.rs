//! The mock as the gateway sees it: through its router, on a clock of its own and with time that passes when
//! nothing else happens.

mod memory;
mod said;
mod steered;
mod threads;
mod wrong;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::AgentServer;
use crate::clock::{ManualClock, Timestamp};

/// A mock and a client of it.
struct Mock {
    server: Arc<AgentServer>,
    clock: Arc<ManualClock>,
    router: Router,
    /// The first agent.
    agent: String,
}

impl Mock {
    fn new() -> Self {
        Self::of_seed(7)
    }

    fn of_seed(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_769_860_800)));
        let server = AgentServer::new(seed, Arc::clone(&clock) as _);
        let agent = server.agents()[0].0.clone();
        Self { router: server.router("secret"), server, clock, agent }
    }

    /// The path of the first agent, and what follows.
    fn path(&self, rest: &str) -> String {
        format!("/v1/agents/{}{rest}", self.agent)
    }

    async fn ask(&self, method: &str, path: &str, body: Body) -> Response<Body> {
        let request = Request::builder().method(method).uri(path).header("authorization", "Bearer secret");
        let request = request.header("host", "localhost:1").body(body).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn answer(&self, method: &str, path: &str, body: Body) -> (StatusCode, Value) {
        let response = self.ask(method, path, body).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.answer("GET", path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.answer("POST", path, Body::from(body.to_string())).await
    }

    async fn patch(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.answer("PATCH", path, Body::from(body.to_string())).await
    }

    /// What is found at a path, which must be there.
    async fn found(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Says something to the first agent and waits for the reply.
    async fn say(&self, text: &str) -> Value {
        let (status, body) = self.post(&self.path("/messages"), &said(text)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// The events of a stream, to its end.
    async fn events(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.ask("POST", path, Body::from(body.to_string())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.ends_with("\n\n"));
        text.trim_end().split("\n\n").map(str::to_owned).collect()
    }

    /// The run once it isn't going on any more.
    async fn ended(&self, run: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(600);
        loop {
            let found = self.found(&format!("/v1/runs/{run}")).await;
            if !["created", "running"].contains(&text(&found["status"])) {
                return found;
            }
            assert!(Instant::now() < deadline, "the run goes on: {found}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn said(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

/// What is said, with further members of the body.
fn said_with(text: &str, more: &Value) -> Value {
    let mut body = said(text);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// One member of each object of a list.
fn each<'v>(list: &'v Value, member: &str) -> Vec<&'v str> {
    list.as_array().unwrap().iter().map(|entry| text(&entry[member])).collect()
}

/// The JSON of an event.
fn data(event: &str) -> Value {
    let line = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    serde_json::from_str(line).unwrap_or_else(|_| Value::from(line))
}

/// The types of events, without repetitions.
fn kinds(events: &[String]) -> Vec<String> {
    let kind = |event: &String| match data(event) {
        Value::String(end) => end,
        object => text(&object["message_type"]).to_owned(),
    };
    let mut kinds: Vec<_> = events.iter().map(kind).collect();
    kinds.dedup();
    kinds
}

#[tokio::test(start_paused = true)]
async fn only_those_who_know_the_secret_get_in() {
    let mock = Mock::new();
    for credential in
        [None, Some("Bearer wrong"), Some("Bearer secret2"), Some("secret"), Some("Basic secret")]
    {
        for path in ["/v1/agents/", "/v1/nothing"] {
            let request = Request::builder().uri(path);
            let request = match credential {
                Some(credential) => request.header("authorization", credential),
                None => request,
            };
            let response = mock.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, r#"{"detail":"Unauthorized"}"#);
        }
    }
    for path in ["/v1/health", "/v1/health/"] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = mock.router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"status":"ok","version":"0.16.8"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn paths_with_the_wrong_end_are_sent_on() {
    let mock = Mock::new();
    let agent = mock.path("");
    for (path, wanted) in [
        ("/v1/agents?limit=1".to_owned(), "/v1/agents/?limit=1".to_owned()),
        ("/v1/runs".to_owned(), "/v1/runs/".to_owned()),
        ("/v1/conversations".to_owned(), "/v1/conversations/".to_owned()),
        (format!("{agent}/"), agent.clone()),
        (format!("{agent}/messages/"), format!("{agent}/messages")),
    ] {
        let response = mock.ask("GET", &path, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()["location"], format!("http://localhost:1{wanted}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_mock_lacks_is_said_to_be_lacking() {
    let mock = Mock::new();
    let agent = mock.path("");
    for (method, path) in [
        ("GET", "/v1/nothing"),
        ("GET", "/latest/agents/"),
        ("POST", "/v1/agents/"),
        ("DELETE", agent.as_str()),
        ("POST", "/v1/client-side-access-tokens"),
        ("GET", &format!("{agent}/export")),
    ] {
        let (status, body) = mock.answer(method, path, Body::empty()).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text(&body["detail"]).starts_with(&format!("The mock agent server has no {method} {path}")));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_the_same_requests_give_the_same_answers() {
    let story = async |mock: Mock| {
        let conversation =
            mock.post(&format!("/v1/conversations/?agent_id={}", mock.agent), &json!({})).await.1;
        let path = format!("/v1/conversations/{}/messages", text(&conversation["id"]));
        let mut told = mock.events(&path, &said_with("hello", &json!({ "stream_tokens": true }))).await;
        told.push(mock.say("[tool look_up] and now?").await.to_string());
        told.push(mock.post(&mock.path("/archival-memory"), &json!({ "text": "tea" })).await.1.to_string());
        told.push(mock.found("/v1/runs/").await.to_string());
        told.push(mock.found(&mock.path("/messages")).await.to_string());
        told.push(mock.found("/v1/agents/").await.to_string());
        told
    };
    let first = story(Mock::of_seed(1)).await;
    assert_eq!(first, story(Mock::of_seed(1)).await);
    assert!(
        first
            .iter()
            .zip(story(Mock::of_seed(2)).await)
            .all(|(one, other)| *one != other || one == "data: [DONE]" || one.contains("stop_reason"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_everything_and_ends_what_goes_on() {
    let mock = Mock::new();
    let start = mock.found("/v1/agents/").await;
    let first = mock.say("hello").await;
    mock.patch(&mock.path(""), &json!({ "name": "Changed" })).await;
    mock.found("/v1/agents/agent-123e4567-e89b-42d3-8456-426614174000").await;
    let path = mock.path("/messages/stream");
    let open = mock.ask("POST", &path, Body::from(said("[slow 1000] [words 100]").to_string())).await;
    let mut body = open.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    mock.server.reset();
    let rest: Vec<_> = body.map(|piece| piece.unwrap()).collect().await;
    assert!(rest.len() < 3);
    assert_eq!(mock.found("/v1/agents/").await, start);
    assert_eq!(mock.found("/v1/runs/").await, json!([]));
    // Ids begin again, and nothing of the run before comes in between.
    assert_eq!(mock.say("hello").await, first);
    assert_eq!(each(&mock.found(&mock.path("/messages")).await, "message_type").len(), 4);
}
