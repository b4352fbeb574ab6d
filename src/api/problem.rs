//! Errors as clients see them: problem details (RFC 9457), with a `message`, which is what Letta's
//! clients show. [`Problem`] is the only error that becomes a response.

use std::any::Any;

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Kind;
use crate::app::IssueError;
use crate::store::StoreError;
use crate::token::FieldError;

/// Seconds after which a client may try again when the server can't serve for now.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error on its way to the client. The envelope gives it its body.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(super) kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    challenge: Option<HeaderValue>,
    oauth_error: Option<&'static str>,
    /// For the log alone.
    pub(super) cause: Option<Cause>,
}

/// What the log says of a server's fault.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) text: String,
    /// Said once already, where the fault arose: one failing disk fails thousands of requests.
    pub(super) known: bool,
}

/// The body of every error.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
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
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: None,
            oauth_error: None,
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
    pub(super) fn refused_key() -> Self {
        let detail = "the API key is not valid: it is unknown or revoked, or what was sent is not an API key";
        Self::new(Kind::InvalidApiKey, detail)
            .challenge(HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    /// With a `WWW-Authenticate` of its own.
    pub(super) fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// With an error code of RFC 6749, section 5.2.
    pub(super) fn oauth(mut self, code: &'static str) -> Self {
        self.oauth_error = Some(code);
        self
    }

    /// Writes the body. `issuer` is the base of `type`.
    pub(super) fn render(self, issuer: &str, mut response: Response) -> Response {
        let body = ProblemBody {
            r#type: format!("{issuer}/errors/{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            message: self.detail.clone(),
            detail: self.detail,
            errors: self.errors,
            error: self.oauth_error,
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let json = serde_json::to_vec(&body).expect("strings and a number are always JSON");
        *response.body_mut() = json.into();
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        let headers = response.headers_mut();
        match self.kind {
            Kind::InvalidApiKey => {
                let challenge = self.challenge.clone().unwrap_or(HeaderValue::from_static("Bearer"));
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            Kind::Unavailable | Kind::Timeout | Kind::RequestTimeout => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        let (detail, known) = match error {
            StoreError::Damaged(_) => return Self::internal(text),
            StoreError::Busy => {
                ("the server has more requests than it can store; nothing was done, try again", true)
            }
            StoreError::BatchFailed(_) => {
                ("the database takes no writes for now; nothing was done, try again", true)
            }
            StoreError::Unavailable(_) => {
                ("the database cannot be used for now; nothing was done, try again", false)
            }
            StoreError::Stale(_) => (
                "the database has been out of reach for too long to know which tokens are good; try again",
                true,
            ),
            StoreError::Closed => ("the server is stopping; nothing was done, try again", true),
        };
        Self { cause: Some(Cause { text, known }), ..Self::new(Kind::Unavailable, detail) }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Agents(errors) => Self::with_errors(Kind::AgentNotAllowed, errors),
            IssueError::TooLarge { bytes, limit } => Self::new(
                Kind::ContentTooLarge,
                format!(
                    "the token would have {bytes} bytes, and `tokens.max_bytes` allows {limit}: grant fewer agents, or raise the limit"
                ),
            ),
            IssueError::KeyRevoked => Self::refused_key(),
            IssueError::Store(error) => error.into(),
            IssueError::Signing(_) | IssueError::Claims(_) => Self::internal(error),
        }
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; `/docs` lists what there is")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the path does not take this method; the `Allow` header lists those that it takes",
    )
}

/// A panic that was caught; the panic's own message goes to the log.
pub(super) fn from_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("of an unknown kind");
    Problem::internal(format!("panic: {message}")).into_response()
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
