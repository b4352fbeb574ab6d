//! Rows of keys and projects as both databases give them.

use super::{ApiKeyRecord, StoreError, StoredApiKey};
use crate::clock::Timestamp;
use crate::keys::{ApiKeyHash, ApiKeyId, Project, RowSeal, SealedKey};

/// A row of `projects`: id, name, agents in JSON.
pub(super) type ProjectRow = (i64, String, Option<String>);

pub(super) fn project((id, name, agents): ProjectRow) -> Result<Project, StoreError> {
    let agents = agents.map(|agents| serde_json::from_str(&agents)).transpose();
    Ok(Project { id, name, agents: agents.map_err(|_| StoreError::Damaged("list of agents"))? })
}

/// A row of `api_keys`: id, project, name, hash, gateway, created, seal, last used, revoked at.
pub(super) type ApiKeyRow = (String, i64, String, Vec<u8>, bool, i64, Vec<u8>, Option<i64>, Option<i64>);

pub(super) fn api_key(row: ApiKeyRow) -> Result<StoredApiKey, StoreError> {
    let (id, project_id, name, hash, gateway, created_at, seal, last_used_at, revoked_at) = row;
    let hash = ApiKeyHash::from_bytes(hash.try_into().map_err(|_| StoreError::Damaged("API key hash"))?);
    let seal = RowSeal::from_bytes(seal.try_into().map_err(|_| StoreError::Damaged("seal"))?);
    let created_at = Timestamp::from_millis(created_at);
    Ok(StoredApiKey {
        record: ApiKeyRecord { id: ApiKeyId(id.into()), project_id, name, hash, gateway, created_at, seal },
        last_used_at: last_used_at.map(Timestamp::from_millis),
        revoked_at: revoked_at.map(Timestamp::from_millis),
    })
}

/// A row of `signing_keys`: kid, algorithm, state, created, activated, ends at, sealed.
pub(super) type SigningKeyRow = (String, String, String, i64, Option<i64>, Option<i64>, Vec<u8>);

pub(super) fn signing_key(
    (kid, algorithm, state, created_at, activated_at, ends_at, sealed): SigningKeyRow,
) -> SealedKey {
    SealedKey {
        kid,
        algorithm,
        state,
        created_at: Timestamp::from_millis(created_at),
        activated_at: activated_at.map(Timestamp::from_millis),
        ends_at: ends_at.map(Timestamp::from_millis),
        sealed,
    }
}
