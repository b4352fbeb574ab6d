//! The way of a request through the gateway: who asks, may they, what does the agent server get, what do
//! they get of its answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, EXPECT, ORIGIN, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, Request, Response};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};

use super::account::{Account, Sent};
use super::admission::Asked;
use super::headers::{self, Sends};
use super::streams::Holder;
use super::upstream::{Answer, Upstream};
use super::{Gateway, cors, refusal, target};
use crate::access::{Allowed, AnswerRule, UpstreamBody};
use crate::keys::{ApiKey, Verified};
use crate::token::{AgentId, TokenId};
use crate::web::{Kind, Problem, REQUEST_ID, drain, request_id};

/// What is said of a request in the log and in metrics.
pub(super) struct Trace<'g> {
    /// The row's path as it is written in the table; no path of a client.
    pub(super) route: &'g str,
    pub(super) jti: Option<TokenId>,
    /// Whether the agent server was asked, and so the body is its own affair.
    pub(super) sent: bool,
    /// What it was asked, if somebody wants to know.
    pub(super) account: Option<Box<Sent>>,
}

impl<'g> Trace<'g> {
    pub(super) fn new(route: &'g str) -> Self {
        Self { route, jti: None, sent: false, account: None }
    }
}

impl Gateway {
    /// Answers a request for the agent server.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let body = if body.is_end_stream() { Body::empty() } else { Body::new(body) };
        let (body, rest) = drain::split(body);
        let mut trace = Trace::new("gateway");
        // In a box: what is handed on from here is small.
        let outcome = Box::pin(self.serve(&parts, body, peer, &mut trace));
        let outcome = AssertUnwindSafe(outcome).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(Problem::of_panic(&*panic).not_to_be_repeated()));
        let mut response = self.finish(&parts, &trace, started, outcome);
        // Whatever the answer: a row may need no body, and a client may send one.
        if let Some(rest) = rest
            && !trace.sent
            && !rest.discard(parts.headers.contains_key(EXPECT)).await
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Refuses a request with a token as the gateway would, whatever it asks for.
    pub fn refuse(&self, parts: &Parts, problem: Problem) -> Response<Body> {
        self.finish(parts, &Trace::new("gateway"), Instant::now(), Err(problem))
    }

    /// Gives an answer its id, and a refusal its body and its line in the log.
    pub(super) fn finish(
        &self,
        parts: &Parts,
        trace: &Trace<'_>,
        started: Instant,
        outcome: Result<Response<Body>, Problem>,
    ) -> Response<Body> {
        let id = request_id(&parts.headers);
        let request_id = id.to_str().unwrap_or_default();
        // Anybody may invent methods, and long ones.
        let (method, route) = (known(&parts.method), trace.route);
        let mut response = outcome.unwrap_or_else(|problem| {
            let problem = problem.with_reason();
            problem.log(request_id, method, route);
            if let Some(reason) = problem.reason().filter(|_| problem.status().is_client_error()) {
                self.app.denials.increment(reason);
                let jti = trace.jti.map(tracing::field::display);
                tracing::info!(request_id, method, route, jti, reason, "denied");
            }
            let mut response = problem.into_response();
            if let Some(problem) = response.extensions_mut().remove::<Problem>() {
                response = problem.render(&self.app.settings.issuer, response);
            }
            cors::allow_sender(&parts.headers, response.headers_mut());
            response
        });
        let (status, took) = (response.status().as_u16(), started.elapsed());
        self.app.requests.note(route, method, status, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(target: "hallpass::http", request_id, method, route, status, micros, "request");
        response.headers_mut().insert(REQUEST_ID, id);
        if self.settings.gives_account {
            let sent = trace.account.as_deref().cloned();
            response.extensions_mut().insert(Account { route: route.into(), token_id: trace.jti, sent });
        }
        response
    }

    /// Notes what the agent server is about to be sent, if somebody wants to know.
    fn note_sent(
        &self,
        trace: &mut Trace<'_>,
        agent: Option<&AgentId>,
        method: &Method,
        target: &PathAndQuery,
        body: Option<&Bytes>,
    ) {
        if self.settings.gives_account {
            let (method, target) = (method.clone(), target.to_string());
            trace.account =
                Some(Box::new(Sent { agent: agent.cloned(), method, target, body: body.cloned() }));
        }
    }

    async fn serve<'g>(
        &'g self,
        parts: &Parts,
        body: Body,
        peer: IpAddr,
        trace: &mut Trace<'g>,
    ) -> Result<Response<Body>, Problem> {
        let upstream = self.upstream.as_ref().ok_or_else(not_found)?;
        if cors::is_preflight(&parts.method, &parts.headers) {
            return Ok(cors::preflight(&parts.headers));
        }
        if parts.headers.get(UPGRADE).is_some_and(|to| !to.as_bytes().eq_ignore_ascii_case(b"h2c")) {
            let detail = "the gateway passes no upgrades, such as to a WebSocket";
            return Err(refusal::because(Kind::NotImplemented, detail, "upgrade"));
        }
        match self.holder(&parts.headers, trace).await? {
            Holder::Token(token) => self.serve_token(upstream, token, parts, body, peer, trace).await,
            Holder::Key(key) => Box::pin(self.serve_key(upstream, key, parts, body, trace)).await,
        }
    }

    async fn serve_token<'g>(
        &'g self,
        upstream: &Upstream,
        token: Arc<Verified>,
        parts: &Parts,
        body: Body,
        peer: IpAddr,
        trace: &mut Trace<'g>,
    ) -> Result<Response<Body>, Problem> {
        let place = self.enter(&token)?;
        let (allowed, body) =
            self.admit(upstream, Asked { token: &token, place: &place, parts, peer }, body, trace).await?;
        trace.route = &allowed.route.template;
        let rule = allowed.route.answer;
        let response = self.forward(upstream, parts, allowed, body, trace).await?;
        let answered = async {
            let response = self.for_client(rule, place, response).await?;
            // It may have been revoked while the body came, or the agent server worked; from here on, what is
            // open is watched.
            self.app.standing(&token).await.map_err(refusal::token)?;
            Ok(response)
        };
        // What was asked for has been done.
        let mut response = answered.await.map_err(Problem::not_to_be_repeated)?;
        if parts.headers.contains_key(ORIGIN)
            && let Ok(origin) = HeaderValue::from_str(token.origin.as_str())
        {
            cors::allow(origin, response.headers_mut());
        }
        cors::vary(response.headers_mut());
        Ok(response)
    }

    async fn forward(
        &self,
        upstream: &Upstream,
        parts: &Parts,
        allowed: Allowed<'_>,
        body: Body,
        trace: &mut Trace<'_>,
    ) -> Result<Response<Answer>, Problem> {
        let (sends, body) = match allowed.body {
            UpstreamBody::Nothing => (Sends::Nothing, Bytes::new()),
            UpstreamBody::Json(json) => (Sends::Json, Bytes::from(json)),
            UpstreamBody::AsSent => (Sends::AsSent, Box::pin(self.read_body(body)).await?.into_bytes(())),
        };
        let reads_answer = allowed.route.answer != AnswerRule::AsIs;
        let headers = headers::from_client(&parts.headers, sends, reads_answer);
        let target = target::rebuilt(allowed.path_and_query, &parts.uri)?;
        self.note_sent(trace, allowed.agent.as_ref(), &parts.method, &target, Some(&body));
        upstream.send(parts.method.clone(), target, headers, Body::from(body)).await
    }

    async fn serve_key(
        &self,
        upstream: &Upstream,
        key: Arc<ApiKey>,
        parts: &Parts,
        body: Body,
        trace: &mut Trace<'_>,
    ) -> Result<Response<Body>, Problem> {
        if !key.gateway {
            let detail =
                "this API key may ask for tokens and not pass the gateway; one made with `--gateway` may";
            return Err(refusal::because(Kind::InvalidToken, detail, "invalid_token"));
        }
        if parts.headers.contains_key(ORIGIN) {
            let detail = "this is an API key, and the request comes from a browser: a secret key has no place in a page";
            return Err(refusal::because(Kind::Forbidden, detail, "key_with_origin"));
        }
        // A tunnel, and an echo of the request with our own secret in it.
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            let detail = format!("the gateway does not pass {}", parts.method);
            return Err(Problem::new(Kind::MethodNotAllowed, detail));
        }
        let target = target::of_key(parts)?;
        let holder = Holder::Key(key);
        holder.standing(&self.app).await.map_err(refusal::token)?;
        let place = self.streams.enter(&holder, 0).ok_or_else(|| Problem::internal("no place for a key"))?;
        let headers = headers::from_key(parts.headers.clone());
        self.note_sent(trace, None, &parts.method, &target, None);
        trace.sent = true;
        let response = upstream.send(parts.method.clone(), target, headers, body).await?;
        holder.standing(&self.app).await.map_err(|error| refusal::token(error).not_to_be_repeated())?;
        self.for_key(place, response)
    }
}

fn known(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "other" }
}

pub(super) fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; `/docs` lists what there is")
}
