//! The way of a request through `hallpass dev`: as through the server, with what the developer asked for
//! around it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::faults::{Fault, Kind};
use super::journal::{Decision, Entry, shown_path};
use super::stream::Watched;
use super::{Dev, control, host};
use crate::clock::Clock;
use crate::gateway::{Account, is_ours, is_preflight};
use crate::server::{self, Answers};
use crate::token::unverified_id;
use crate::web::{Problem, REQUEST_ID, request_id};

/// The server, with what stands around it.
#[derive(Clone)]
pub struct Front {
    server: server::Front,
    control: TowerToHyperService<Router>,
    dev: Arc<Dev>,
}

impl Front {
    pub fn new(dev: Arc<Dev>) -> Self {
        let (app, gateway) = (dev.parts.app.clone(), dev.parts.gateway.clone());
        let control = TowerToHyperService::new(control::router(dev.clone()));
        Self { server: server::Front::new(app, gateway), control, dev }
    }

    /// Refuses as the gateway does. The body stays unread, and so the connection can't be used again.
    fn refuse(&self, request: Request<Incoming>, problem: Problem) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut response = self.dev.parts.gateway.refuse(&parts, problem);
        if !body.is_end_stream() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Has the server answer, and meets the fault that waits for this request.
    async fn serve(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        fault: Option<&Fault>,
    ) -> Result<Response<Body>, Infallible> {
        let dev = &self.dev;
        match fault.map(|fault| (fault.next, fault)) {
            Some((Kind::TooMany, _)) => {
                let detail = "the token has sent too many messages within a minute";
                let problem = Problem::too_many(detail, "too_many_messages", std::time::Duration::ZERO);
                return Ok(self.refuse(request, problem));
            }
            Some((Kind::Slow, fault)) => tokio::time::sleep(fault.delay()).await,
            Some((Kind::Revoke, _)) => {
                if let Some(token) = bearer(request.headers()).and_then(unverified_id)
                    && let Err(error) = dev.revoke(token).await
                {
                    return Ok(self.refuse(request, error.into()));
                }
            }
            Some((Kind::RotateKeys, _)) => {
                if let Err(error) = dev.parts.app.rotate_signing_keys(true).await {
                    return Ok(self.refuse(request, Problem::internal(error)));
                }
            }
            Some((Kind::DropStream, _)) | None => {}
        }
        self.server.clone().answer(request, peer).await
    }
}

impl Answers for Front {
    async fn answer(self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Body>, Infallible> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let asked = Asked::of(&self.dev, &parts);
        let is_local = host::is_loopback(&parts);
        let request = Request::from_parts(parts, body);
        if is_local && control::is_control(request.uri().path()) {
            return self.control.call(request).await;
        }
        let fault = if asked.meets_faults && is_local { self.dev.faults.for_request() } else { None };
        let response = if is_local {
            Box::pin(self.serve(request, peer, fault.as_ref())).await?
        } else {
            let mut refusal = control::refusal(&self.dev, control::not_local());
            refusal.headers_mut().insert(REQUEST_ID, request_id(request.headers()));
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            refusal
        };
        Ok(self.dev.note(asked, fault.as_ref(), started, response).await)
    }

    fn end_streams(&self) {
        self.server.end_streams();
    }
}

/// What the journal tells of a request.
struct Asked {
    entry: Entry,
    /// Whether a fault may hit it: a page sends it to the agent server.
    meets_faults: bool,
}

impl Asked {
    fn of(dev: &Dev, parts: &Parts) -> Self {
        let text = |name: &HeaderName| {
            parts
                .headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(256).collect::<String>())
        };
        let is_own = is_ours(parts.uri.path());
        let decision = match (is_own, is_preflight(&parts.method, &parts.headers)) {
            (true, _) => Decision::Own,
            (false, true) => Decision::Preflight,
            (false, false) => Decision::Deny,
        };
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let entry = Entry {
            id: String::new(),
            at: dev.parts.clock.now(),
            method: parts.method.as_str().chars().take(16).collect(),
            path: shown_path(target),
            status: 0,
            decision,
            reason: None,
            detail: None,
            route: None,
            token_id: None,
            origin: text(&ORIGIN),
            fault: None,
            ms: 0,
            upstream: None,
            stream: None,
        };
        let has_token = bearer(&parts.headers).is_some_and(|credential| credential.contains('.'));
        Self { entry, meets_faults: decision == Decision::Deny && has_token }
    }
}

impl Dev {
    /// Writes a request down, prints it, and watches its answer if that is a stream.
    async fn note(
        self: &Arc<Self>,
        asked: Asked,
        fault: Option<&Fault>,
        started: Instant,
        mut response: Response<Body>,
    ) -> Response<Body> {
        let Asked { mut entry, meets_faults } = asked;
        let account = response.extensions_mut().remove::<Account>();
        entry.id = text_of(response.headers(), &REQUEST_ID);
        entry.status = response.status().as_u16();
        entry.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut token = None;
        if let Some(Account { route, token_id, sent }) = account {
            token = token_id;
            entry.token_id = token_id.map(|id| id.to_string());
            if entry.decision == Decision::Deny {
                entry.route = Some(route.to_string());
            }
            if let Some(sent) = sent {
                entry.decision = Decision::Allow;
                entry.upstream = Some(sent.into());
            }
        }
        let is_stream = text_of(response.headers(), &CONTENT_TYPE).starts_with("text/event-stream");
        let stream_fault = if meets_faults && is_stream { self.faults.for_stream() } else { None };
        entry.fault = fault.or(stream_fault.as_ref()).map(|fault| fault.next.name());
        if response.status().is_client_error() || response.status().is_server_error() {
            response = explained(&mut entry, response).await;
        }
        self.parts.lines.request(&entry);
        let number = self.journal.add(entry.clone());
        if !is_stream {
            return response;
        }
        let fault = stream_fault.map(|fault| (fault, token));
        response.map(|body| Body::new(Watched::new(body, self.clone(), number, entry, fault)))
    }
}

/// Takes over what a refusal says of itself. Its body is in memory already.
async fn explained(entry: &mut Entry, response: Response<Body>) -> Response<Body> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        r#type: Option<String>,
        reason: Option<String>,
        detail: Option<String>,
    }
    if text_of(response.headers(), &CONTENT_TYPE) != "application/problem+json" {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return parts.status.into_response();
    };
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(&body) {
        let kind = refusal.r#type.as_deref().and_then(|kind| kind.rsplit('/').next()).map(str::to_owned);
        entry.reason = refusal.reason.or(kind);
        entry.detail = refusal.detail;
    }
    Response::from_parts(parts, body.into())
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credential) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}
