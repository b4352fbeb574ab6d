//! What verifiers need to know: the public keys and where everything is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::app::App;
use crate::keys::{JWKS_MAX_AGE, jwks_etag};

/// A JSON Web Key Set.
#[derive(ToSchema)]
#[expect(dead_code, reason = "written by the key ring")]
pub(super) struct Jwks {
    /// The public keys: the one that signs, the one that will, and those whose tokens still live.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<()>,
}

/// The public keys
///
/// In the form of RFC 7517. It may be cached for as long as `Cache-Control` says: a key is published
/// for longer than that before it signs.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "standards", operation_id = "jwks",
    responses(
        (status = 200, description = "The keys", body = Jwks),
        (status = 304, description = "They are those of `If-None-Match`"),
    )
)]
pub(super) async fn jwks(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let ring = app.ring();
    let etag = jwks_etag(ring.jwks());
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag)
    });
    let common = [
        (CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.as_secs())),
        (ETAG, etag),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, "application/json")], ring.jwks().to_owned()).into_response()
}

/// Where everything is, in the form of RFC 8414.
#[derive(Serialize, ToSchema)]
pub(super) struct AuthorizationServer {
    issuer: String,
    jwks_uri: String,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// Empty: tokens are asked for with an API key, not granted to a user.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    service_documentation: String,
}

/// Server metadata
///
/// In the form of RFC 8414. If the public URL has a path, the same answer stands where section 3.1
/// puts it.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "standards", operation_id = "authorization_server",
    responses((status = 200, description = "The metadata", body = AuthorizationServer))
)]
pub(super) async fn authorization_server(State(app): State<Arc<App>>) -> Response {
    let issuer = &app.settings.issuer;
    // Both are how RFC 8414, section 2, names them: a token endpoint method and a token type.
    let methods = ["client_secret_basic", "Bearer"];
    let metadata = AuthorizationServer {
        issuer: issuer.clone(),
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        introspection_endpoint: format!("{issuer}/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: methods,
        revocation_endpoint: format!("{issuer}/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: methods,
        response_types_supported: [],
        grant_types_supported: [],
        service_documentation: format!("{issuer}/docs"),
    };
    let headers = [
        (CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.as_secs())),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    (headers, Json(metadata)).into_response()
}

/// The path of the public URL, if it has one that a route can hold.
pub(super) fn issuer_path(issuer: &str) -> Option<String> {
    let path = Url::parse(issuer).ok()?.path().trim_end_matches('/').to_owned();
    (!path.is_empty() && !path.contains(['{', '}', '*', ':'])).then_some(path)
}
