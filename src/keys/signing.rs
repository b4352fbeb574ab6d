//! One signing key: its algorithm, its key pair held ready, and its public half as a JWK.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Header};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The `typ` of every token (RFC 9068, section 2.1).
const TOKEN_TYPE: &str = "at+jwt";

/// How tokens are signed (RFC 7518, section 3.1, and RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Algorithm {
    EdDSA,
    ES256,
    RS256,
}

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            Algorithm::RS256 => "RS256",
        }
    }

    pub(super) fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| format!("must be `EdDSA`, `ES256` or `RS256`, got `{text}`"))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a key can't be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error("the cryptographic library refused to make a key")]
    Generate,
    #[error("the private key cannot be read: {0}")]
    Read(String),
    #[error("the cryptographic library refused to sign")]
    Sign,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair, ParsedPublicKey),
    Rsa(RsaKeyPair, ParsedPublicKey),
}

/// A key pair ready to sign and to verify. It is parsed once: parsing costs as much as a signature.
pub struct SigningKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    pair: Pair,
    jwk: Jwk,
    header_segment: String,
}

impl SigningKey {
    /// Makes a new private key, in PKCS #8 (RFC 5958). RSA keys have 2,048 bits and take a tenth of
    /// a second or more.
    pub fn generate_pkcs8(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let failed = |_| SigningError::Generate;
        let bytes = match algorithm {
            Algorithm::EdDSA => {
                Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8()).map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::ES256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(bytes))
    }

    /// Reads a private key in PKCS #8; everything public is derived from it.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, SigningError> {
        let read = |e: aws_lc_rs::error::KeyRejected| SigningError::Read(e.to_string());
        let (pair, decoding) = match algorithm {
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(read)?;
                let decoding = DecodingKey::from_ed_der(pair.public_key().as_ref());
                (Pair::Ed25519(pair), decoding)
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(read)?;
                let decoding = DecodingKey::from_ec_der(pair.public_key().as_ref());
                let public =
                    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).map_err(read)?;
                (Pair::P256(pair, public), decoding)
            }
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(read)?;
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let decoding = DecodingKey::from_rsa_raw_components(&parts.n, &parts.e);
                let public =
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key()).map_err(read)?;
                (Pair::Rsa(pair, public), decoding)
            }
        };
        let jwt_error = |e: jsonwebtoken::errors::Error| SigningError::Read(e.to_string());
        let mut jwk = Jwk::from_decoding_key(&decoding, Some(algorithm.jwt())).map_err(jwt_error)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(jwt_error)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let header_segment = header_segment(algorithm, &kid)?;
        Ok(Self { kid: kid.into(), algorithm, pair, jwk, header_segment })
    }

    /// The key's id: the thumbprint of its JWK (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The same, for records, of which there are many.
    pub fn shared_kid(&self) -> Arc<str> {
        self.kid.clone()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half (RFC 7517).
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The header of this key's tokens, encoded: it is the same for each of them, to the byte.
    pub(super) fn header_segment(&self) -> &str {
        &self.header_segment
    }

    /// Whether this key signed the message (RFC 7515, section 5.2). The algorithm is the key's own.
    pub(super) fn verifies(&self, message: &str, signature: &[u8]) -> bool {
        let message = message.as_bytes();
        match &self.pair {
            // A message has one Ed25519 signature that its key would make (RFC 8032, section 5.1.6), and
            // making it again takes a third of the time of checking one by the public key. Ours never leaves
            // here, and how long that takes depends on the message's length alone; nor may the comparison
            // tell how far a forged one was right.
            Pair::Ed25519(pair) => {
                pair.try_sign(message).is_ok_and(|ours| ours.as_ref().ct_eq(signature).into())
            }
            Pair::P256(_, public) | Pair::Rsa(_, public) => public.verify_sig(message, signature).is_ok(),
        }
    }

    /// The token with this payload (RFC 7515, section 5.1). For Ed25519 and RSA the same payload gives
    /// the same token, for ECDSA another valid one.
    pub fn sign(&self, payload_json: &str) -> Result<String, SigningError> {
        let encoded = |bytes: usize| bytes.div_ceil(3) * 4;
        let mut token = String::with_capacity(
            self.header_segment.len() + encoded(payload_json.len()) + encoded(self.signature_len()) + 2,
        );
        token.push_str(&self.header_segment);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload_json, &mut token);
        let message = token.as_bytes();
        let mut rsa_signature = Vec::new();
        let ecdsa_or_ed;
        let signature = match &self.pair {
            Pair::Ed25519(pair) => {
                ecdsa_or_ed = pair.try_sign(message).map_err(|_| SigningError::Sign)?;
                ecdsa_or_ed.as_ref()
            }
            Pair::P256(pair, _) => {
                ecdsa_or_ed = pair.sign(&SystemRandom::new(), message).map_err(|_| SigningError::Sign)?;
                ecdsa_or_ed.as_ref()
            }
            Pair::Rsa(pair, _) => {
                rsa_signature.resize(pair.public_modulus_len(), 0);
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut rsa_signature)
                    .map_err(|_| SigningError::Sign)?;
                &rsa_signature
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature_len(&self) -> usize {
        match &self.pair {
            Pair::Ed25519(_) | Pair::P256(..) => 64,
            Pair::Rsa(pair, _) => pair.public_modulus_len(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn header_segment(algorithm: Algorithm, kid: &str) -> Result<String, SigningError> {
    let mut header = Header::new(algorithm.jwt());
    header.typ = Some(TOKEN_TYPE.to_owned());
    header.kid = Some(kid.to_owned());
    let json = serde_json::to_vec(&header).map_err(|e| SigningError::Read(e.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::from_pkcs8(algorithm, &SigningKey::generate_pkcs8(algorithm).unwrap()).unwrap()
    }

    #[test]
    fn each_algorithm_signs_what_jsonwebtoken_verifies() {
        for algorithm in ALL {
            let key = key(algorithm);
            let token = key.sign("{\"a\":1}").unwrap();
            let (input, signature) = token.rsplit_once('.').unwrap();
            let decoding = DecodingKey::from_jwk(key.jwk()).unwrap();
            let verified =
                jsonwebtoken::crypto::verify(signature, input.as_bytes(), &decoding, algorithm.jwt())
                    .unwrap();
            assert!(verified, "{algorithm}");
        }
    }

    #[test]
    fn ed25519_and_rsa_sign_the_same_payload_alike() {
        for (algorithm, alike) in
            [(Algorithm::EdDSA, true), (Algorithm::RS256, true), (Algorithm::ES256, false)]
        {
            let key = key(algorithm);
            assert_eq!(key.sign("{}").unwrap() == key.sign("{}").unwrap(), alike, "{algorithm}");
        }
    }

    /// RFC 8037, appendices A.1 to A.3: the private key, its public JWK and the thumbprint.
    #[test]
    fn the_kid_is_the_thumbprint_of_rfc_7638() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let pkcs8 = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().to_pkcs8().unwrap();
        let key = SigningKey::from_pkcs8(Algorithm::EdDSA, pkcs8.as_ref()).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_jwk_holds_no_private_part() {
        for algorithm in ALL {
            let jwk = serde_json::to_value(key(algorithm).jwk()).unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{algorithm}: {private}");
            }
            assert_eq!((&jwk["use"], &jwk["alg"]), (&"sig".into(), &algorithm.as_str().into()));
        }
    }

    #[test]
    fn debug_shows_no_private_key() {
        let key = key(Algorithm::EdDSA);
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey {{ kid: {:?}, algorithm: EdDSA, .. }}", key.kid())
        );
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::EdDSA).unwrap();
        assert!(matches!(SigningKey::from_pkcs8(Algorithm::ES256, &pkcs8), Err(SigningError::Read(_))));
    }
}
