//! `/dev`: time and faults at will, and what was asked of late. It wants the development key, which every
//! page knows, so pages other than the developer's own are refused by their `Origin`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Dev;
use super::faults::Fault;
use super::front::bearer;
use crate::clock::Clock;
use crate::keys::{ApiKeyHash, DEV_API_KEY};
use crate::token::quote;
use crate::units;
use crate::web::{Kind, Problem, Why};

/// Largest body, in bytes.
const MOST_BODY_BYTES: usize = 4 << 10;

/// Whether a path is one of those below.
pub(super) fn is_control(path: &str) -> bool {
    path.strip_prefix("/dev").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn router(dev: Arc<Dev>) -> Router {
    Router::new()
        .route("/dev/clock", get(show_clock).post(advance_clock))
        .route("/dev/fault", get(show_faults).post(add_fault))
        .route("/dev/reset", post(reset))
        .route("/dev/log", get(show_log))
        .fallback(async || {
            Problem::new(Kind::NotFound, "here are `/dev/clock`, `/dev/fault`, `/dev/reset` and `/dev/log`")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                Kind::MethodNotAllowed,
                "the path does not take this method; the `Allow` header lists those that it takes",
            )
        })
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(from_fn_with_state(dev.clone(), guard))
        .with_state(dev)
}

/// Who may be here.
async fn guard(State(dev): State<Arc<Dev>>, request: Request, next: Next) -> Response {
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let origin = origins.next().cloned();
    let own = dev.parts.origin.as_str();
    let mut response = match &origin {
        Some(origin) if origin.as_bytes() != own.as_bytes() || origins.next().is_some() => {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            let detail = format!(
                "only pages of `{own}` may use `/dev`, which `hallpass dev --origin` names, got {}",
                quote(&origin)
            );
            return refusal(&dev, Problem::new(Kind::Forbidden, detail));
        }
        Some(_) if request.method() == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => match may_ask(request.headers(), request.method()) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&dev.parts.app.settings.issuer, response);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// The key, and for what changes something JSON: neither is sent by a page of another origin without
/// asking first, and then it is refused.
fn may_ask(headers: &HeaderMap, method: &Method) -> Result<(), Problem> {
    let key = bearer(headers).unwrap_or_default();
    if ApiKeyHash::of(key) != ApiKeyHash::of(DEV_API_KEY) {
        let detail = format!("`/dev` wants the development key: send `Authorization: Bearer {DEV_API_KEY}`");
        return Err(Problem::new(Kind::InvalidApiKey, detail));
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    if method == Method::POST && !essence.eq_ignore_ascii_case(b"application/json") {
        let detail = format!(
            "the `Content-Type` must be `application/json`, got {}",
            quote(&String::from_utf8_lossy(kind))
        );
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(())
}

/// A request that isn't for this machine by its `Host`.
pub(super) fn not_local() -> Problem {
    let detail = "`hallpass dev` takes requests for `localhost` and `127.0.0.1` alone, by their `Host`: whoever \
                  reaches it by another name may be a page that has no business here";
    let why = Why { reason: "host_not_local", ..Why::default() };
    Problem::new(Kind::Forbidden, detail).because(why)
}

pub(super) fn refusal(dev: &Dev, problem: Problem) -> Response<Body> {
    let mut response = problem.into_response();
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(&dev.parts.app.settings.issuer, response),
        None => response,
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(Kind::InvalidRequest, format!("the body is not what is wanted here: {error}"))
    })
}

type Answer = Result<axum::Json<Value>, Problem>;

async fn show_clock(State(dev): State<Arc<Dev>>) -> Answer {
    let clock = &dev.parts.clock;
    Ok(axum::Json(json!({"now": clock.now(), "ahead_seconds": clock.ahead().as_secs()})))
}

async fn advance_clock(State(dev): State<Arc<Dev>>, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        advance: String,
    }
    let Wanted { advance } = read(&body)?;
    let wrong = |rule: String| Problem::new(Kind::InvalidRequest, format!("`advance` {rule}"));
    let by: Duration = units::parse_duration(&advance).map_err(wrong)?;
    if !dev.parts.clock.advance(by) {
        return Err(wrong("takes the clock too far ahead: ten years is the most".to_owned()));
    }
    show_clock(State(dev)).await
}

async fn show_faults(State(dev): State<Arc<Dev>>) -> Answer {
    Ok(axum::Json(json!({"waiting": dev.faults.waiting()})))
}

async fn add_fault(State(dev): State<Arc<Dev>>, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    dev.faults.add(fault).map_err(|rule| Problem::new(Kind::InvalidRequest, rule))?;
    show_faults(State(dev)).await
}

async fn reset(State(dev): State<Arc<Dev>>) -> Answer {
    dev.reset().await.map_err(Problem::internal)?;
    show_clock(State(dev)).await
}

async fn show_log(State(dev): State<Arc<Dev>>) -> Answer {
    let requests = serde_json::to_value(dev.journal.entries()).map_err(Problem::internal)?;
    Ok(axum::Json(json!({"requests": requests})))
}
