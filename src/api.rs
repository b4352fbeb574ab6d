//! The HTTP interface: one file a resource, wire types beside their handlers.

mod auth;
mod body;
mod docs;
mod envelope;
mod health;
mod metadata;
mod oauth;
mod openapi;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use self::envelope::REQUEST_TIMEOUT;
pub use self::openapi::document as openapi_document;
use crate::app::App;
use crate::web;
pub use crate::web::{Kind, Problem};

/// Everything the server answers. It holds no state of its own: tests build it as the server does.
pub fn router(app: Arc<App>) -> Router {
    let tokens = post(tokens::create_token).get(tokens::list_tokens);
    let metadata = get(metadata::authorization_server);
    let routes = Router::new()
        .route("/v1/client-side-access-tokens", tokens.clone())
        .route("/v1/client-side-access-tokens/", tokens)
        .route("/v1/client-side-access-tokens/{token}", axum::routing::delete(tokens::delete_token))
        .route("/oauth/introspect", post(oauth::introspect))
        .route("/oauth/revoke", post(oauth::revoke))
        .route("/.well-known/jwks.json", get(metadata::jwks))
        .route("/.well-known/oauth-authorization-server", metadata.clone())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::reference))
        .route("/errors/{name}", get(docs::error));
    // RFC 8414, section 3.1: the issuer's path comes after the well-known part.
    let routes = match metadata::issuer_path(&app.settings.issuer) {
        Some(path) => routes.route(&format!("/.well-known/oauth-authorization-server{path}"), metadata),
        None => routes,
    };
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(web::from_panic))
        .layer(from_fn_with_state(app.clone(), envelope::wrap))
        .with_state(app)
}

async fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; `/docs` lists what there is")
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the path does not take this method; the `Allow` header lists those that it takes",
    )
}
