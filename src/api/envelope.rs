//! What every request gets: an id, a time limit, a line in the log, and a body for its problem.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Kind, Problem, drain};
use crate::app::App;
use crate::keys::random_bytes;

/// Longest time from a request's head to its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MOST_ID_CHARS: usize = 64;

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
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
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
        if let Some(cause) = &problem.cause {
            match (problem.kind, cause.known) {
                (Kind::Internal, _) => {
                    tracing::error!(request_id, %method, route, error = cause.text, "request failed")
                }
                (_, false) => {
                    tracing::warn!(request_id, %method, route, error = cause.text, "request refused")
                }
                (_, true) => {
                    tracing::debug!(request_id, %method, route, error = cause.text, "request refused")
                }
            }
        }
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

/// The caller's id if it is harmless in a log, so that one id follows a request through a proxy;
/// else a new one. Dots are not allowed: no token passes for an id.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(REQUEST_ID)
        && (1..=MOST_ID_CHARS).contains(&given.len())
        && given.as_bytes().iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
        && !given.as_bytes().starts_with(b"sk-")
    {
        return given.clone();
    }
    let id = format!("{:016x}", u64::from_ne_bytes(random_bytes()));
    HeaderValue::try_from(id).expect("hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &'static str) -> String {
        let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(given))]);
        request_id(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_harmless_id_is_kept() {
        assert_eq!(id_for("6d1f-ab_9"), "6d1f-ab_9");
    }

    #[test]
    fn another_id_is_replaced() {
        for given in ["", "a b", "eyJh.eyJz.c2ln", "sk-hp-secret", "x\"y"] {
            let id = id_for(given);
            assert!(id != given && id.len() == 16, "{given}");
        }
    }
}
