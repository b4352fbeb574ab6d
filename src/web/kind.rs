//! The kinds of problem: a stable name for programs, and for people what to do about each.

use axum::http::{HeaderValue, StatusCode};

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
    InvalidToken,
    Forbidden,
    RateLimited,
    NotImplemented,
    UpstreamUnreachable,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamTimeout,
}

impl Kind {
    pub const ALL: [Kind; 20] = [
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
        Kind::InvalidToken,
        Kind::Forbidden,
        Kind::RateLimited,
        Kind::NotImplemented,
        Kind::UpstreamUnreachable,
        Kind::UpstreamAuth,
        Kind::UpstreamFailed,
        Kind::UpstreamInvalid,
        Kind::UpstreamTimeout,
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

    /// The reason that the gateway gives for a problem that needs no closer one.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Kind::InvalidRequest => "invalid_request",
            Kind::InvalidApiKey | Kind::InvalidToken => "invalid_token",
            Kind::AgentNotAllowed | Kind::Forbidden => "forbidden",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::RequestTimeout => "request_timeout",
            Kind::ContentTooLarge => "content_too_large",
            Kind::UnsupportedMediaType => "unsupported_media_type",
            Kind::Internal => "internal",
            Kind::Unavailable => "unavailable",
            Kind::Timeout => "timeout",
            Kind::RateLimited => "rate_limited",
            Kind::NotImplemented => "not_implemented",
            Kind::UpstreamUnreachable => "upstream_unreachable",
            Kind::UpstreamAuth => "upstream_auth",
            Kind::UpstreamFailed => "upstream_failed",
            Kind::UpstreamInvalid => "upstream_invalid",
            Kind::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// The `WWW-Authenticate` that goes with it (RFC 6750, section 3), unless a problem has its own.
    pub(super) fn challenge(self) -> Option<HeaderValue> {
        match self {
            Kind::InvalidApiKey => Some(HeaderValue::from_static("Bearer")),
            Kind::InvalidToken => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            _ => None,
        }
    }

    /// Whether the agent server's answer, or the lack of one, is the problem.
    pub(super) fn is_upstreams(self) -> bool {
        matches!(
            self,
            Kind::UpstreamUnreachable
                | Kind::UpstreamAuth
                | Kind::UpstreamFailed
                | Kind::UpstreamInvalid
                | Kind::UpstreamTimeout
        )
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
                "The body, or the token that it asks for, is larger than allowed. Tokens travel in a header: grant fewer agents, or raise `tokens.max_bytes`. For requests through the gateway `gateway.max_body` is the limit.",
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
            Kind::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "invalid-token",
                "Invalid token",
                "The gateway wants a client-side access token, `Authorization: Bearer <token>`, that is genuine, not expired and not revoked. `reason` says `token_missing`, `token_expired` or `token_revoked`; `invalid_token` stands for everything that this server didn't sign, or signed with a key that is gone. Ask your backend for a new token. `key_revoked` is said of an API key.",
            ),
            Kind::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "Forbidden",
                "The token is good and doesn't allow this. `reason` says why: `origin_missing` and `origin_mismatch` (`expected_origin` is the one that the token is for), `route_not_allowed` (see `hallpass routes`), `id_not_valid`, `agent_not_granted`, `access_missing` (`needed_access`), `not_granted` (a conversation or run that is another agent's, or absent), `field_not_allowed` (`field`), `key_with_origin` (an API key in a browser), `query_not_allowed` and `unchecked` (what forward-auth can't do).",
            ),
            Kind::RateLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate-limited",
                "Rate limited",
                "Too many requests with one token or key: `reason` says `too_many_messages`, `too_many_streams` or `too_many_lists`. Try again after `Retry-After`; the limits are set in `[limits]`.",
            ),
            Kind::NotImplemented => (
                StatusCode::NOT_IMPLEMENTED,
                "not-implemented",
                "Not implemented",
                "The gateway doesn't pass this kind of request: WebSockets and other upgrades.",
            ),
            Kind::UpstreamUnreachable => (
                StatusCode::BAD_GATEWAY,
                "upstream-unreachable",
                "Agent server unreachable",
                "The agent server behind the gateway can't be reached, or broke off before it answered. Whether it did what was asked is not known; nothing is sent again by itself.",
            ),
            Kind::UpstreamAuth => (
                StatusCode::BAD_GATEWAY,
                "upstream-auth",
                "Agent server refused the gateway",
                "The agent server answered 401 or 403 to the gateway. Its secret is `gateway.upstream_token`; or the provider of its language model refused its key. The client's token is not the problem.",
            ),
            Kind::UpstreamFailed => (
                StatusCode::BAD_GATEWAY,
                "upstream-failed",
                "Agent server failed",
                "The agent server answered with an error of its own, or with a redirect, which the gateway doesn't follow. Its log says more.",
            ),
            Kind::UpstreamInvalid => (
                StatusCode::BAD_GATEWAY,
                "upstream-invalid",
                "Agent server's answer unreadable",
                "The answer must be read to take out what a client token may not see, and it can't be: it isn't JSON, is compressed, or is too large. It is not passed on.",
            ),
            Kind::UpstreamTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "upstream-timeout",
                "Agent server too slow",
                "The agent server did not answer within `gateway.answer_timeout`. What was asked for may still happen.",
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
