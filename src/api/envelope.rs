//! What every request gets: an id, a time limit, a line in the log, and a body for its problem.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, EXPECT};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::web::{Kind, Problem, REQUEST_ID, drain, has_several_hosts, request_id};

/// Longest time from a request's head to its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn wrap(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The template, not the path: a path may hold a token.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let waits_for_continue = request.headers().contains_key(EXPECT);
    let (request, rest) = {
        let (parts, body) = request.into_parts();
        let (body, rest) = drain::split(body);
        (Request::from_parts(parts, body), rest)
    };
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, answer(request, next)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Kind::Timeout,
            "the server did not get done in time; what was asked for may have been done all the same",
        )
        .into_response(),
    };
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let request_id = id.to_str().unwrap_or_default();
    let status = response.status().as_u16();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.log(request_id, method.as_str(), route);
        response = problem.render(&app.settings.issuer, response);
    }
    let took = started.elapsed();
    app.requests.note(route, method.as_str(), status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(target: "hallpass::http", request_id, %method, route, status, micros, "request");
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(rest) = rest
        && !rest.discard(waits_for_continue).await
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(request: Request, next: Next) -> Response {
    if has_several_hosts(request.headers()) {
        return Problem::new(Kind::InvalidRequest, "there are several `Host` headers: send one")
            .into_response();
    }
    next.run(request).await
}
