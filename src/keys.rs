//! Keys: the ring that signs and verifies tokens, its encryption at rest, and the API keys of
//! backends. No storage here: what is stored is handed in and out as values.

mod api_key;
mod master;
mod ring;
mod seal;
mod sealed;
mod signing;

pub use api_key::{
    ApiKey, ApiKeyHash, ApiKeyId, ApiKeys, DEV_API_KEY, NewApiKey, Project, STATIC_KEY_ID, StaticKey,
    has_key_form,
};
pub use master::{MasterKey, MasterKeyError, MasterKeySource};
pub use ring::{
    JWKS_MAX_AGE, KeyRing, KeyState, RingError, RingKey, RotationError, Verified, VerifyError, jwks_etag,
};
pub use seal::{RowSeal, RowSealer, SealedRow};
pub use sealed::{SealError, SealedKey};
pub use signing::{Algorithm, SigningError, SigningKey};

/// Random bytes from the cryptographic generator.
///
/// # Panics
///
/// If the operating system has no randomness to give; no key or id can be made then.
#[expect(clippy::disallowed_methods, reason = "the one place that draws from the generator")]
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
