//! Forward-auth: another proxy asks whether a request may pass, and passes it itself. It can't rewrite
//! what it passes, so whatever needs more than a yes or no is refused here.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use super::admission::{provenance, single};
use super::proxy::Trace;
use super::{Gateway, refusal, target};
use futures_util::FutureExt;

use crate::access::{self, Allowed, Decision, Needs, RequestBody, Target};
use crate::web::{Kind, Problem};

/// Where other proxies ask.
const PATH: &str = "/forward-auth";

const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

const TOKEN_ID: HeaderName = HeaderName::from_static("x-hallpass-token-id");
const AGENT_ID: HeaderName = HeaderName::from_static("x-hallpass-agent-id");
const ACCESS: HeaderName = HeaderName::from_static("x-hallpass-access");

/// Whether a path is where other proxies ask; Envoy adds the path that it was asked for.
pub fn is_forward_auth(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Which proxy asks, and so which headers say what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proxy {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
    Haproxy,
}

/// What is decided about forward-auth.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardAuthSettings {
    /// Unset: nothing passes.
    pub proxy: Option<Proxy>,
    /// Lets pass what should be rewritten on its way and isn't.
    pub allow_unchecked: bool,
}

impl Gateway {
    /// Answers 200 if the request that another proxy asks about may pass, else 401 or 403; nothing else,
    /// since nginx makes a 500 of it.
    pub async fn forward_auth<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Body> {
        let started = Instant::now();
        let (parts, _body) = request.into_parts();
        let mut trace = Trace::new(PATH);
        let judged = AssertUnwindSafe(self.judge_forwarded(&parts, peer, &mut trace)).catch_unwind().await;
        let judged = judged.unwrap_or_else(|panic| Err(Problem::of_panic(&*panic)));
        let outcome = judged.map_err(|problem| match problem.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => problem,
            _ => problem.turned_into(Kind::Forbidden),
        });
        self.finish(&parts, &trace, started, outcome)
    }

    async fn judge_forwarded(
        &self,
        parts: &Parts,
        peer: IpAddr,
        trace: &mut Trace<'_>,
    ) -> Result<Response<Body>, Problem> {
        let forbidden = |detail: &str, reason| Err(refusal::because(Kind::Forbidden, detail, reason));
        let Some(proxy) = self.settings.forward_auth.proxy else {
            return forbidden(
                "forward-auth is off: `forward_auth.proxy` names the proxy that asks",
                "forward_auth_off",
            );
        };
        if !self.trusts(peer) {
            return forbidden("the proxy that asks isn't in `server.trusted_proxies`", "peer_not_trusted");
        }
        let Some((method, raw)) = asked(proxy, parts) else {
            return forbidden(
                "the headers that say what is asked are missing, repeated, or another proxy's; see `forward_auth.proxy`",
                "headers_not_valid",
            );
        };
        let token = self.token(&parts.headers, trace).await?;
        let target = Target::parse(raw).map_err(target::bad)?;
        let host = match proxy {
            Proxy::Traefik | Proxy::Caddy => &FORWARDED_HOST,
            Proxy::Nginx | Proxy::Envoy | Proxy::Haproxy => &HOST,
        };
        let own_origin = self.own_origin(&token, &parts.headers, host, peer);
        let mut owner = None;
        let allowed = loop {
            let request = access::Request {
                token: &token,
                method,
                target: &target,
                provenance: provenance(&parts.headers, own_origin.as_deref()),
                body: RequestBody::OutOfReach,
                owner: owner.clone(),
                now: self.app.now(),
            };
            match access::decide(&self.table, request) {
                Decision::Allow(allowed) => break allowed,
                Decision::Deny(denial) => return Err(refusal::denied(denial)),
                Decision::NeedsOwner(owned) => match &self.upstream {
                    Some(upstream) if self.settings.forward_auth.allow_unchecked => {
                        // In a box, since it is rare.
                        let find = self.owners.find(upstream, &self.buffers, &owned);
                        owner = Some(Box::pin(find).await?);
                    }
                    _ => {
                        return forbidden(
                            "whose this is must be looked up; the gateway does that",
                            "unchecked",
                        );
                    }
                },
                // Not with a body that is out of reach.
                Decision::NeedsBody(_) => {
                    return forbidden("the body must be read; the gateway does that", "unchecked");
                }
            }
        };
        if !self.settings.forward_auth.allow_unchecked {
            refuse_unchecked(&allowed)?;
        }
        Ok(yes(&token.jti.to_string(), &allowed))
    }
}

/// The method and target that a proxy asks about, if its headers and no other proxy's say so, each once.
fn asked(proxy: Proxy, parts: &Parts) -> Option<(&str, &str)> {
    let headers = &parts.headers;
    let (own, other) = match proxy {
        Proxy::Nginx | Proxy::Haproxy => (
            Some((&ORIGINAL_METHOD, &ORIGINAL_URI)),
            [Some(&FORWARDED_METHOD), Some(&FORWARDED_URI), None, None],
        ),
        Proxy::Traefik | Proxy::Caddy => (
            Some((&FORWARDED_METHOD, &FORWARDED_URI)),
            [Some(&ORIGINAL_METHOD), Some(&ORIGINAL_URI), None, None],
        ),
        Proxy::Envoy => (
            None,
            [Some(&ORIGINAL_METHOD), Some(&ORIGINAL_URI), Some(&FORWARDED_METHOD), Some(&FORWARDED_URI)],
        ),
    };
    if other.into_iter().flatten().any(|name| headers.contains_key(name)) {
        return None;
    }
    let Some((method, uri)) = own else {
        let target = parts.uri.path_and_query()?.as_str().strip_prefix(PATH)?;
        return Some((parts.method.as_str(), target));
    };
    let text = |name| single(headers, name).and_then(|value| std::str::from_utf8(value).ok());
    Some((text(method)?, text(uri)?))
}

fn refuse_unchecked(allowed: &Allowed<'_>) -> Result<(), Problem> {
    if !allowed.route.also.is_empty() {
        let detail =
            format!("this needs more than a yes or no, which forward-auth can't do: {}", allowed.route.also);
        return Err(refusal::because(Kind::Forbidden, detail, "unchecked"));
    }
    if let Some(key) = allowed.dropped_query.first() {
        let detail = format!("query {} can't be dropped by forward-auth", crate::token::quote(key));
        return Err(refusal::because(Kind::Forbidden, detail, "query_not_allowed"));
    }
    Ok(())
}

/// All three headers, always: what a client sent under these names is overwritten.
fn yes(jti: &str, allowed: &Allowed<'_>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(TOKEN_ID, value(jti));
    headers.insert(AGENT_ID, value(allowed.agent.as_ref().map_or("", |agent| agent.as_str())));
    let access = match allowed.route.needs {
        Needs::Access(access) => access.as_str(),
        Needs::AnyToken => "",
    };
    headers.insert(ACCESS, HeaderValue::from_static(access));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
