//! From the agent server's answer to the client's.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::buffer::Failure;
use super::passing::{Bytewise, Endings, Events, Patience};
use super::streams::{Holder, Place};
use super::{Gateway, headers};
use crate::access::AnswerRule;
use crate::keys::Verified;
use crate::web::{Kind, Problem};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An answer of known length up to this many bytes isn't watched while it is sent: it is on its way at
/// once.
const SHORT: u64 = 64 << 10;

/// Largest answer that is read to take something out of it.
const MOST_BYTES: usize = 16 << 20;

/// Largest answer of status 4xx that is read.
const MOST_REFUSAL_BYTES: usize = 64 << 10;

/// The agent server's refusal of what the gateway itself may not do, or its failure. Its texts stay here:
/// they name what is behind the gateway.
pub(super) fn upstream_refusal(status: StatusCode) -> Problem {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Problem::new(
            Kind::UpstreamAuth,
            format!(
                "the agent server answered {} to the gateway; your token is not the problem",
                status.as_u16()
            ),
        ),
        status if status.is_redirection() => Problem::new(
            Kind::UpstreamFailed,
            "the agent server answered with a redirect, which the gateway does not follow",
        ),
        status => {
            Problem::new(Kind::UpstreamFailed, format!("the agent server answered {}", status.as_u16()))
        }
    }
    .caused_by(format!("the agent server answered {}", status.as_u16()))
}

impl Gateway {
    /// The answer for a client token's holder.
    pub(super) async fn for_client(
        &self,
        token: &Arc<Verified>,
        rule: AnswerRule,
        place: Option<Place>,
        response: Response<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let status = response.status();
        if status.is_informational()
            || status.is_redirection()
            || status.is_server_error()
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        {
            return Err(upstream_refusal(status));
        }
        let (parts, body) = response.into_parts();
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers::to_client(&parts.headers);
        if status.is_client_error() {
            *answer.body_mut() = self.client_error(status, body).await?.into();
            set_json(&mut answer);
            return Ok(answer);
        }
        let is_encoded = parts.headers.contains_key(CONTENT_ENCODING);
        if is_event_stream(&parts.headers) {
            if is_encoded {
                return Err(unreadable("the stream is compressed"));
            }
            let place = match place {
                Some(place) => place,
                None => self.enter(token)?,
            };
            set_stream(answer.headers_mut());
            *answer.body_mut() = Body::new(Events::new(body, place, rule, self.patience(), self.endings()));
        } else if rule == AnswerRule::AsIs {
            *answer.body_mut() = self.bytewise(&Holder::Token(token.clone()), body, place);
        } else if !body.is_end_stream() {
            if is_encoded {
                return Err(unreadable("it is compressed"));
            }
            *answer.body_mut() = self.redacted(rule, body).await?.into();
            set_json(&mut answer);
        }
        Ok(answer)
    }

    /// The answer to an API key: whole.
    pub(super) fn for_key(
        &self,
        holder: &Holder,
        response: Response<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let status = response.status();
        if status.is_informational()
            || status.is_redirection() && status != StatusCode::NOT_MODIFIED
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        {
            return Err(upstream_refusal(status));
        }
        let (parts, body) = response.into_parts();
        let is_event_stream = is_event_stream(&parts.headers);
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers::to_key(parts.headers);
        *answer.body_mut() = if is_event_stream && !answer.headers().contains_key(CONTENT_ENCODING) {
            set_stream(answer.headers_mut());
            let place = self.streams.enter(holder, 0).ok_or_else(|| Problem::internal("no place"))?;
            Body::new(Events::new(body, place, AnswerRule::AsIs, self.patience(), self.endings()))
        } else {
            self.bytewise(holder, body, None)
        };
        Ok(answer)
    }

    fn bytewise(&self, holder: &Holder, body: Incoming, place: Option<Place>) -> Body {
        if body.size_hint().exact().is_some_and(|length| length <= SHORT) {
            return Body::new(Bytewise::new(body, None, self.patience()));
        }
        let place = place.or_else(|| self.streams.enter(holder, 0));
        Body::new(Bytewise::new(body, place, self.patience()))
    }

    fn patience(&self) -> Patience {
        Patience::new(self.settings.idle_timeout)
    }

    fn endings(&self) -> Endings {
        Endings {
            broke_off: self.json(Problem::new(Kind::UpstreamUnreachable, "the agent server broke off")),
            too_slow: self.json(Problem::new(Kind::UpstreamTimeout, "the agent server fell silent")),
            unreadable: self.json(unreadable("an event is no JSON, or too large")),
        }
    }

    /// The answer's JSON without what must not be seen.
    async fn redacted(&self, rule: AnswerRule, body: Incoming) -> Result<Vec<u8>, Problem> {
        let whole = self.buffers.read(body, MOST_BYTES, self.settings.idle_timeout).await;
        let whole = whole.map_err(|failure| match failure {
            Failure::TooLarge => unreadable(&format!("it has more than {} MiB", MOST_BYTES >> 20)),
            Failure::NoRoom => busy(),
            Failure::TooSlow => Problem::new(Kind::UpstreamTimeout, "the agent server fell silent"),
            Failure::BrokeOff(cause) => {
                Problem::new(Kind::UpstreamUnreachable, "the agent server broke off").caused_by(cause)
            }
        })?;
        let mut value: Value =
            serde_json::from_slice(&whole.bytes).map_err(|_| unreadable("it is no JSON"))?;
        rule.redact(&mut value);
        serde_json::to_vec(&value).map_err(Problem::internal)
    }

    /// What is said of a status 4xx. The agent server's texts name its users and quote the provider of its
    /// language model; only what it says of the request's own form passes.
    async fn client_error(&self, status: StatusCode, body: Incoming) -> Result<Vec<u8>, Problem> {
        let text = format!("the agent server answered {}", status.as_u16());
        let mut answer = json!({"detail": text, "message": text});
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Ok(whole) = self.buffers.read(body, MOST_REFUSAL_BYTES, self.settings.idle_timeout).await
            && let Ok(mut given) = serde_json::from_slice::<Value>(&whole.bytes)
        {
            answer["detail"] = given["detail"].take();
        }
        serde_json::to_vec(&answer).map_err(Problem::internal)
    }
}

/// All room for bodies is taken.
pub(super) fn busy() -> Problem {
    Problem::new(Kind::Unavailable, "the gateway holds too many large bodies at a time; try again")
}

fn unreadable(what: &str) -> Problem {
    let detail = format!("the agent server's answer can't be checked for what a token may not see: {what}");
    Problem::new(Kind::UpstreamInvalid, detail.clone()).caused_by(detail)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|c| *c == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Nothing between here and the page may hold events back.
fn set_stream(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

fn set_json(answer: &mut Response<Body>) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}
