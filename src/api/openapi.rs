//! The OpenAPI document, generated from the handlers.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::{health, metadata, oauth, tokens};

/// The document's source.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hallpass",
        description = "Client-side access tokens: short-lived, narrowly scoped tokens that a backend asks for with its API key and hands to a browser.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        tokens::create_token,
        tokens::list_tokens,
        tokens::delete_token,
        oauth::introspect,
        oauth::revoke,
        metadata::jwks,
        metadata::authorization_server,
        health::alive,
        health::ready,
    ),
    components(schemas(tokens::StatusSchema)),
    tags(
        (name = "tokens", description = "Letta Cloud's endpoints for client-side access tokens"),
        (name = "standards", description = "Public keys, metadata, introspection and revocation"),
        (name = "health", description = "For orchestrators and load balancers"),
    )
)]
struct Document;

/// The document (OpenAPI 3.1). It names no server: its paths are relative to where it stands.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let components = document.components.get_or_insert_default();
    let scheme = |scheme, description: &str| {
        let mut http = Http::new(scheme);
        http.description = Some(description.to_owned());
        SecurityScheme::Http(http)
    };
    components.add_security_scheme(
        "api_key",
        scheme(HttpAuthScheme::Bearer, "An API key, made with `hallpass api-key create`."),
    );
    components.add_security_scheme(
        "api_key_as_password",
        scheme(HttpAuthScheme::Basic, "The API key as the password; the user name is ignored."),
    );
    document
}
