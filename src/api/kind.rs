//! The kinds of problem: a stable name for programs, and for people what to do about each.

use axum::http::StatusCode;

/// What kinds of problem there are. Each has a stable type and a page that explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InvalidRequest,
    InvalidApiKey,
    AgentNotAllowed,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    UnsupportedMediaType,
    Internal,
    Unavailable,
    Timeout,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::InvalidRequest,
        Kind::InvalidApiKey,
        Kind::AgentNotAllowed,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::RequestTimeout,
        Kind::ContentTooLarge,
        Kind::UnsupportedMediaType,
        Kind::Internal,
        Kind::Unavailable,
        Kind::Timeout,
    ];

    /// The last part of the problem's `type`.
    pub fn name(self) -> &'static str {
        self.describe().1
    }

    pub fn status(self) -> StatusCode {
        self.describe().0
    }

    pub fn title(self) -> &'static str {
        self.describe().2
    }

    /// What to do about it.
    pub fn explanation(self) -> &'static str {
        self.describe().3
    }

    fn describe(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Kind::InvalidRequest => (
                StatusCode::BAD_REQUEST,
                "invalid-request",
                "Invalid request",
                "The request breaks one or more rules. `errors` lists each: the field, what was seen, what was expected.",
            ),
            Kind::InvalidApiKey => (
                StatusCode::UNAUTHORIZED,
                "invalid-api-key",
                "Invalid API key",
                "The request carries no API key, or one that is unknown or revoked. Send `Authorization: Bearer <API key>` from your backend. Keys are made with `hallpass api-key create`. A client-side token is not an API key.",
            ),
            Kind::AgentNotAllowed => (
                StatusCode::FORBIDDEN,
                "agent-not-allowed",
                "Agent not allowed",
                "The API key's project has a list of agents that it may issue tokens for, and the policy names another. `hallpass project list` shows the list, `hallpass project agents` changes it.",
            ),
            Kind::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "There is nothing at this path, or the API key's project never issued this token.",
            ),
            Kind::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "The path exists, but not for this method; `Allow` lists those that it takes. Tokens are deleted one at a time: name the token or its `jti` in the path.",
            ),
            Kind::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "Request timeout",
                "The body did not arrive in time. Send it again.",
            ),
            Kind::ContentTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "content-too-large",
                "Content too large",
                "The body, or the token that it asks for, is larger than allowed. Tokens travel in a header: grant fewer agents, or raise `tokens.max_bytes`.",
            ),
            Kind::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
                "The body's `Content-Type` is not the one that this endpoint reads.",
            ),
            Kind::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "The server failed. Its log has the cause under the answer's `x-request-id`.",
            ),
            Kind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
                "The server cannot serve this now: its database is busy, full or out of reach, or it is not set up yet. Nothing was done; try again after `Retry-After`. The server's log and `/readyz` say more.",
            ),
            Kind::Timeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                "Timeout",
                "The server did not get done in time. What was asked for may have been done all the same; deleting again is harmless, and a token that was not received ends by itself.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(Kind::ALL[i + 1..].iter().all(|other| other.name() != kind.name()));
        }
    }
}
