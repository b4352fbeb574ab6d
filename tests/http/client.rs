//! A server for one test and clients that speak to it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hallpass::app::{App, Settings};
use hallpass::clock::{ManualClock, Timestamp};
use hallpass::keys::{Algorithm, MasterKeySource};
use hallpass::store::{SqliteStore, Store};
use hallpass::token::Limits;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

pub const TOKENS: &str = "/v1/client-side-access-tokens";
pub const ISSUER: &str = "https://tokens.example.com";

/// 2026-01-31T12:00:00.000Z
pub fn noon() -> Timestamp {
    Timestamp::from_millis(1_769_860_800_000)
}

pub fn settings() -> Settings {
    Settings {
        issuer: ISSUER.to_owned(),
        audience: "letta".to_owned(),
        limits: Limits { default_ttl: Duration::from_secs(300), max_ttl: Duration::from_secs(86_400) },
        max_token_bytes: 8192,
        algorithm: Algorithm::EdDSA,
        rotate_every: Duration::from_secs(90 * 86_400),
        retention: Duration::from_secs(30 * 86_400),
        max_staleness: Duration::from_secs(30),
        lists_per_minute: 0,
    }
}

/// A server with one API key in project `default`.
pub struct Server {
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    router: Router,
    dir: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> (Self, Client) {
        Self::start_with(settings()).await
    }

    pub async fn start_with(settings: Settings) -> (Self, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hallpass.db");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, true).await.unwrap());
        let clock = Arc::new(ManualClock::new(noon()));
        let master = MasterKeySource::beside(&path);
        let app = Arc::new(App::open(store, clock.clone(), settings, &master, None).await.unwrap());
        let server = Self { router: hallpass::api::router(app.clone()), app, clock, dir };
        let client = server.client_of("default").await;
        (server, client)
    }

    /// Where its database is.
    pub fn database(&self) -> std::path::PathBuf {
        self.dir.path().join("hallpass.db")
    }

    /// A client with a new API key of a project.
    pub async fn client_of(&self, project: &str) -> Client {
        let (key, _) = self.app.create_api_key("test", &project.parse().unwrap(), false).await.unwrap();
        self.app.refresh().await.unwrap();
        Client { router: self.router.clone(), key: Some(key.secret.to_string()) }
    }

    /// A client without an API key.
    pub fn stranger(&self) -> Client {
        Client { router: self.router.clone(), key: None }
    }
}

#[derive(Clone)]
pub struct Client {
    router: Router,
    pub key: Option<String>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts a whole problem, but for the texts, and returns `detail`.
    #[track_caller]
    pub fn problem(&self, status: u16, name: &str, title: &str) -> String {
        let mut body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let fields = body.as_object_mut().unwrap();
        let detail = fields.remove("detail").unwrap();
        assert_eq!(fields.remove("message").as_ref(), Some(&detail));
        fields.remove("errors");
        fields.remove("error");
        let expected = json!({"type": format!("{ISSUER}/errors/{name}"), "title": title, "status": status});
        assert_eq!(body, expected);
        detail.as_str().unwrap().to_owned()
    }

    /// The fields of a problem's `errors`, in order.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{body}"));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

impl Client {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, token: &str) -> Answer {
        self.send(self.request(Method::DELETE, &format!("{TOKENS}/{token}")).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", content_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn create(&self, body: &Value) -> Answer {
        self.post(TOKENS, "application/json", body.to_string()).await
    }

    /// Issues a token for an agent and returns the answer's body.
    #[track_caller]
    pub fn issue(&self, agent: &str) -> impl Future<Output = Value> {
        let (client, body) = (self.clone(), request_for(agent));
        async move {
            let answer = client.create(&body).await;
            assert_eq!(answer.status, 201, "{:?}", answer.body);
            answer.json()
        }
    }

    pub async fn form(&self, path: &str, body: &str) -> Answer {
        self.post(path, "application/x-www-form-urlencoded", body.to_owned()).await
    }

    pub async fn introspect(&self, token: &str) -> Value {
        let answer = self.form("/oauth/introspect", &format!("token={token}")).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()
    }

    pub async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await["active"].as_bool().unwrap()
    }
}

/// A right request for a token.
pub fn request_for(agent: &str) -> Value {
    json!({
        "hostname": "https://app.example.com",
        "policy": [{"type": "agent", "id": agent, "access": ["read_messages", "write_messages"]}],
    })
}

/// The payload of a token.
pub fn claims(token: &str) -> Value {
    decode_segment(token, 1)
}

pub fn decode_segment(token: &str, index: usize) -> Value {
    use base64::Engine;
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(segment).unwrap())
        .unwrap()
}

pub fn token_of(body: &Value) -> String {
    body["token"].as_str().unwrap().to_owned()
}
