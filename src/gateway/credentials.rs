//! Who asks: the holder of a client token, or of an API key with the gateway right.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::streams::Holder;
use super::{Gateway, refusal};
use crate::app::TokenError;
use crate::keys::Verified;
use crate::web::{Kind, Problem};

impl Gateway {
    /// The holder of what `Authorization` carries (RFC 6750, section 2.1).
    pub(super) async fn holder(&self, headers: &HeaderMap) -> Result<Holder, Problem> {
        let credential = bearer(headers)?;
        // A token has dots, and an API key made here has none; one that was chosen by hand may.
        let error = if credential.contains('.') {
            match self.app.judge(credential).await {
                Ok(token) => return Ok(Holder::Token(token)),
                Err(error) => error,
            }
        } else {
            TokenError::Invalid
        };
        match (error, self.app.authenticate(credential)) {
            (TokenError::Invalid, Some(key)) => Ok(Holder::Key(key)),
            (error, _) => Err(refusal::token(error)),
        }
    }

    /// The same where only client tokens count.
    pub(super) async fn token(&self, headers: &HeaderMap) -> Result<Arc<Verified>, Problem> {
        self.app.judge(bearer(headers)?).await.map_err(refusal::token)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(refusal::missing)?;
    if values.next().is_some() {
        // Which of them counts would be a guess, and the agent server may guess otherwise.
        let detail = "there are several `Authorization` headers; send one";
        return Err(refusal::because(Kind::InvalidRequest, detail, "header_repeated"));
    }
    let (scheme, credential) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(refusal::invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refusal::invalid());
    }
    Ok(credential.trim())
}
