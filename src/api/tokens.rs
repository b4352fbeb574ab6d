//! `/v1/client-side-access-tokens`: Letta Cloud's endpoints for client-side access tokens.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::{Kind, Problem, body};
use crate::app::{App, IssuedToken, ListedToken};
use crate::clock::Timestamp;
use crate::store::{ListQuery, Status};
use crate::token::{Access, AgentId, FieldError, PolicyClaim, TokenRequest, quote, unverified_id};

const DEFAULT_LIMIT: u32 = 10;
const MOST_LIMIT: u32 = 1000;

/// A request for a token.
///
/// The body is read field by field, so that all mistakes are told at once; this is its form for the
/// documentation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field in `TokenRequest`")]
pub(super) struct CreateTokenRequest {
    /// The origin of the browser app: an absolute `http` or `https` URL without user name, query,
    /// fragment or a slash at its end.
    #[schema(example = "https://app.example.com", min_length = 8, max_length = 2048)]
    hostname: String,
    /// What the token may touch.
    #[schema(min_items = 1, max_items = 100)]
    policy: Vec<GrantSchema>,
    /// When the token ends: RFC 3339, or ISO 8601 without an offset (UTC), or a date. By default
    /// five minutes from now, at most `tokens.max_ttl` ahead.
    #[schema(nullable, example = "2026-01-31T12:00:00Z")]
    expires_at: Option<String>,
}

/// What may be done with one agent.
#[derive(ToSchema)]
#[schema(as = Grant)]
#[expect(dead_code, reason = "the form of `token::Grant` for the documentation")]
pub(super) struct GrantSchema {
    r#type: GrantType,
    /// The agent's id: visible ASCII characters other than `/`.
    #[schema(min_length = 1, max_length = 256, pattern = "^[!-.0-~]+$", example = "agent-1")]
    id: String,
    #[schema(min_items = 1)]
    access: Vec<Access>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "the form of a grant's `type` for the documentation")]
pub(super) enum GrantType {
    Agent,
}

/// A token and what it was issued for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    /// The signed JWT. In lists, only live tokens are shown; others by their id.
    token: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000Z")]
    expires_at: Timestamp,
    hostname: String,
    #[schema(value_type = PolicySchema)]
    policy: PolicyClaim,
}

/// A policy in the form of Letta's version 1.
#[derive(ToSchema)]
#[schema(as = Policy)]
#[expect(dead_code, reason = "the form of `token::PolicyClaim` for the documentation")]
pub(super) struct PolicySchema {
    #[schema(example = "1")]
    version: String,
    data: Vec<GrantSchema>,
}

/// A page of tokens, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenList {
    tokens: Vec<Token>,
    has_next_page: bool,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        let IssuedToken { token, expires_at, hostname, policy, .. } = issued;
        Self { token, expires_at, hostname, policy }
    }
}

impl From<ListedToken> for Token {
    fn from(listed: ListedToken) -> Self {
        let ListedToken { token, expires_at, hostname, policy, .. } = listed;
        Self { token, expires_at, hostname, policy }
    }
}

/// Issue a token
///
/// The answer is sent once the token's record is durable.
#[utoipa::path(
    post, path = "/v1/client-side-access-tokens", tag = "tokens", operation_id = "create_token",
    security(("api_key" = [])),
    request_body = CreateTokenRequest,
    responses(
        (status = 201, description = "The token", body = Token),
        (status = "4XX", description = "The request was refused", body = crate::web::ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "The server cannot serve it", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_token(
    State(app): State<Arc<App>>,
    Caller(key): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::json(&headers, body).await?;
    let request = TokenRequest::parse(&body, app.now(), &app.settings.limits).map_err(Problem::invalid)?;
    let issued = app.issue(&key.project, &key.id, request).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(Token::from(issued))).into_response())
}

/// List tokens
///
/// Only those of the API key's project, newest first.
#[utoipa::path(
    get, path = "/v1/client-side-access-tokens", tag = "tokens", operation_id = "list_tokens",
    security(("api_key" = [])),
    params(
        ("agentId" = Option<String>, Query, description = "Only tokens with a grant for this agent", min_length = 1, max_length = 256, pattern = "^[!-.0-~]+$"),
        ("limit" = Option<u32>, Query, description = "Tokens on a page; 10 by default", minimum = 1, maximum = 1000),
        ("offset" = Option<u64>, Query, description = "Tokens to pass over; 0 by default", minimum = 0),
        ("status" = Option<StatusSchema>, Query, description = "Which tokens; `active` by default"),
    ),
    responses(
        (status = 200, description = "A page", body = TokenList),
        (status = "4XX", description = "The request was refused", body = crate::web::ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "The server cannot serve it", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_tokens(
    State(app): State<Arc<App>>,
    Caller(key): Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = parse_list(query.as_deref().unwrap_or_default(), key.project.id, app.now())
        .map_err(Problem::invalid)?;
    app.admit_list(&key.id).map_err(|wait| {
        let detail =
            "the API key has listed too many pages within a minute; `limits.lists_per_minute` sets how many";
        Problem::too_many(detail, "too_many_lists", wait)
    })?;
    let page = app.list(&query).await?;
    let tokens = page.tokens.into_iter().map(Token::from).collect();
    let list = TokenList { tokens, has_next_page: page.has_next };
    Ok(([(CACHE_CONTROL, "no-store")], Json(list)).into_response())
}

/// Delete a token
///
/// From the answer on, the token is refused. Deleting it again, or one that is over, is a success
/// while its record is kept.
#[utoipa::path(
    delete, path = "/v1/client-side-access-tokens/{token}", tag = "tokens", operation_id = "delete_token",
    security(("api_key" = [])),
    params(("token" = String, Path, description = "The token, or its `jti`")),
    responses(
        (status = 204, description = "The token is refused from now on"),
        (status = "4XX", description = "The request was refused", body = crate::web::ProblemBody, content_type = "application/problem+json"),
        (status = "5XX", description = "The server cannot serve it", body = crate::web::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete_token(
    State(app): State<Arc<App>>,
    Caller(key): Caller,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, Problem> {
    let never_issued = || Problem::new(Kind::NotFound, "this API key's project never issued such a token");
    let Path(token) = path.map_err(|_| never_issued())?;
    let jti = unverified_id(&token).ok_or_else(never_issued)?;
    if app.revoke(&key.project, jti).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(never_issued())
}

/// The values of `status`.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "snake_case")]
#[expect(dead_code, reason = "the form of `store::Status` for the documentation")]
pub(super) enum StatusSchema {
    Active,
    Expired,
    Revoked,
    All,
}

fn parse_list(query: &str, project_id: i64, now: Timestamp) -> Result<ListQuery, Vec<FieldError>> {
    let mut list =
        ListQuery { project_id, agent: None, status: Status::Active, now, limit: DEFAULT_LIMIT, offset: 0 };
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let parsed = match name.as_ref() {
            known @ ("agentId" | "limit" | "offset" | "status") if seen.contains(&known.to_owned()) => {
                Err("is given twice".to_owned())
            }
            "agentId" => AgentId::parse(&value).map(|agent| list.agent = Some(agent)),
            "limit" => parse_number(&value, 1, u64::from(MOST_LIMIT))
                .map(|limit| list.limit = u32::try_from(limit).unwrap_or(MOST_LIMIT)),
            "offset" => parse_number(&value, 0, i64::MAX.unsigned_abs()).map(|offset| list.offset = offset),
            "status" => parse_status(&value).map(|status| list.status = status),
            _ => continue,
        };
        if let Err(rule) = parsed {
            errors.push(FieldError::new(name.as_ref(), rule));
        }
        seen.push(name.into_owned());
    }
    if errors.is_empty() { Ok(list) } else { Err(FieldError::cut(errors)) }
}

/// A whole number. Letta's SDKs have floating-point types here, so `10.0` is ten.
fn parse_number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|c| c == b'0') => whole,
        _ => text,
    };
    let digits = !whole.is_empty() && whole.bytes().all(|c| c.is_ascii_digit());
    let number = if digits { whole.parse().ok() } else { None };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}, got {}", quote(text)))
}

fn parse_status(text: &str) -> Result<Status, String> {
    let found = Status::NAMES.into_iter().find(|(name, _)| *name == text);
    let names = Status::NAMES.map(|(name, _)| name).join("`, `");
    found.map(|(_, status)| status).ok_or_else(|| format!("must be one of `{names}`, got {}", quote(text)))
}
