//! Judging tokens: is it ours, and is it still good? Both from memory: a verified token is remembered,
//! since checking a signature takes longer than everything else that is done for a request.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::revoked::Memory;
use super::{App, read};
use crate::keys::{ApiKey, Project, Verified, VerifyError};
use crate::store::StoreError;
use crate::token::is_expired;

/// How often at most an unknown signing key makes the server look for it.
const KEY_LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Bytes that remembered tokens may take, about: some ten thousand of usual size.
const MOST_REMEMBERED: u64 = 16 << 20;

/// For how many of them the cache is laid out; it grows.
const USUALLY_REMEMBERED: usize = 512;

/// Why a token, or an API key in its place, isn't honoured.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not signed by a key in use, or not for this server; what exactly is nobody's business.
    #[error("the token is not valid")]
    Invalid,
    #[error("the token expired {seconds} s ago")]
    Expired { seconds: i64 },
    #[error("the token was revoked")]
    Revoked,
    #[error("the API key was revoked")]
    KeyRevoked,
    /// Nobody knows.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tokens whose signature was checked, by the whole token.
pub(super) type Remembered = Cache<WholeToken, Arc<Verified>, TokenWeight, RandomState>;

/// A whole token as a key. It is compared whole; its hash is taken from its end, which is as random as a
/// signature is, since hashing all of it would cost more than everything else that a hit does. Only genuine
/// tokens are kept, so nobody can fill the cache with tokens that end alike.
#[derive(PartialEq, Eq)]
pub(super) struct WholeToken(Box<str>);

/// The same, borrowed.
struct Asked<'a>(&'a str);

/// Characters of its end that a token's hash is taken from: 192 bits.
const HASHED: usize = 32;

impl Hash for WholeToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Asked(&self.0).hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bytes = self.0.as_bytes();
        state.write(&bytes[bytes.len().saturating_sub(HASHED)..]);
    }
}

impl Equivalent<WholeToken> for Asked<'_> {
    fn equivalent(&self, key: &WholeToken) -> bool {
        *self.0 == *key.0
    }
}

/// The room that a token takes: the claims say the same as the token, at about the same length.
#[derive(Clone)]
pub(super) struct TokenWeight;

impl Weighter<WholeToken, Arc<Verified>> for TokenWeight {
    fn weight(&self, token: &WholeToken, _verified: &Arc<Verified>) -> u64 {
        2 * token.0.len() as u64 + 512
    }
}

pub(super) fn remembered() -> Remembered {
    let hasher = RandomState::default();
    Cache::with(USUALLY_REMEMBERED, MOST_REMEMBERED, TokenWeight, hasher, DefaultLifecycle::default())
}

impl App {
    /// A token's claims, if it is genuine and still good. When memory is too old to say whether it was
    /// revoked, that is an error of the store.
    pub async fn judge(&self, token: &str) -> Result<Arc<Verified>, TokenError> {
        if let Some(verified) = self.remembered.get(&Asked(token)) {
            self.standing(&verified).await?;
            return Ok(verified);
        }
        let mut outcome = self.ring().verify(token, self.now());
        if matches!(outcome, Err(VerifyError::UnknownKey)) && self.look_for_key().await {
            outcome = self.ring().verify(token, self.now());
        }
        let verified = Arc::new(outcome.map_err(|error| match error {
            VerifyError::Expired { seconds } => TokenError::Expired { seconds },
            VerifyError::UnknownKey
            | VerifyError::Signature
            | VerifyError::Issuer { .. }
            | VerifyError::Audience { .. }
            | VerifyError::Claims => TokenError::Invalid,
        })?);
        self.standing(&verified).await?;
        self.remembered.insert(WholeToken(token.into()), verified.clone());
        Ok(verified)
    }

    /// Whether a token that was genuine once is still good: not expired, its key in use, not revoked.
    pub async fn standing(&self, token: &Verified) -> Result<(), TokenError> {
        let now = self.now();
        if is_expired(token.exp, now) {
            return Err(TokenError::Expired { seconds: now.seconds() - token.exp });
        }
        if self.ring().key(token.kid(), now).is_none() {
            return Err(TokenError::Invalid);
        }
        self.expect_fresh()?;
        let revoked = match self.revoked.ask(token.jti) {
            Memory::Revoked => true,
            Memory::NotRevoked => false,
            Memory::Unsure => {
                self.store.find(token.jti).await?.is_none_or(|record| record.revoked_at.is_some())
            }
        };
        if revoked { Err(TokenError::Revoked) } else { Ok(()) }
    }

    /// The claims of a project's token, if it is good.
    pub async fn introspect(
        &self,
        project: &Project,
        token: &str,
    ) -> Result<Option<Arc<Verified>>, StoreError> {
        match self.judge(token).await {
            Ok(verified) => Ok(Some(verified).filter(|verified| verified.sub == project.name)),
            Err(TokenError::Store(error)) => Err(error),
            Err(
                TokenError::Invalid
                | TokenError::Expired { .. }
                | TokenError::Revoked
                | TokenError::KeyRevoked,
            ) => Ok(None),
        }
    }

    /// Refuses to judge by memory that is too old.
    fn expect_fresh(&self) -> Result<(), StoreError> {
        let age = self.revoked.age();
        if age > self.settings.max_staleness { Err(StoreError::Stale(age.as_secs())) } else { Ok(()) }
    }

    /// Whether an API key that was good once still is, as far as this server knows.
    pub fn key_standing(&self, key: &ApiKey) -> Result<(), TokenError> {
        self.expect_fresh()?;
        if read(&self.api_keys).contains(&key.id) { Ok(()) } else { Err(TokenError::KeyRevoked) }
    }

    /// Comes back when tokens were revoked since it did so last, here or elsewhere.
    pub async fn revocations(&self) {
        self.revoked.news().await;
    }

    /// Another server may have begun to sign with a key that isn't known here yet. Whoever sends
    /// nonsense must not make this server read again and again: it looks once in a while, for all who
    /// ask at the same time.
    async fn look_for_key(&self) -> bool {
        let mut looked = self.looked_for_key.lock().await;
        if looked.is_some_and(|at| at.elapsed() < KEY_LOOKS_EVERY) {
            return false;
        }
        *looked = Some(Instant::now());
        if let Err(error) = self.reload_ring().await {
            tracing::debug!(%error, "cannot look for a signing key");
        }
        // Who waited meanwhile is served by this look, however long it took.
        *looked = Some(Instant::now());
        true
    }
}
