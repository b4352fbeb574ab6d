//! Whether a client token's request may pass: the decision, with what it asks for looked up and read, and
//! the token's limits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{HOST, ORIGIN, REFERER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::proxy::Trace;
use super::streams::{Holder, Place};
use super::upstream::Upstream;
use super::{Gateway, refusal, target};
use crate::access::{self, Allowed, Decision, OriginHeader, Provenance, RequestBody, Route, Target};
use crate::keys::Verified;
use crate::web::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How long a client whose token has too much open waits before it asks again.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Requests that a token may have open: more than a page needs, and few enough that one token keeps nobody
/// else out.
const MOST_OPEN: usize = 64;

/// A request with a client token.
pub(super) struct Asked<'a> {
    pub(super) token: &'a Arc<Verified>,
    pub(super) place: &'a Place,
    pub(super) parts: &'a Parts,
    pub(super) peer: IpAddr,
}

impl Gateway {
    /// Decides, as often as it takes. The body comes back if nobody had to read it.
    pub(super) async fn admit<'g>(
        &'g self,
        upstream: &Upstream,
        asked: Asked<'_>,
        body: Body,
        trace: &mut Trace<'g>,
    ) -> Result<(Allowed<'g>, Body), Problem> {
        let Asked { token, place, parts, peer } = asked;
        let target = Target::parse(target::as_sent(parts)?).map_err(target::bad)?;
        let own_origin = self.own_origin(token, &parts.headers, &HOST, peer);
        let provenance = provenance(&parts.headers, own_origin.as_deref());
        let (mut owner, mut read, mut body) = (None, RequestBody::Unread, Some(body));
        let allowed = loop {
            let decision = access::decide(
                &self.table,
                access::Request {
                    token,
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
                        self.count_stream(place)?;
                    }
                    let body = body.take().unwrap_or_default();
                    read = Box::pin(self.read_json(&parts.headers, body)).await?;
                }
            }
        };
        trace.route = &allowed.route.template;
        self.count(token, allowed.route)?;
        Ok((allowed, body.unwrap_or_default()))
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
