//! For orchestrators and load balancers: is the process up, and can it do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Kind, Problem};
use crate::app::App;

/// The state of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// Liveness
///
/// The process answers. A failure means that it should be restarted.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "alive",
    responses((status = 200, description = "The process is up", body = Health))
)]
pub(super) async fn alive() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(Health { status: "ok" })).into_response()
}

/// Readiness
///
/// Tokens can be issued: the database takes reads and writes, and there is an API key.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "ready",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready; `detail` says why", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let impediments = app.impediments().await;
    if impediments.is_empty() {
        return Ok(([(CACHE_CONTROL, "no-store")], Json(Health { status: "ready" })).into_response());
    }
    Err(Problem::new(Kind::Unavailable, format!("not ready: {}", impediments.join("; "))))
}
