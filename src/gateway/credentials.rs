//! Who asks: the holder of a client token, or of an API key with the gateway right.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::proxy::Trace;
use super::streams::Holder;
use super::{Gateway, refusal};
use crate::app::TokenError;
use crate::keys::Verified;
use crate::token::unverified_id;
use crate::web::{Kind, Problem};

/// What stands before a credential (RFC 6750, section 2.1), in whatever case.
const SCHEME: &[u8] = b"bearer ";

impl Gateway {
    /// The holder of what `Authorization` carries (RFC 6750, section 2.1).
    pub(super) async fn holder(&self, headers: &HeaderMap, trace: &mut Trace<'_>) -> Result<Holder, Problem> {
        let credential = bearer(headers)?;
        // A token has dots, and an API key made here has none; one that was chosen by hand may.
        let error = if credential.contains('.') {
            match self.judge(credential, trace).await {
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
    pub(super) async fn token(
        &self,
        headers: &HeaderMap,
        trace: &mut Trace<'_>,
    ) -> Result<Arc<Verified>, Problem> {
        self.judge(bearer(headers)?, trace).await.map_err(refusal::token)
    }

    /// Judges a token, and notes the id of a genuine one, so that the log can name it.
    async fn judge(&self, token: &str, trace: &mut Trace<'_>) -> Result<Arc<Verified>, TokenError> {
        let judged = self.app.judge(token).await;
        trace.jti = match &judged {
            Ok(verified) => Some(verified.jti),
            // Its signature was good.
            Err(TokenError::Expired { .. } | TokenError::Revoked) => unverified_id(token),
            Err(TokenError::Invalid | TokenError::KeyRevoked | TokenError::Store(_)) => None,
        };
        judged
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
    let parts = value.as_bytes().split_at_checked(SCHEME.len());
    let (scheme, credential) = parts.ok_or_else(refusal::invalid)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(refusal::invalid());
    }
    str::from_utf8(credential.trim_ascii()).map_err(|_| refusal::invalid())
}
