//! Introspection (RFC 7662) and revocation (RFC 7009).

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::OauthCaller;
use super::{Problem, body};
use crate::app::App;
use crate::token::{Claims, FieldError, unverified_id};

/// The form of both endpoints.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read from the form's pairs")]
pub(super) struct TokenForm {
    /// The token. For revocation, its `jti` will do.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: there is one type of token.
    token_type_hint: Option<String>,
}

/// What is said of a token. One that isn't good has `active: false` and nothing else.
#[derive(Serialize, ToSchema)]
pub(super) struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(flatten)]
    #[schema(value_type = Option<Object>)]
    claims: Option<Claims>,
}

/// Introspect a token
///
/// Of another project's token it says no more than of a stranger's.
#[utoipa::path(
    post, path = "/oauth/introspect", tag = "standards", operation_id = "introspect",
    security(("api_key" = []), ("api_key_as_password" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Whether the token is good, and its claims if it is", body = Introspection),
        (status = "4XX", description = "The request was refused", body = crate::web::ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "The server cannot serve it", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    OauthCaller(key): OauthCaller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let token = token_of(&headers, body).await?;
    let verified = app.introspect(&key.project, &token).await?;
    let claims = verified.map(|verified| Claims::clone(&verified));
    let answer =
        Introspection { active: claims.is_some(), token_type: claims.as_ref().map(|_| "Bearer"), claims };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Revoke a token
///
/// A token that is unknown, or another project's, is a success too (RFC 7009, section 2.2).
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "standards", operation_id = "revoke",
    security(("api_key" = []), ("api_key_as_password" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "If the project issued the token, it is refused from now on"),
        (status = "4XX", description = "The request was refused", body = crate::web::ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "The server cannot serve it", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    OauthCaller(key): OauthCaller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let token = token_of(&headers, body).await?;
    if let Some(jti) = unverified_id(&token) {
        app.revoke(&key.project, jti).await?;
    }
    Ok(StatusCode::OK)
}

/// The form's one `token`: a parameter given twice is an error (RFC 6749, section 3.2).
async fn token_of(headers: &HeaderMap, body: Body) -> Result<String, Problem> {
    let fields = body::form(headers, body).await.map_err(|problem| problem.oauth("invalid_request"))?;
    let mut tokens = fields.into_iter().filter(|(name, _)| name == "token").map(|(_, value)| value);
    let rule = match (tokens.next(), tokens.next()) {
        (Some(token), None) if !token.is_empty() => return Ok(token),
        (_, Some(_)) => "is given twice",
        _ => "is required: the token to ask about",
    };
    Err(Problem::invalid(vec![FieldError::new("token", rule)]).oauth("invalid_request"))
}
