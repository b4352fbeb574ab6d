//! From the agent server's answer to the client's.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Body as _;
use serde_json::{Value, json};

use super::buffer::Failure;
use super::passing::{Bytewise, Endings, Events, Patience};
use super::streams::Place;
use super::upstream::Answer;
use super::{Gateway, headers, refusal};
use crate::access::AnswerRule;
use crate::web::{Kind, Problem};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Largest answer that is read to take something out of it.
const MOST_BYTES: usize = 8 << 20;

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
        rule: AnswerRule,
        place: Place,
        response: Response<Answer>,
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
        *answer.headers_mut() = headers::to_client(parts.headers);
        if status.is_client_error() {
            *answer.body_mut() = Box::pin(self.client_error(status, body)).await?.into();
            set_json(&mut answer);
            return Ok(answer);
        }
        let is_encoded = answer.headers().contains_key(CONTENT_ENCODING);
        if is_event_stream(answer.headers()) {
            if is_encoded {
                return Err(unreadable("the stream is compressed"));
            }
            self.count_stream(&place)?;
            set_stream(answer.headers_mut());
            *answer.body_mut() =
                Body::new(Events::new(body, place, rule, self.patience(), self.endings.clone()));
        } else if rule == AnswerRule::AsIs {
            *answer.body_mut() = Body::new(Bytewise::new(body, place, self.patience()));
        } else if !body.is_end_stream() {
            if is_encoded {
                return Err(unreadable("it is compressed"));
            }
            *answer.body_mut() = Box::pin(self.redacted(rule, body, place)).await?;
            set_json(&mut answer);
        }
        Ok(answer)
    }

    /// The answer to an API key: whole.
    pub(super) fn for_key(
        &self,
        place: Place,
        response: Response<Answer>,
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
            Body::new(Events::new(body, place, AnswerRule::AsIs, self.patience(), self.endings.clone()))
        } else {
            Body::new(Bytewise::new(body, place, self.patience()))
        };
        Ok(answer)
    }

    fn patience(&self) -> Patience {
        Patience::new(self.settings.idle_timeout)
    }

    /// The answer's JSON without what must not be seen. It keeps its room, and its place, until it is sent.
    async fn redacted(&self, rule: AnswerRule, body: Answer, place: Place) -> Result<Body, Problem> {
        let explain = |failure| match failure {
            Failure::TooLarge => unreadable(&format!("it has more than {} MiB", MOST_BYTES >> 20)),
            Failure::NoRoom => busy(),
            Failure::TooSlow => Problem::new(Kind::UpstreamTimeout, "the agent server fell silent"),
            Failure::BrokeOff(cause) => {
                Problem::new(Kind::UpstreamUnreachable, "the agent server broke off").caused_by(cause)
            }
        };
        let read = self.buffers.read(body, MOST_BYTES, self.settings.idle_timeout);
        let mut whole = read.await.map_err(explain)?;
        self.buffers.take_for_parsing(&mut whole).map_err(explain)?;
        let is_small = whole.is_small();
        let redact = move || -> Result<_, Problem> {
            let mut value: Value =
                serde_json::from_slice(&whole.bytes).map_err(|_| unreadable("it is no JSON"))?;
            rule.redact(&mut value);
            let bytes = serde_json::to_vec(&value).map_err(Problem::internal)?;
            Ok(whole.replaced_by(bytes))
        };
        // A large answer keeps a core busy for a while, which requests must not wait for.
        let redacted = if is_small {
            redact()
        } else {
            let _turn = self.parsers.acquire().await.map_err(Problem::internal)?;
            tokio::task::spawn_blocking(redact).await.map_err(Problem::internal)?
        };
        Ok(redacted?.into_bytes(place).into())
    }

    /// What is said of a status 4xx. The agent server's texts name its users and quote the provider of its
    /// language model; only what it says of the request's own form passes.
    async fn client_error(&self, status: StatusCode, body: Answer) -> Result<Vec<u8>, Problem> {
        #[derive(serde::Deserialize)]
        struct Given {
            detail: Value,
        }
        let text = format!("the agent server answered {}", status.as_u16());
        let mut answer = json!({"detail": text, "message": text});
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Ok(whole) = self.buffers.read(body, MOST_REFUSAL_BYTES, self.settings.idle_timeout).await
            && let Ok(Given { detail }) = serde_json::from_slice(&whole.bytes)
        {
            answer["detail"] = detail;
        }
        serde_json::to_vec(&answer).map_err(Problem::internal)
    }
}

/// All room for bodies is taken.
pub(super) fn busy() -> Problem {
    Problem::new(Kind::Unavailable, "the gateway holds too many large bodies at a time; try again")
}

/// What streams say that can't go on; `issuer` is the base of a problem's `type`.
pub(super) fn endings(issuer: &str) -> Endings {
    let json =
        |problem: Problem| String::from_utf8(problem.with_reason().to_json(issuer)).unwrap_or_default();
    Endings {
        broke_off: json(Problem::new(Kind::UpstreamUnreachable, "the agent server broke off")),
        too_slow: json(Problem::new(Kind::UpstreamTimeout, "the agent server fell silent")),
        unreadable: json(unreadable("an event is no JSON, or too large")),
        not_read: json(refusal::because(Kind::RequestTimeout, "the answer was not read", "not_read")),
        stopping: json(refusal::because(
            Kind::Unavailable,
            "the server is stopping; see what the agent has said, and go on from there",
            "stopping",
        )),
    }
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
