//! The way of a request through the gateway: who asks, may they, what does the agent server get, what do
//! they get of its answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CONNECTION, EXPECT, HOST, ORIGIN, REFERER, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use percent_encoding::percent_decode_str;

use super::headers::{self, Sends};
use super::streams::{Holder, Place};
use super::upstream::Upstream;
use super::{Gateway, cors, refusal};
use crate::access::{
    self, Allowed, BadTarget, Decision, Denial, OriginHeader, Provenance, RequestBody, Route, Target,
    UpstreamBody,
};
use crate::keys::{ApiKey, Verified};
use crate::token::{TokenId, quote};
use crate::web::{Kind, Problem, REQUEST_ID, drain, request_id};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How long a client whose token has too much open waits before it asks again.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Requests that a token may have open: more than a page needs, and few enough that one token keeps nobody
/// else out.
const MOST_OPEN: usize = 64;

/// Longest target that is sent; written anew, a query may grow to three times its size.
const MOST_TARGET_BYTES: usize = 32 << 10;

/// Paths that are Hallpass's own, by their first segments; they are never passed on.
const OURS: [&str; 9] = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/errors",
    "/oauth",
    "/.well-known",
    "/forward-auth",
    "/v1/client-side-access-tokens",
];

/// Whether a path is Hallpass's own.
pub fn is_ours(path: &str) -> bool {
    OURS.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether some server might take a path for one of Hallpass's own: what follows it begins with a
/// character that ends a segment for some, such as `;`.
fn is_nearly_ours(path: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    OURS.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| !rest.starts_with(goes_on)))
}

/// What is said of a request in the log and in metrics.
pub(super) struct Trace<'g> {
    /// The row's path as it is written in the table; no path of a client.
    pub(super) route: &'g str,
    pub(super) jti: Option<TokenId>,
    /// Whether the agent server was asked, and so the body is its own affair.
    pub(super) sent: bool,
}

impl Gateway {
    /// Answers a request for the agent server.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let body = if body.is_end_stream() { Body::empty() } else { Body::new(body) };
        let (body, rest) = drain::split(body);
        let mut trace = Trace { route: "gateway", jti: None, sent: false };
        let outcome = AssertUnwindSafe(self.serve(&parts, body, peer, &mut trace)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(Problem::of_panic(&*panic).not_to_be_repeated()));
        let mut response = self.finish(&parts, &trace, started, outcome);
        if let Some(rest) = rest
            && response.status().is_client_error()
            && !trace.sent
            && !rest.discard(parts.headers.contains_key(EXPECT)).await
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
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
        response
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
            Holder::Key(key) => {
                trace.sent = true;
                Box::pin(self.serve_key(upstream, key, parts, body)).await
            }
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
        let target = Target::parse(raw_target(parts)?).map_err(bad_target)?;
        let own_origin = self.own_origin(&token, &parts.headers, &HOST, peer);
        let provenance = provenance(&parts.headers, own_origin.as_deref());
        let (mut owner, mut read, mut body) = (None, RequestBody::Unread, Some(body));
        let place = self.enter(&token)?;
        let allowed = loop {
            let decision = access::decide(
                &self.table,
                access::Request {
                    token: &token,
                    method: parts.method.as_str(),
                    target: &target,
                    provenance,
                    body: std::mem::replace(&mut read, RequestBody::Unread),
                    owner: owner.clone(),
                    now: self.app.now(),
                },
            );
            match decision {
                Decision::Allow(allowed) => break allowed,
                Decision::Deny(denial) => {
                    let row = self.table.row(parts.method.as_str(), &target);
                    trace.route = row.map_or(trace.route, |row| &row.template);
                    return Err(refusal::denied(denial));
                }
                Decision::NeedsOwner(owned) => {
                    // In a box, like all that is rare: what a request holds is moved about for each.
                    let find = self.owners.find(upstream, &self.buffers, &owned);
                    owner = Some(Box::pin(find).await?);
                }
                Decision::NeedsBody(route) => {
                    trace.route = &route.template;
                    // Before the body takes room, and not when the message has run.
                    if route.is_message {
                        self.count_stream(&place)?;
                    }
                    let body = body.take().unwrap_or_default();
                    read = Box::pin(self.read_json(&parts.headers, body)).await?;
                }
            }
        };
        trace.route = &allowed.route.template;
        self.count(&token, allowed.route)?;
        let rule = allowed.route.answer;
        let response = self.forward(upstream, parts, allowed, body.unwrap_or_default()).await?;
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

    /// Counts a message request, if it is one, before it is sent: afterwards it has run.
    fn count(&self, token: &Verified, route: &Route) -> Result<(), Problem> {
        if !route.is_message {
            return Ok(());
        }
        self.messages.take(&token.jti).map_err(|wait| {
            let detail = "the token has sent too many messages within a minute";
            Problem::too_many(detail, "too_many_messages", wait)
        })
    }

    /// A place among what the token has open.
    pub(super) fn enter(&self, token: &Arc<Verified>) -> Result<Place, Problem> {
        let holder = Holder::Token(token.clone());
        self.streams.enter(&holder, MOST_OPEN).ok_or_else(|| {
            let detail = "the token has too many requests open";
            Problem::too_many(detail, "too_many_requests", PLACE_WAIT)
        })
    }

    /// Has a request count as a stream: a message, whose answer may be one, or what turns out to be one.
    pub(super) fn count_stream(&self, place: &Place) -> Result<(), Problem> {
        if place.become_stream(self.settings.open_streams) {
            return Ok(());
        }
        let detail = "the token has too many messages or streams open";
        Err(Problem::too_many(detail, "too_many_streams", PLACE_WAIT))
    }

    async fn forward(
        &self,
        upstream: &Upstream,
        parts: &Parts,
        allowed: Allowed<'_>,
        body: Body,
    ) -> Result<Response<Incoming>, Problem> {
        let (sends, body) = match allowed.body {
            UpstreamBody::Nothing => (Sends::Nothing, Body::empty()),
            UpstreamBody::Json(json) => (Sends::Json, Body::from(json)),
            UpstreamBody::AsSent => {
                (Sends::AsSent, Body::from(Box::pin(self.read_body(body)).await?.into_bytes(())))
            }
        };
        let reads_answer = allowed.route.answer != access::AnswerRule::AsIs;
        let headers = headers::from_client(&parts.headers, sends, reads_answer);
        if allowed.path_and_query.len() > MOST_TARGET_BYTES {
            let rule = format!("the target must have at most {MOST_TARGET_BYTES} bytes");
            return Err(bad_target(BadTarget(rule)));
        }
        let target = PathAndQuery::try_from(allowed.path_and_query).map_err(Problem::internal)?;
        upstream.send(parts.method.clone(), target, headers, body).await
    }

    async fn serve_key(
        &self,
        upstream: &Upstream,
        key: Arc<ApiKey>,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        if parts.headers.contains_key(ORIGIN) {
            let detail = "this is an API key, and the request comes from a browser: a secret key has no place in a page";
            return Err(refusal::because(Kind::Forbidden, detail, "key_with_origin"));
        }
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
        let raw = raw_target(parts)?;
        refuse_ours(raw)?;
        let target = PathAndQuery::try_from(raw)
            .map_err(|_| bad_target(BadTarget(format!("the target is not valid: {}", quote(raw)))))?;
        let holder = Holder::Key(key);
        holder.standing(&self.app).await.map_err(refusal::token)?;
        let place = self.streams.enter(&holder, 0).ok_or_else(|| Problem::internal("no place for a key"))?;
        let headers = headers::from_key(parts.headers.clone());
        let response = upstream.send(parts.method.clone(), target, headers, body).await?;
        holder.standing(&self.app).await.map_err(|error| refusal::token(error).not_to_be_repeated())?;
        self.for_key(place, response)
    }

    /// The origin under which a request without `Origin` reached us: that of our public URL, or, if the
    /// token is for another, the name that a trusted proxy was asked for.
    pub(super) fn own_origin(
        &self,
        token: &Verified,
        headers: &HeaderMap,
        host: &HeaderName,
        peer: IpAddr,
    ) -> Option<String> {
        if headers.contains_key(ORIGIN) {
            return None;
        }
        let public = self.public_origin.as_deref()?;
        if public == token.origin.as_str() || !self.trusts(peer) {
            return Some(public.to_owned());
        }
        let scheme = match single(headers, &FORWARDED_PROTO) {
            Some(scheme @ (b"http" | b"https")) => std::str::from_utf8(scheme).ok()?,
            Some(_) => return None,
            None => public.split(':').next()?,
        };
        let host = std::str::from_utf8(single(headers, host)?).ok()?;
        let url = url::Url::parse(&format!("{scheme}://{host}")).ok()?;
        Some(url.origin().ascii_serialization())
    }
}

/// What a request says of the page that sent it.
pub(super) fn provenance<'a>(headers: &'a HeaderMap, own_origin: Option<&'a str>) -> Provenance<'a> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => OriginHeader::None,
        (Some(origin), None) => OriginHeader::One(origin.as_bytes()),
        (Some(_), Some(_)) => OriginHeader::Several,
    };
    Provenance {
        origin,
        sec_fetch_site: single(headers, &SEC_FETCH_SITE),
        referer: single(headers, &REFERER),
        own_origin,
    }
}

/// The value of a header that is there once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// The target as it was sent. Only proxies are asked with a whole URL in HTTP/1 (RFC 9112, section
/// 3.2.2), and several `Host`s leave open who is meant.
fn raw_target(parts: &Parts) -> Result<&str, Problem> {
    let whole = parts.version < Version::HTTP_2 && parts.uri.scheme().is_some();
    let hosts = parts.headers.get_all(HOST).iter().count();
    if whole || hosts > 1 {
        let detail =
            if whole { "the target must begin with `/`" } else { "there are several `Host` headers" };
        return Err(bad_target(BadTarget(detail.to_owned())));
    }
    Ok(parts.uri.path_and_query().map_or("", PathAndQuery::as_str))
}

pub(super) fn bad_target(error: BadTarget) -> Problem {
    refusal::denied(Denial::TargetNotValid(error.0))
}

/// Refuses what some server might take for a path of ours. Paths of an agent server may hold more than
/// those of the permission table, so this is about spellings only.
fn refuse_ours(raw: &str) -> Result<(), Problem> {
    let path = raw.split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8().ok();
    let odd = |path: &str| {
        !path.starts_with('/')
            || path.contains(['\\', '%'])
            || path.split('/').any(|segment| matches!(segment, "." | ".."))
            || path.contains("//")
    };
    match decoded {
        Some(decoded) if !odd(&decoded) => {
            if is_nearly_ours(&decoded.to_ascii_lowercase()) {
                Err(not_found())
            } else {
                Ok(())
            }
        }
        _ => {
            let text = format!(
                "the path must be plain, without dot segments or doubled slashes, got {}",
                quote(path)
            );
            Err(bad_target(BadTarget(text)))
        }
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

fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; `/docs` lists what there is")
}
