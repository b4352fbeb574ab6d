//! Errors as clients see them: problem details (RFC 9457), with a `message`, which is what Letta's
//! clients show. [`Problem`] is the only error that becomes a response.

mod causes;

use std::any::Any;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Kind;
use crate::token::FieldError;

const MOST_RETRY_SECONDS: u64 = 30;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Seconds after which a client may try again when the server can't serve for now.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error on its way to the client. The envelope gives it its body.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    challenge: Option<HeaderValue>,
    oauth_error: Option<&'static str>,
    why: Option<Box<Why>>,
    /// Whether sending the request again could do twice what it asks for.
    is_final: bool,
    /// For the log alone.
    cause: Option<Cause>,
}

/// Why a request that came with a client token, or should have, was refused: a stable code, and what
/// a program may want to know besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Why {
    pub(crate) reason: &'static str,
    pub(crate) expired_seconds: Option<i64>,
    pub(crate) expected_origin: Option<String>,
    pub(crate) needed_access: Option<&'static str>,
    pub(crate) field: Option<String>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

/// What the log says of a server's fault.
#[derive(Clone, Debug)]
struct Cause {
    text: String,
    /// Said once already, where the fault arose: one failing disk fails thousands of requests.
    known: bool,
}

/// The body of every error.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A URL that names the kind of problem and explains it.
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// The same as `detail`; Letta's clients show this.
    message: String,
    /// Each mistake of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The error code of RFC 6749, section 5.2, on the OAuth endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Why a client token didn't get what it asked for: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// With `token_expired`: how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_seconds: Option<i64>,
    /// With `origin_missing` and `origin_mismatch`: the origin that the token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_origin: Option<String>,
    /// With `access_missing`: the access that the token would have to grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_access: Option<&'static str>,
    /// With `field_not_allowed` and `query_not_valid`: the field or the query key.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: None,
            oauth_error: None,
            why: None,
            is_final: false,
            cause: None,
        }
    }

    /// Mistakes in a request, all of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::with_errors(Kind::InvalidRequest, errors)
    }

    fn with_errors(kind: Kind, errors: Vec<FieldError>) -> Self {
        let detail = FieldError::list(&errors);
        Self { errors, ..Self::new(kind, detail) }
    }

    /// A failure of the server; the client learns no more than that.
    pub fn internal(cause: impl ToString) -> Self {
        let detail = "the server failed; its log has the cause under this answer's `x-request-id`";
        Self {
            cause: Some(Cause { text: cause.to_string(), known: false }),
            ..Self::new(Kind::Internal, detail)
        }
    }

    /// One text for every way a credential can be wrong: what was close is nobody's business.
    pub(crate) fn refused_key() -> Self {
        let detail = "the API key is not valid: it is unknown or revoked, or what was sent is not an API key";
        Self::new(Kind::InvalidApiKey, detail)
            .challenge(HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    /// A panic that was caught; its message goes to the log.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("of an unknown kind");
        Self::internal(format!("panic: {message}"))
    }

    /// With a `WWW-Authenticate` of its own.
    pub(crate) fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// With an error code of RFC 6749, section 5.2.
    pub(crate) fn oauth(mut self, code: &'static str) -> Self {
        self.oauth_error = Some(code);
        self
    }

    /// With a stable reason.
    pub(crate) fn because(mut self, why: Why) -> Self {
        self.why = Some(Box::new(why));
        self
    }

    /// Told in a way that Letta's clients don't send the request again: it may have been carried out.
    pub(crate) fn not_to_be_repeated(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// With the reason that goes with its kind, unless it has a closer one.
    pub(crate) fn with_reason(mut self) -> Self {
        let reason = self.kind.reason();
        self.why.get_or_insert_with(|| Box::new(Why { reason, ..Why::default() }));
        self
    }

    /// With what the log says of it, and the client doesn't learn.
    pub(crate) fn caused_by(mut self, cause: impl ToString) -> Self {
        self.cause = Some(Cause { text: cause.to_string(), known: false });
        self
    }

    /// The stable reason, if it has one.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.why.as_ref().map(|why| why.reason)
    }

    /// Too many of something; to be tried again after some seconds. Letta's clients wait for as long as
    /// they are told, so no more than half a minute.
    pub(crate) fn too_many(detail: &str, reason: &'static str, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(1).min(MOST_RETRY_SECONDS);
        let why = Why { reason, retry_after: Some(seconds), ..Why::default() };
        Self::new(Kind::RateLimited, detail).because(why)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The same of another kind, for who understands no other; it keeps its reason.
    pub(crate) fn turned_into(self, kind: Kind) -> Self {
        Self { kind, challenge: None, ..self.with_reason() }
    }

    /// Writes what caused it to the log, under the request's id.
    pub(crate) fn log(&self, request_id: &str, method: &str, route: &str) {
        let Some(cause) = &self.cause else {
            return;
        };
        let (reason, error) = (self.reason(), &cause.text);
        match (self.kind, cause.known) {
            (Kind::Internal, _) => {
                tracing::error!(request_id, method, route, reason, error, "request failed")
            }
            (_, false) => tracing::warn!(request_id, method, route, reason, error, "request refused"),
            (_, true) => tracing::debug!(request_id, method, route, reason, error, "request refused"),
        }
    }

    /// The body as JSON. `issuer` is the base of `type`.
    pub(crate) fn to_json(&self, issuer: &str) -> Vec<u8> {
        let why = self.why.as_deref();
        let body = ProblemBody {
            r#type: format!("{issuer}/errors/{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            message: self.detail.clone(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            error: self.oauth_error,
            reason: self.reason(),
            expired_seconds: why.and_then(|why| why.expired_seconds),
            expected_origin: why.and_then(|why| why.expected_origin.clone()),
            needed_access: why.and_then(|why| why.needed_access),
            field: why.and_then(|why| why.field.clone()),
        };
        serde_json::to_vec(&body).expect("strings and numbers are always JSON")
    }

    /// Writes the body. `issuer` is the base of `type`.
    pub(crate) fn render(self, issuer: &str, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *response.body_mut() = self.to_json(issuer).into();
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge.clone().or_else(|| self.kind.challenge()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.why.as_ref().and_then(|why| why.retry_after) {
            headers.insert(RETRY_AFTER, seconds.into());
        } else if matches!(self.kind, Kind::Unavailable | Kind::Timeout | Kind::RequestTimeout) {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        if self.is_final || self.kind.is_upstreams() {
            // Letta's clients send a request again after such an answer, a message too.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// A panic that was caught, as a response.
pub(crate) fn from_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    Problem::of_panic(&*panic).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_fault_tells_the_client_nothing() {
        let problem = Problem::internal("secret path /etc/x");
        assert!(!problem.detail.contains("secret"));
        let response = problem.into_response();
        assert_eq!(response.status(), 500);
    }
}
