//! The key ring: one key signs, the next one is already published, retired ones still verify. How it moves on is
//! said in [`rotation`].

mod rotation;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;

pub use self::rotation::RotationError;
use super::{MasterKey, SealError, SealedKey, SigningError, SigningKey};
use crate::clock::Timestamp;
use crate::token::{Claims, is_expired};

/// How long outside verifiers may keep the JWKS: the `max-age` that it is served with. A key is
/// published for at least this long before it signs.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);

/// What a key of the ring is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not yet signing.
    Next,
    /// Signs.
    Active,
    /// Signs no more; verifies until it is destroyed.
    Retired,
}

impl KeyState {
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Next => "next",
            KeyState::Active => "active",
            KeyState::Retired => "retired",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [KeyState::Next, KeyState::Active, KeyState::Retired].into_iter().find(|state| state.as_str() == name)
    }
}

/// A key with its place in the ring.
#[derive(Clone, Debug)]
pub struct RingKey {
    pub signing: Arc<SigningKey>,
    pub state: KeyState,
    pub created_at: Timestamp,
    pub activated_at: Option<Timestamp>,
    /// When a retired key stops verifying and is destroyed.
    pub ends_at: Option<Timestamp>,
}

impl RingKey {
    fn verifies(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|ends_at| now < ends_at)
    }
}

/// Claims whose signature, issuer, audience and expiry were checked. Only [`KeyRing::verify`]
/// makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    claims: Claims,
    kid: Arc<str>,
}

impl Verified {
    /// The key that signed the token.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl Deref for Verified {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

/// Why a token isn't honoured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("it is not a token of this server: its header names none of the signing keys in use")]
    UnknownKey,
    #[error("its signature does not fit")]
    Signature,
    #[error("its `iss` is not `{expected}`")]
    Issuer { expected: String },
    #[error("its `aud` is not `{expected}`")]
    Audience { expected: String },
    #[error("its claims are not those of a client-side access token")]
    Claims,
    #[error("it expired {seconds} s ago")]
    Expired { seconds: i64 },
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("the database holds {0} active signing keys; there must be one")]
    Active(usize),
    #[error("the JWKS cannot be written: {0}")]
    Jwks(#[from] serde_json::Error),
}

/// All keys, opened and ready.
pub struct KeyRing {
    keys: Vec<RingKey>,
    active: usize,
    /// From the encoded header of a key's tokens to the key. Headers
    /// are compared whole, so that nothing an attacker writes into one (`alg`, `jwk`, `jku`, `crit`)
    /// is ever read.
    verifiers: HashMap<String, usize>,
    issuer: String,
    audience: String,
    jwks: String,
}

impl KeyRing {
    /// Opens the stored ring.
    pub fn open(
        rows: &[SealedKey],
        master: &MasterKey,
        issuer: &str,
        audience: &str,
    ) -> Result<Self, RingError> {
        let keys = rows.iter().map(|row| row.open(master)).collect::<Result<Vec<_>, _>>()?;
        let active: Vec<_> = (0..keys.len()).filter(|&i| keys[i].state == KeyState::Active).collect();
        let [active] = active[..] else {
            return Err(RingError::Active(active.len()));
        };
        let jwks = JwkSet { keys: keys.iter().map(|key| key.signing.jwk().clone()).collect() };
        let header = |(i, key): (usize, &RingKey)| (key.signing.header_segment().to_owned(), i);
        let verifiers = keys.iter().enumerate().map(header);
        Ok(Self {
            verifiers: verifiers.collect(),
            active,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            jwks: serde_json::to_string(&jwks)?,
            keys,
        })
    }

    /// The key that signs.
    pub fn active(&self) -> &SigningKey {
        &self.keys[self.active].signing
    }

    /// From when on the active key has signed.
    pub fn active_since(&self) -> Timestamp {
        let active = &self.keys[self.active];
        active.activated_at.unwrap_or(active.created_at)
    }

    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The public keys as a JSON Web Key Set (RFC 7517, section 5).
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The key of this id, while it verifies.
    pub fn key(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        let key = self.keys.iter().find(|key| key.signing.kid() == kid)?;
        key.verifies(now).then_some(&*key.signing)
    }

    /// Checks a token's signature, issuer, audience and expiry, following RFC 8725. Whether it was
    /// revoked is for the store to say.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, VerifyError> {
        let header = token.split('.').next().unwrap_or_default();
        let key = &self.keys[*self.verifiers.get(header).ok_or(VerifyError::UnknownKey)?];
        if !key.verifies(now) {
            return Err(VerifyError::UnknownKey);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(VerifyError::Signature)?;
        let payload = message[header.len()..].strip_prefix('.').ok_or(VerifyError::Signature)?;
        let decode = |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| VerifyError::Signature);
        if !key.signing.verifies(message, &decode(signature)?) {
            return Err(VerifyError::Signature);
        }
        // A claim that is there twice, or of another type, is an error of its reader.
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| VerifyError::Claims)?;
        if claims.iss != self.issuer {
            return Err(VerifyError::Issuer { expected: self.issuer.clone() });
        }
        if claims.aud != self.audience {
            return Err(VerifyError::Audience { expected: self.audience.clone() });
        }
        if is_expired(claims.exp, now) {
            return Err(VerifyError::Expired { seconds: now.seconds().saturating_sub(claims.exp) });
        }
        Ok(Verified { claims, kid: key.signing.shared_kid() })
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The entity tag of a JWKS (RFC 9110, section 8.8.3).
pub fn jwks_etag(jwks: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwks.as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::keys::Algorithm;
    use crate::token::{Expiry, Hostname, Policy, TokenId};

    const ISSUER: &str = "https://tokens.example.com";

    pub(super) fn master() -> MasterKey {
        MasterKey::parse(&STANDARD.encode([1; 32])).unwrap()
    }

    pub(super) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_769_860_800 + seconds)
    }

    pub(super) fn rows(algorithm: Algorithm) -> Vec<SealedKey> {
        KeyRing::first(algorithm, &master(), at(0)).unwrap()
    }

    pub(super) fn ring(rows: &[SealedKey]) -> KeyRing {
        KeyRing::open(rows, &master(), ISSUER, "letta").unwrap()
    }

    pub(super) fn claims() -> Value {
        let policy = json!([{"type": "agent", "id": "agent-1", "access": ["read_agent"]}]);
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let subject = (
            Hostname::parse("https://a.example").unwrap(),
            policy,
            Expiry::after(at(0), Duration::from_secs(300)),
        );
        serde_json::to_value(Claims::new(
            ISSUER,
            "letta",
            "default",
            TokenId::new(at(0), &[1; 10]),
            at(0),
            subject,
        ))
        .unwrap()
    }

    pub(super) fn token(ring: &KeyRing, claims: &Value) -> String {
        ring.active().sign(&claims.to_string()).unwrap()
    }

    #[test]
    fn a_token_of_the_ring_is_verified_for_each_algorithm() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            let ring = ring(&rows(algorithm));
            let verified = ring.verify(&token(&ring, &claims()), at(1)).unwrap();
            assert_eq!(serde_json::to_value(&*verified).unwrap(), claims());
        }
    }

    #[test]
    fn claims_that_are_not_ours_are_refused() {
        let ring = ring(&rows(Algorithm::EdDSA));
        let issuer = VerifyError::Issuer { expected: ISSUER.to_owned() };
        let audience = VerifyError::Audience { expected: "letta".to_owned() };
        for (claim, value, error) in [
            ("iss", json!("https://evil.example"), &issuer),
            ("iss", json!(["https://tokens.example.com"]), &VerifyError::Claims),
            ("aud", json!("other"), &audience),
            ("aud", json!(["letta", "other"]), &VerifyError::Claims),
            ("exp", json!("1769861100"), &VerifyError::Claims),
            ("exp", json!(1e30), &VerifyError::Claims),
            ("jti", json!("x"), &VerifyError::Claims),
            ("policy", json!({"version": "1", "data": []}), &VerifyError::Claims),
        ] {
            let mut changed = claims();
            changed[claim] = value.clone();
            let refusal = ring.verify(&token(&ring, &changed), at(1));
            assert_eq!(refusal.unwrap_err(), *error, "{claim}: {value}");
        }
        for claim in ["iss", "aud", "exp", "sub", "jti", "iat", "hostname", "origin", "policy"] {
            let mut changed = claims();
            changed.as_object_mut().unwrap().remove(claim);
            assert!(ring.verify(&token(&ring, &changed), at(1)).is_err(), "{claim}");
        }
    }

    #[test]
    fn a_claim_given_twice_is_refused() {
        let ring = ring(&rows(Algorithm::EdDSA));
        let twice = claims().to_string().replacen('{', "{\"sub\":\"other\",", 1);
        let token = ring.active().sign(&twice).unwrap();
        assert_eq!(ring.verify(&token, at(1)).unwrap_err(), VerifyError::Claims);
    }

    #[test]
    fn a_token_is_over_five_seconds_past_its_exp() {
        let ring = ring(&rows(Algorithm::EdDSA));
        let token = token(&ring, &claims());
        assert!(ring.verify(&token, at(304)).is_ok());
        assert_eq!(ring.verify(&token, at(305)).unwrap_err(), VerifyError::Expired { seconds: 5 });
    }

    /// RFC 8725, sections 2.1 and 3.1: the header decides nothing.
    #[test]
    fn a_header_that_we_did_not_write_is_refused() {
        let ring = ring(&rows(Algorithm::EdDSA));
        let token = token(&ring, &claims());
        let (header, rest) = token.split_once('.').unwrap();
        let ours: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        for (field, value) in [
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("RS256")),
            ("typ", json!("JWT")),
            ("kid", json!("../../dev/null")),
            ("kid", json!("' OR 1=1 --")),
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/cert.pem")),
            ("jwk", serde_json::to_value(ring.active().jwk()).unwrap()),
            ("crit", json!(["b64"])),
        ] {
            let mut changed = ours.clone();
            changed[field] = value;
            let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(changed.to_string()));
            assert_eq!(ring.verify(&forged, at(1)).unwrap_err(), VerifyError::UnknownKey, "{field}");
        }
    }

    /// HS256 keyed with the public key, the classic confusion.
    #[test]
    fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
        let ring = ring(&rows(Algorithm::RS256));
        let public = serde_json::to_vec(ring.active().jwk()).unwrap();
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some(ring.active().kid().to_owned());
        header.typ = Some("at+jwt".to_owned());
        let forged =
            jsonwebtoken::encode(&header, &claims(), &jsonwebtoken::EncodingKey::from_secret(&public))
                .unwrap();
        assert_eq!(ring.verify(&forged, at(1)).unwrap_err(), VerifyError::UnknownKey);
    }

    #[test]
    fn another_spelling_of_the_signature_is_refused() {
        let ring = ring(&rows(Algorithm::EdDSA));
        let token = token(&ring, &claims());
        // 64 bytes leave four spare bits in the last character: `A` and `B` decode alike if they are ignored.
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = *token.as_bytes().last().unwrap();
        let place = alphabet.iter().position(|c| *c == last).unwrap();
        let sibling = char::from(alphabet[place ^ 1]);
        let respelled = format!("{}{sibling}", &token[..token.len() - 1]);
        assert_eq!(ring.verify(&respelled, at(1)).unwrap_err(), VerifyError::Signature);
        assert!(ring.verify(&format!("{token}="), at(1)).is_err());
        assert!(ring.verify(&format!("{token} "), at(1)).is_err());
    }

    #[test]
    fn a_ring_without_one_active_key_is_refused() {
        let rows = rows(Algorithm::EdDSA);
        assert!(matches!(KeyRing::open(&rows[1..], &master(), ISSUER, "letta"), Err(RingError::Active(0))));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_verified(text in "[A-Za-z0-9_.=-]{0,200}|.{0,60}") {
            let ring = ring(&rows(Algorithm::EdDSA));
            prop_assert!(ring.verify(&text, at(1)).is_err());
        }

        #[test]
        fn a_token_with_one_changed_character_is_refused(place in 0usize..500, to in "[A-Za-z0-9_.-]") {
            let ring = ring(&rows(Algorithm::EdDSA));
            let token = token(&ring, &claims());
            let place = place % token.len();
            prop_assume!(token[place..=place] != to);
            let changed = format!("{}{to}{}", &token[..place], &token[place + 1..]);
            prop_assert!(ring.verify(&changed, at(1)).is_err());
        }
    }
}
