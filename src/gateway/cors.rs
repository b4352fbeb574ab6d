//! Which pages may read an answer (the Fetch standard, "CORS protocol").

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// What scripts may read of an answer besides the usual.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("retry-after, retry-after-ms, x-should-retry, x-request-id");

/// Methods of the permission table, and those that a deployment may add.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");

/// Seconds; the most that Chromium takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Whether a browser asks beforehand if it may send a request.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that. It comes without a token, so nobody knows yet which origin is right: any may ask,
/// and the request itself is judged.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    if let Some(origin) = reflectable(headers) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        // `*` doesn't cover `Authorization`.
        if let Some(names) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
    }
    answer.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    response
}

/// Lets the page that sent the request read an answer of ours: it says why it was refused, and holds
/// nothing of the agent server.
pub(super) fn allow_sender(request: &HeaderMap, answer: &mut HeaderMap) {
    if let Some(origin) = reflectable(request) {
        allow(origin, answer);
    }
    answer.append(VARY, VARY_ORIGIN);
}

/// Lets pages of one origin read the answer.
pub(super) fn allow(origin: HeaderValue, answer: &mut HeaderMap) {
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Tells caches that the answer is for one origin.
pub(super) fn vary(answer: &mut HeaderMap) {
    answer.append(VARY, VARY_ORIGIN);
}

/// The request's one origin; `null` stands for many.
fn reflectable(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next().filter(|origin| *origin != "null")?;
    origins.next().is_none().then(|| origin.clone())
}
