//! The claims that a token carries.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Expiry, Hostname, Origin, Policy, TokenId};
use crate::clock::Timestamp;

/// The version of the policy's form, as Letta writes it.
pub const POLICY_VERSION: &str = "1";

/// The payload of a token (RFC 7519, section 4, and the claims that are Hallpass's own).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The project whose API key asked for the token.
    pub sub: String,
    pub jti: TokenId,
    /// Seconds since the Unix epoch.
    pub iat: i64,
    /// Seconds since the Unix epoch.
    pub exp: i64,
    /// The hostname as the backend gave it.
    pub hostname: String,
    /// The hostname's origin, in the form that a browser's `Origin` has.
    pub origin: Origin,
    pub policy: PolicyClaim,
}

/// The `policy` claim; answers carry it in the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyClaim {
    pub version: String,
    pub data: Policy,
}

impl From<Policy> for PolicyClaim {
    fn from(data: Policy) -> Self {
        Self { version: POLICY_VERSION.to_owned(), data }
    }
}

impl Claims {
    /// The claims of a token that a project's key asks for at `now`.
    pub fn new(
        issuer: &str,
        audience: &str,
        project: &str,
        jti: TokenId,
        now: Timestamp,
        subject: (Hostname, Policy, Expiry),
    ) -> Self {
        let (hostname, policy, expiry) = subject;
        Self {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            sub: project.to_owned(),
            jti,
            iat: now.seconds(),
            exp: expiry.exp(),
            origin: hostname.origin().clone(),
            hostname: hostname.into_text(),
            policy: policy.into(),
        }
    }
}

/// What a token says of itself, unverified: good for reading back what this server stored, for
/// nothing else.
#[derive(Clone, Debug, Deserialize)]
pub struct UnverifiedClaims {
    pub hostname: String,
    pub policy: PolicyClaim,
}

/// The id in a text that is a token or an id itself. Nothing is verified: whoever may act on the id
/// is decided by whose it is.
pub fn unverified_id(token_or_id: &str) -> Option<TokenId> {
    #[derive(Deserialize)]
    struct OnlyId {
        jti: TokenId,
    }

    if let Ok(id) = token_or_id.parse() {
        return Some(id);
    }
    let [_header, payload, _signature] = token_or_id.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let claims: OnlyId = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claims.jti)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::token::{Access, AgentId, Grant};

    fn claims() -> Claims {
        let now = Timestamp::from_millis(1_769_860_800_999);
        let grant = Grant { id: AgentId::parse("agent-1").unwrap(), access: vec![Access::ReadAgent] };
        let subject = (
            Hostname::parse("https://BÜCHER.example").unwrap(),
            Policy::new(vec![grant]).unwrap(),
            Expiry::after(now, Duration::from_secs(300)),
        );
        Claims::new("https://t.example", "letta", "default", TokenId::new(now, &[1; 10]), now, subject)
    }

    fn token() -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).unwrap()))
    }

    #[test]
    fn the_payload_has_exactly_the_documented_members() {
        let jti = claims().jti;
        assert_eq!(
            serde_json::to_value(claims()).unwrap(),
            serde_json::json!({
                "iss": "https://t.example", "aud": "letta", "sub": "default", "jti": jti,
                "iat": 1_769_860_800, "exp": 1_769_861_100,
                "hostname": "https://BÜCHER.example", "origin": "https://xn--bcher-kva.example",
                "policy": {"version": "1", "data": [{"type": "agent", "id": "agent-1", "access": ["read_agent"]}]},
            })
        );
    }

    #[test]
    fn an_id_is_found_in_a_token_and_in_itself() {
        let jti = claims().jti;
        assert_eq!(unverified_id(&token()), Some(jti));
        assert_eq!(unverified_id(&jti.to_string()), Some(jti));
        for text in ["", "x", "a.b.c", "..", "e30.e30.e30", &jti.to_string().replace('-', "")] {
            assert_eq!(unverified_id(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_stored_is_read_back() {
        let payload = serde_json::to_string(&claims()).unwrap();
        let read: UnverifiedClaims = serde_json::from_str(&payload).unwrap();
        assert_eq!((read.hostname, read.policy), (claims().hostname, claims().policy));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_.=-]{0,80}|.{0,40}") {
            let _ = unverified_id(&text);
        }
    }
}
