//! The ring's way on: its first keys, one step further, and without keys whose time is over or that leaked.

use std::time::Duration;

use super::{JWKS_MAX_AGE, KeyRing, KeyState, RingError, RingKey};
use crate::clock::Timestamp;
use crate::keys::{Algorithm, MasterKey, SealedKey, SigningKey};
use crate::token::{EXPIRY_LEEWAY, quote};

/// How much longer than its last token a retired key is kept: a server that hasn't noticed the
/// rotation still signs with it for a moment.
const NOTICE: Duration = Duration::from_secs(60);

/// Why the ring stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error(
        "the next key was published {published} s ago; verifiers may still hold a JWKS without it for another \
         {wait} s. Wait, or rotate with `--force` and have tokens refused by such verifiers"
    )]
    TooSoon { published: i64, wait: i64 },
    #[error("no signing key has the id {0}; `hallpass signing-key list` shows those there are")]
    NoSuchKey(String),
    #[error(
        "the key signs; have another one sign first, by `hallpass signing-key rotate --force`, and destroy it then"
    )]
    Signs,
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl KeyRing {
    /// The ring of a new database: a key that signs and the one after it.
    pub fn first(
        algorithm: Algorithm,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<Vec<SealedKey>, RingError> {
        Ok(vec![
            new_key(algorithm, KeyState::Active, master, now)?,
            new_key(algorithm, KeyState::Next, master, now)?,
        ])
    }

    /// The rows of the ring one step on: the next key signs, the active one retires until its last
    /// token, which ends at `last_expiry` at the latest, is over, ended ones are gone, and another next key is made. When `algorithm` is
    /// not that of the next key, a new key of it signs at once: there is none that was published.
    pub fn rotate(
        rows: &[SealedKey],
        algorithm: Algorithm,
        last_expiry: Timestamp,
        force: bool,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<Vec<SealedKey>, RotationError> {
        let mut rotated = Vec::with_capacity(rows.len() + 1);
        let mut promoted = false;
        for row in rows {
            let mut key = row.open(master).map_err(RingError::from)?;
            match key.state {
                KeyState::Next if key.signing.algorithm() == algorithm => {
                    refuse_too_soon(key.created_at, force, now)?;
                    key.state = KeyState::Active;
                    key.activated_at = Some(now);
                    promoted = true;
                }
                // Of another algorithm: it never signed and never will.
                KeyState::Next => continue,
                KeyState::Active => {
                    key.state = KeyState::Retired;
                    key.ends_at = Some(last_expiry.after(EXPIRY_LEEWAY).after(NOTICE));
                }
                KeyState::Retired if key.verifies(now) => {}
                KeyState::Retired => continue,
            }
            rotated.push(row.reseal(&key, master).map_err(RingError::from)?);
        }
        if !promoted {
            rotated.push(new_key(algorithm, KeyState::Active, master, now)?);
        }
        rotated.push(new_key(algorithm, KeyState::Next, master, now)?);
        Ok(rotated)
    }

    /// The rows without the retired keys whose time is over, or `None` if there are none.
    pub fn without_ended(rows: &[SealedKey], now: Timestamp) -> Option<Vec<SealedKey>> {
        let ended = |row: &SealedKey| row.ends_at.is_some_and(|ends_at| ends_at <= now);
        rows.iter().any(ended).then(|| rows.iter().filter(|row| !ended(row)).cloned().collect())
    }

    /// The rows without one key, however long it would have verified. In place of the next key there is another.
    pub fn without(
        rows: &[SealedKey],
        kid: &str,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<Vec<SealedKey>, RotationError> {
        let Some(row) = rows.iter().find(|row| row.kid == kid) else {
            return Err(RotationError::NoSuchKey(quote(kid)));
        };
        let key = row.open(master).map_err(RingError::from)?;
        let mut rest: Vec<_> = rows.iter().filter(|row| row.kid != kid).cloned().collect();
        match key.state {
            KeyState::Active => return Err(RotationError::Signs),
            KeyState::Next => rest.push(new_key(key.signing.algorithm(), KeyState::Next, master, now)?),
            KeyState::Retired => {}
        }
        Ok(rest)
    }
}

fn refuse_too_soon(published_at: Timestamp, force: bool, now: Timestamp) -> Result<(), RotationError> {
    let published = now.seconds() - published_at.seconds();
    let wait = JWKS_MAX_AGE.as_secs().cast_signed() - published;
    if wait > 0 && !force { Err(RotationError::TooSoon { published, wait }) } else { Ok(()) }
}

fn new_key(
    algorithm: Algorithm,
    state: KeyState,
    master: &MasterKey,
    now: Timestamp,
) -> Result<SealedKey, RingError> {
    let pkcs8 = SigningKey::generate_pkcs8(algorithm)?;
    let key = RingKey {
        signing: SigningKey::from_pkcs8(algorithm, &pkcs8)?.into(),
        state,
        created_at: now,
        activated_at: (state == KeyState::Active).then_some(now),
        ends_at: None,
    };
    Ok(SealedKey::seal(&key, &pkcs8, master)?)
}

#[cfg(test)]
mod tests {
    use super::super::VerifyError;
    use super::super::tests::{at, claims, master, ring, rows, token};
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn rotate(
        rows: &[SealedKey],
        algorithm: Algorithm,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<SealedKey>, RotationError> {
        KeyRing::rotate(rows, algorithm, now.after(DAY), force, &master(), now)
    }

    fn states(rows: &[SealedKey]) -> Vec<&str> {
        rows.iter().map(|row| row.state.as_str()).collect()
    }

    #[test]
    fn rotation_promotes_the_published_key_and_keeps_the_old_one_verifying() {
        let before = rows(Algorithm::EdDSA);
        let old = token(&ring(&before), &claims());
        let after = rotate(&before, Algorithm::EdDSA, false, at(300)).unwrap();
        assert_eq!(states(&after), ["retired", "active", "next"]);
        assert_eq!(after[1].kid, before[1].kid);
        assert!(ring(&after).verify(&old, at(301)).is_ok());
    }

    #[test]
    fn a_key_is_published_for_a_cache_period_before_it_signs() {
        let before = rows(Algorithm::EdDSA);
        let refusal = rotate(&before, Algorithm::EdDSA, false, at(299)).unwrap_err();
        assert!(matches!(refusal, RotationError::TooSoon { published: 299, wait: 1 }), "{refusal}");
        assert!(rotate(&before, Algorithm::EdDSA, true, at(0)).is_ok());
    }

    #[test]
    fn a_change_of_algorithm_signs_at_once_and_keeps_old_tokens() {
        let before = rows(Algorithm::EdDSA);
        let old = token(&ring(&before), &claims());
        let after = rotate(&before, Algorithm::ES256, false, at(1)).unwrap();
        assert_eq!(states(&after), ["retired", "active", "next"]);
        assert!(after[1..].iter().all(|row| row.algorithm == "ES256"));
        assert!(ring(&after).verify(&old, at(2)).is_ok());
    }

    #[test]
    fn a_retired_key_verifies_until_its_last_token_is_over_and_is_then_destroyed() {
        let rows = rotate(&rows(Algorithm::EdDSA), Algorithm::EdDSA, true, at(0)).unwrap();
        let ends = rows[0].ends_at.unwrap();
        assert_eq!(ends, at(86_400 + 5 + 60));
        let ring = ring(&rows);
        assert!(ring.key(&rows[0].kid, at(86_464)).is_some());
        assert!(ring.key(&rows[0].kid, ends).is_none());
        assert!(KeyRing::without_ended(&rows, at(86_464)).is_none());
        assert_eq!(states(&KeyRing::without_ended(&rows, ends).unwrap()), ["active", "next"]);
    }

    #[test]
    fn a_key_that_leaked_can_be_destroyed_unless_it_signs() {
        let before = rows(Algorithm::EdDSA);
        let old = token(&ring(&before), &claims());
        let rotated = rotate(&before, Algorithm::EdDSA, true, at(0)).unwrap();
        let without = |kid: &str| KeyRing::without(&rotated, kid, &master(), at(1));

        let rest = without(&rotated[0].kid).unwrap();
        assert_eq!(states(&rest), ["active", "next"]);
        assert_eq!(ring(&rest).verify(&old, at(1)).unwrap_err(), VerifyError::UnknownKey);

        let rest = without(&rotated[2].kid).unwrap();
        assert_eq!(states(&rest), ["retired", "active", "next"]);
        assert_ne!(rest[2].kid, rotated[2].kid, "the next key that leaked is another");
        assert!(ring(&rest).verify(&old, at(1)).is_ok());

        assert!(matches!(without(&rotated[1].kid).unwrap_err(), RotationError::Signs));
        let unknown = without("nobody").unwrap_err().to_string();
        assert!(unknown.starts_with("no signing key has the id `nobody`; "), "{unknown}");
    }
}
