//! A signing key as it rests in the database: the private key encrypted, everything else in plain
//! text but bound to it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::ring::{KeyState, RingKey};
use super::{Algorithm, MasterKey, SigningKey};
use crate::clock::Timestamp;

const PURPOSE: &[u8] = b"hallpass signing keys v1";

/// A row of the key ring. `sealed` is nonce, ciphertext and tag of AES-256-GCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    pub kid: String,
    pub algorithm: String,
    pub state: String,
    pub created_at: Timestamp,
    pub activated_at: Option<Timestamp>,
    /// When a retired key stops verifying and is destroyed.
    pub ends_at: Option<Timestamp>,
    pub sealed: Vec<u8>,
}

/// Why a stored key can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "the master key does not open signing key `{kid}`: either the master key is not the one that this database \
         was made with, or the row was changed; nothing was written. Start with the right `HALLPASS_MASTER_KEY` or \
         master key file"
    )]
    Open { kid: String },
    #[error(
        "signing key `{kid}` has an unknown {what} `{value}`; was the database written by a newer version?"
    )]
    Unknown { kid: String, what: &'static str, value: String },
    #[error("the private key of `{kid}` opened, but is unusable: {cause}")]
    Unusable { kid: String, cause: super::SigningError },
    #[error("the cryptographic library refused to encrypt a signing key")]
    Seal,
}

impl SealedKey {
    /// Encrypts a key under the master key.
    pub(super) fn seal(key: &RingKey, pkcs8: &[u8], master: &MasterKey) -> Result<Self, SealError> {
        let mut row = Self {
            kid: key.signing.kid().to_owned(),
            algorithm: key.signing.algorithm().to_string(),
            state: key.state.as_str().to_owned(),
            created_at: key.created_at,
            activated_at: key.activated_at,
            ends_at: key.ends_at,
            sealed: Vec::new(),
        };
        let mut in_out = pkcs8.to_vec();
        let nonce = aead(master)
            .seal_in_place_append_tag(Aad::from(row.bound_data()), &mut in_out)
            .map_err(|_| SealError::Seal)?;
        row.sealed = [nonce.as_ref().as_slice(), &in_out].concat();
        Ok(row)
    }

    /// Decrypts the key and derives all that is public from it.
    pub(super) fn open(&self, master: &MasterKey) -> Result<RingKey, SealError> {
        let unknown =
            |what, value: &str| SealError::Unknown { kid: self.kid.clone(), what, value: value.to_owned() };
        let algorithm: Algorithm =
            self.algorithm.parse().map_err(|_| unknown("algorithm", &self.algorithm))?;
        let state = KeyState::named(&self.state).ok_or_else(|| unknown("state", &self.state))?;
        let pkcs8 = self.open_pkcs8(master)?;
        let signing = SigningKey::from_pkcs8(algorithm, &pkcs8)
            .map_err(|cause| SealError::Unusable { kid: self.kid.clone(), cause })?;
        Ok(RingKey {
            signing: signing.into(),
            state,
            created_at: self.created_at,
            activated_at: self.activated_at,
            ends_at: self.ends_at,
        })
    }

    /// Encrypts again with a new state and new dates, as rotation does.
    pub(super) fn reseal(&self, key: &RingKey, master: &MasterKey) -> Result<Self, SealError> {
        Self::seal(key, &self.open_pkcs8(master)?, master)
    }

    fn open_pkcs8(&self, master: &MasterKey) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let refused = || SealError::Open { kid: self.kid.clone() };
        let (nonce, ciphertext) = self.sealed.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut in_out = Zeroizing::new(ciphertext.to_vec());
        let plain = aead(master)
            .open_in_place(nonce, Aad::from(self.bound_data()), &mut in_out)
            .map_err(|_| refused())?
            .len();
        in_out.truncate(plain);
        Ok(in_out)
    }

    /// What the encryption vouches for besides the key. Whoever can write to the database but
    /// doesn't hold the master key can't bring a retired key back or move a date.
    fn bound_data(&self) -> String {
        let date = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.millis().to_string());
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.kid,
            self.algorithm,
            self.state,
            self.created_at.millis(),
            date(self.activated_at),
            date(self.ends_at)
        )
    }
}

fn aead(master: &MasterKey) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, master.derive(PURPOSE).as_ref())
        .expect("AES-256 takes a key of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        use base64::Engine;
        MasterKey::parse(&base64::engine::general_purpose::STANDARD.encode([byte; 32])).unwrap()
    }

    fn sealed() -> SealedKey {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::EdDSA).unwrap();
        let key = RingKey {
            signing: SigningKey::from_pkcs8(Algorithm::EdDSA, &pkcs8).unwrap().into(),
            state: KeyState::Retired,
            created_at: Timestamp::from_millis(1),
            activated_at: Some(Timestamp::from_millis(2)),
            ends_at: Some(Timestamp::from_millis(3)),
        };
        SealedKey::seal(&key, &pkcs8, &master(1)).unwrap()
    }

    #[test]
    fn what_was_sealed_opens() {
        let row = sealed();
        let key = row.open(&master(1)).unwrap();
        assert_eq!(
            (key.signing.kid(), key.state, key.ends_at),
            (row.kid.as_str(), KeyState::Retired, row.ends_at)
        );
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let refusal = sealed().open(&master(2)).unwrap_err();
        assert!(matches!(refusal, SealError::Open { .. }), "{refusal}");
    }

    #[test]
    fn writing_to_the_row_forges_nothing() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        type Change = fn(&mut SealedKey);
        let changes: [(&str, Change); 6] = [
            ("kid", |row| row.kid.push('x')),
            ("algorithm", |row| row.algorithm = "ES256".to_owned()),
            ("state", |row| row.state = "active".to_owned()),
            ("created_at", |row| row.created_at = Timestamp::from_millis(9)),
            ("sealed", |row| row.sealed[20] ^= 1),
            ("too short", |row| row.sealed.truncate(5)),
        ];
        for (what, change) in changes {
            let mut row = sealed();
            change(&mut row);
            assert!(row.open(&master(1)).is_err(), "{what}");
        }
        let mut row = sealed();
        row.ends_at = at(4);
        assert!(row.open(&master(1)).is_err());
        row.ends_at = at(3);
        row.activated_at = None;
        assert!(row.open(&master(1)).is_err());
    }

    #[test]
    fn the_private_key_is_not_in_the_row() {
        let pkcs8 = SigningKey::generate_pkcs8(Algorithm::EdDSA).unwrap();
        let key = RingKey {
            signing: SigningKey::from_pkcs8(Algorithm::EdDSA, &pkcs8).unwrap().into(),
            state: KeyState::Next,
            created_at: Timestamp::from_millis(1),
            activated_at: None,
            ends_at: None,
        };
        let row = SealedKey::seal(&key, &pkcs8, &master(1)).unwrap();
        assert!(!row.sealed.windows(16).any(|window| pkcs8.windows(16).any(|private| private == window)));
    }
}
