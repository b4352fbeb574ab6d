//! Making and revoking API keys, and turning the ring of signing keys.

use super::{App, AppError, upkeep};
use crate::keys::{ApiKeyHash, ApiKeyId, KeyRing, NewApiKey, Project, SealedRow};
use crate::store::{ApiKeyRecord, StoreError};
use crate::token::quote;

const MOST_NAME_CHARS: usize = 64;

/// A project's name: 1 to 64 of `a-z A-Z 0-9 . _ -`. It is the `sub` of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectName(String);

impl std::str::FromStr for ProjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=MOST_NAME_CHARS).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("must be 1 to {MOST_NAME_CHARS} letters, digits, `.`, `_` or `-`, got {}", quote(text)))
    }
}

impl ProjectName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What revoking an API key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedKey {
    /// Live tokens that went with it.
    pub tokens: u64,
}

impl App {
    /// Makes an API key, and the project if there is none of that name.
    pub async fn create_api_key(
        &self,
        name: &str,
        project: &ProjectName,
        gateway: bool,
    ) -> Result<(NewApiKey, Project), StoreError> {
        let now = self.now();
        let project = self.store.ensure_project(project.as_str(), now).await?;
        let key = NewApiKey::generate();
        let hash = ApiKeyHash::of(&key.secret);
        let row = SealedRow::ApiKey { id: &key.id.0, project_id: project.id, gateway, hash: hash.as_bytes() };
        let record = ApiKeyRecord {
            id: key.id.clone(),
            project_id: project.id,
            name: name.to_owned(),
            hash,
            gateway,
            created_at: now,
            seal: self.sealer.seal(row),
        };
        self.store.create_api_key(&record).await?;
        Ok((key, project))
    }

    /// Revokes an API key and, unless they are kept, the live tokens that it issued.
    pub async fn revoke_api_key(
        &self,
        id: &ApiKeyId,
        keep_tokens: bool,
    ) -> Result<Option<RevokedKey>, StoreError> {
        let revoked = self.store.revoke_api_key(id, keep_tokens, self.now()).await?;
        Ok(revoked.map(|tokens| RevokedKey { tokens }))
    }

    /// Makes the published next key sign. Unless forced, that is refused while verifiers may still
    /// hold a JWKS without it.
    pub async fn rotate_signing_keys(&self, force: bool) -> Result<(), AppError> {
        let (now, last_expiry) = (self.now(), self.last_expiry().await?);
        // The ring's, whatever this process was configured with: a command must not change it.
        let algorithm = self.ring().active().algorithm();
        let turn =
            |rows: &[_]| KeyRing::rotate(rows, algorithm, last_expiry, force, &self.master, now).map(Some);
        upkeep::change_ring(&*self.store, turn).await?;
        self.reload_ring().await
    }

    /// Takes a key that doesn't sign out of the ring: its tokens are refused, by the other servers within a second.
    pub async fn destroy_signing_key(&self, kid: &str) -> Result<(), AppError> {
        let now = self.now();
        let destroy = |rows: &[_]| KeyRing::without(rows, kid, &self.master, now).map(Some);
        upkeep::change_ring(&*self.store, destroy).await?;
        self.reload_ring().await
    }
}
