//! The routes of the mock: those of the permission table, and the list of agents.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::header::{AUTHORIZATION, HOST, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, patch, post};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::AgentServer;
use super::failure::Failure;

mod agents;
mod archive;
mod conversations;
mod memory;
mod messages;
mod runs;

/// As much as the gateway lets pass.
const MAX_BODY: usize = 8 << 20;

/// What handlers work with.
type Server = State<Arc<AgentServer>>;

pub(super) fn router(server: Arc<AgentServer>, secret: &str) -> Router {
    let rows: [(&str, MethodRouter<Arc<AgentServer>>); 20] = [
        ("/v1/health/", get(health)),
        ("/v1/agents/", get(agents::list_agents)),
        ("/v1/agents/{agent}", get(agents::retrieve_agent).patch(agents::modify_agent)),
        ("/v1/agents/{agent}/messages", get(messages::list_messages).post(messages::send_message)),
        ("/v1/agents/{agent}/messages/stream", post(messages::stream_message)),
        ("/v1/agents/{agent}/messages/async", post(messages::send_message_async)),
        ("/v1/agents/{agent}/messages/cancel", post(messages::cancel_messages)),
        ("/v1/agents/{agent}/core-memory", get(memory::retrieve_memory)),
        ("/v1/agents/{agent}/core-memory/blocks", get(memory::list_blocks)),
        (
            "/v1/agents/{agent}/core-memory/blocks/{label}",
            get(memory::retrieve_block).merge(patch(memory::modify_block)),
        ),
        ("/v1/agents/{agent}/archival-memory", get(archive::list_passages).post(archive::create_passage)),
        ("/v1/agents/{agent}/archival-memory/search", get(archive::search_passages)),
        (
            "/v1/conversations/",
            get(conversations::list_conversations).post(conversations::create_conversation),
        ),
        ("/v1/conversations/{conversation}", get(conversations::retrieve_conversation)),
        (
            "/v1/conversations/{conversation}/messages",
            get(conversations::list_messages).post(conversations::send_message),
        ),
        ("/v1/conversations/{conversation}/cancel", post(conversations::cancel_conversation)),
        ("/v1/runs/", get(runs::list_runs)),
        ("/v1/runs/{run}", get(runs::retrieve_run)),
        ("/v1/runs/{run}/messages", get(runs::list_messages)),
        ("/v1/runs/{run}/usage", get(runs::retrieve_usage)),
    ];
    let mut router = Router::new();
    for (path, methods) in rows {
        let other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        router = router.route(path, methods);
        // Letta takes this one both ways.
        router = if path == "/v1/health/" {
            router.route(&other, get(health))
        } else {
            router.route(&other, any(redirect))
        };
    }
    let wanted: Arc<str> = format!("Bearer {secret}").into();
    router
        .fallback(not_here)
        .method_not_allowed_fallback(not_here)
        .with_state(server)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(move |request, next| authorize(Arc::clone(&wanted), request, next)))
}

/// Lets only those in who know the secret, but for the question whether anybody is there.
async fn authorize(wanted: Arc<str>, request: Request<axum::body::Body>, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let is_open = matches!(request.uri().path(), "/v1/health" | "/v1/health/");
    if is_open || bool::from(given.ct_eq(wanted.as_bytes())) {
        return next.run(request).await;
    }
    Failure::detail(StatusCode::UNAUTHORIZED, "Unauthorized").into_response()
}

async fn health() -> Response {
    axum::Json(json!({ "version": "0.16.8", "status": "ok" })).into_response()
}

/// Sends on to the same path with or without its last slash, as Letta does.
async fn redirect(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let path = match uri.path().strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{}/", uri.path()),
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, format!("http://{host}{path}{query}"))]).into_response()
}

async fn not_here(method: Method, OriginalUri(uri): OriginalUri) -> Failure {
    let path: String = uri.path().chars().take(256).collect();
    Failure::not_found(format!(
        "The mock agent server has no {method} {path}: only what client tokens may ask for, and GET /v1/agents/"
    ))
}
