//! Issuing, listing and revoking tokens.

use super::App;
use super::revoked::Memory;
use crate::clock::Timestamp;
use crate::keys::{ApiKeyId, KeyRing, Project, RowSealer, SealedRow, SigningError, random_bytes};
use crate::store::{IssuanceRecord, ListQuery, StoreError, StoredToken};
use crate::token::{
    Claims, FieldError, Policy, PolicyClaim, SKEW_AHEAD, TokenId, TokenRequest, UnverifiedClaims, is_expired,
    quote,
};

/// A token just issued: its record is durable.
#[derive(Debug)]
pub struct IssuedToken {
    pub jti: TokenId,
    pub token: String,
    pub expires_at: Timestamp,
    pub hostname: String,
    pub policy: PolicyClaim,
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("{}", FieldError::list(.0))]
    Agents(Vec<FieldError>),
    #[error("the API key has just been revoked")]
    KeyRevoked,
    #[error("the token would have {bytes} bytes, the limit is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("the claims cannot be written: {0}")]
    Claims(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A token as a list shows it.
#[derive(Debug)]
pub struct ListedToken {
    pub jti: TokenId,
    /// The token while it is live, else its id.
    pub token: String,
    pub api_key_id: String,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub hostname: String,
    pub policy: PolicyClaim,
}

/// A page of a list.
#[derive(Debug)]
pub struct ListedPage {
    pub tokens: Vec<ListedToken>,
    pub has_next: bool,
}

impl App {
    /// Issues a token for a project, on behalf of an API key. When this returns, its record is
    /// durable: a token that is handed out can always be listed and revoked.
    pub async fn issue(
        &self,
        project: &Project,
        api_key: &ApiKeyId,
        request: TokenRequest,
    ) -> Result<IssuedToken, IssueError> {
        refuse_foreign_agents(project, &request.policy)?;
        let now = self.now();
        let jti = TokenId::new(now, &random_bytes());
        let expires_at = request.expiry.at();
        let subject = (request.hostname, request.policy, request.expiry);
        let settings = &self.settings;
        let claims = Claims::new(&settings.issuer, &settings.audience, &project.name, jti, now, subject);

        let ring = self.ring();
        let payload = serde_json::to_string(&claims)?;
        let kid = ring.active().kid();
        let token = ring.active().sign(&payload)?;
        let limit = self.settings.max_token_bytes;
        if token.len() > limit {
            return Err(IssueError::TooLarge { bytes: token.len(), limit });
        }
        let (project_id, at) = (project.id, expires_at.millis());
        let seal = self.sealer.seal(SealedRow::Token { project_id, expires_at: at, kid, payload: &payload });
        let record = IssuanceRecord {
            jti,
            project_id,
            api_key_id: api_key.clone(),
            origin: claims.origin,
            agents: claims.policy.data.grants().iter().map(|grant| grant.id.clone()).collect(),
            expires_at,
            kid: ring.active().shared_kid(),
            payload,
            seal,
        };
        if !self.store.issue(record).await? {
            return Err(IssueError::KeyRevoked);
        }
        self.issued.increment();
        Ok(IssuedToken { jti, token, expires_at, hostname: claims.hostname, policy: claims.policy })
    }

    /// A page of tokens. Live ones are signed again from what was stored, off the runtime that
    /// answers requests.
    pub async fn list(&self, query: &ListQuery) -> Result<ListedPage, StoreError> {
        // Before the page is read: what waits here holds no rows.
        let permit = self.signing_pages.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let page = self.store.list(query).await?;
        let (ring, sealer, now) = (self.ring(), self.sealer.clone(), query.now);
        let sign_all = move || {
            let _permit = permit;
            page.tokens
                .into_iter()
                .map(|stored| listed(&ring, &sealer, stored, now))
                .collect::<Result<Vec<_>, _>>()
        };
        let tokens = tokio::task::spawn_blocking(sign_all).await.map_err(|_| StoreError::Closed)??;
        Ok(ListedPage { tokens, has_next: page.has_next })
    }

    /// Revokes a project's token. When this returns, this server refuses it, and the others do so
    /// within a second. `false`: the project never issued such a token.
    pub async fn revoke(&self, project: &Project, jti: TokenId) -> Result<bool, StoreError> {
        let now = self.now();
        let again = self.revoked.ask(jti) == Memory::Revoked;
        let revoked = self.store.revoke(project.id, jti, now).await?;
        if revoked {
            if !again {
                self.revoked_here.increment();
            }
            // The next look finds when it really ends.
            self.revoked.note(jti, now.after(self.settings.limits.max_ttl).after(SKEW_AHEAD));
        }
        Ok(revoked)
    }
}

fn refuse_foreign_agents(project: &Project, policy: &Policy) -> Result<(), IssueError> {
    let foreign: Vec<_> = policy
        .grants()
        .iter()
        .enumerate()
        .filter(|(_, grant)| !project.may_grant(&grant.id))
        .map(|(index, grant)| {
            let rule = format!(
                "is not among the agents that project `{}` may issue for, got {}",
                project.name,
                quote(grant.id.as_str())
            );
            FieldError::new(format!("policy[{index}].id"), rule)
        })
        .collect();
    if foreign.is_empty() { Ok(()) } else { Err(IssueError::Agents(foreign)) }
}

fn listed(
    ring: &KeyRing,
    sealer: &RowSealer,
    stored: StoredToken,
    now: Timestamp,
) -> Result<ListedToken, StoreError> {
    let claims: UnverifiedClaims =
        serde_json::from_str(&stored.payload).map_err(|_| StoreError::Damaged("payload"))?;
    let mut live = stored.revoked_at.is_none() && !is_expired(stored.expires_at.seconds(), now);
    if live && !sealer.fits(stored.sealed_row(), stored.seal) {
        tracing::error!(jti = %stored.jti, "a token's record was not written by Hallpass, or was changed; it is not signed");
        live = false;
    }
    // A live token whose key is gone verifies nowhere: it is shown like one that is over.
    let signed = ring.key(&stored.kid, now).filter(|_| live).and_then(|key| key.sign(&stored.payload).ok());
    Ok(ListedToken {
        jti: stored.jti,
        token: signed.unwrap_or_else(|| stored.jti.to_string()),
        api_key_id: stored.api_key_id,
        expires_at: stored.expires_at,
        revoked_at: stored.revoked_at,
        hostname: claims.hostname,
        policy: claims.policy,
    })
}
