//! Who calls: the API key of a backend.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Kind, Problem};
use crate::app::App;
use crate::keys::ApiKey;

/// A caller with `Authorization: Bearer <API key>` (RFC 6750, section 2.1).
pub(super) struct Caller(pub(super) Arc<ApiKey>);

/// A caller by bearer, or by Basic with the key as the password (RFC 7617); the user name is ignored.
pub(super) struct OauthCaller(pub(super) Arc<ApiKey>);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match credentials(&parts.headers)? {
            Some(Credentials::Bearer(key)) => {
                app.authenticate(key).map(Self).ok_or_else(Problem::refused_key)
            }
            Some(_) => Err(Problem::refused_key()),
            None => Err(missing()),
        }
    }
}

impl FromRequestParts<Arc<App>> for OauthCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let both = HeaderValue::from_static("Bearer, Basic realm=\"hallpass\", charset=\"UTF-8\"");
        let with_code = |problem: Problem| problem.challenge(both.clone()).oauth("invalid_client");
        let key = match credentials(&parts.headers).map_err(|problem| problem.oauth("invalid_request"))? {
            Some(Credentials::Bearer(key)) => app.authenticate(key),
            Some(Credentials::Basic(encoded)) => {
                basic_password(encoded).and_then(|key| app.authenticate(&key))
            }
            Some(Credentials::Other) => None,
            None => return Err(with_code(missing())),
        };
        key.map(Self).ok_or_else(|| with_code(Problem::refused_key()))
    }
}

enum Credentials<'a> {
    Bearer(&'a str),
    Basic(&'a str),
    Other,
}

fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        // Which of them counts would be a guess, and a proxy may guess otherwise.
        return Err(Problem::new(
            Kind::InvalidRequest,
            "there are several `Authorization` headers; send one",
        ));
    }
    let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return Ok(Some(Credentials::Other));
    };
    let rest = rest.trim();
    Ok(Some(match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => Credentials::Bearer(rest),
        _ if scheme.eq_ignore_ascii_case("basic") => Credentials::Basic(rest),
        _ => Credentials::Other,
    }))
}

fn basic_password(encoded: &str) -> Option<zeroize::Zeroizing<String>> {
    let text = zeroize::Zeroizing::new(String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?);
    text.split_once(':').map(|(_user, password)| password.to_owned().into())
}

fn missing() -> Problem {
    let detail =
        "no API key was sent; send `Authorization: Bearer <API key>`, made with `hallpass api-key create`";
    Problem::new(Kind::InvalidApiKey, detail)
}
