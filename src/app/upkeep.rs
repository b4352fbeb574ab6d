//! What must happen now and then: noticing what other processes changed, rotating keys, destroying
//! those that ended, removing old records, noting when API keys were used.

use std::collections::HashMap;
use std::sync::Arc;

use super::{App, AppError, Settings, read, write};
use crate::clock::Timestamp;
use crate::keys::{
    ApiKey, ApiKeyHash, ApiKeyId, ApiKeys, KeyRing, KeyState, MasterKey, Project, RotationError,
    STATIC_KEY_ID, SealedKey,
};
use crate::store::{Store, StoreError, Versions};

/// Records removed in one transaction: little enough that no other write notices.
const PRUNE_BATCH: u32 = 500;

/// How often a change of the ring is tried when other processes change it meanwhile.
const RING_ATTEMPTS: usize = 10;

/// The project that the static key belongs to; every database has it.
const DEFAULT_PROJECT: &str = "default";

impl App {
    /// Reads what has changed since the last look. It costs one read when nothing has.
    pub async fn refresh(&self) -> Result<(), AppError> {
        let now: Versions = self.store.versions().await?;
        let seen = read(&self.seen);
        if now.api_keys != seen.api_keys {
            let keys = read_api_keys(&*self.store, self.static_key.as_ref().map(|key| key.as_str())).await?;
            // Uses noted in the old view but not yet written would be lost with it.
            self.note_api_key_uses().await?;
            write(&self.api_keys, Arc::new(keys));
            tracing::info!("API keys read again: they were changed");
        }
        if now.signing_keys != seen.signing_keys {
            self.reload_ring().await?;
            tracing::info!(active = self.ring().active().kid(), "signing keys read again: they were changed");
        }
        // Set last: what failed above is tried again at the next look.
        write(&self.seen, now);
        Ok(())
    }

    pub(super) async fn reload_ring(&self) -> Result<(), AppError> {
        let ring = read_ring(&*self.store, &self.settings, &self.master).await?;
        write(&self.ring, Arc::new(ring));
        Ok(())
    }

    /// Writes down when API keys were last used.
    pub async fn note_api_key_uses(&self) -> Result<(), StoreError> {
        let uses = read(&self.api_keys).take_uses();
        if uses.is_empty() { Ok(()) } else { self.store.note_api_key_uses(&uses).await }
    }

    /// Rotates the signing keys if the active one has signed for long enough, and destroys those
    /// whose last token is over.
    pub async fn tend_signing_keys(&self) -> Result<(), AppError> {
        let (settings, now) = (&self.settings, self.now());
        let tend = |rows: &[SealedKey]| {
            if is_due(rows, settings, now) {
                return KeyRing::rotate(
                    rows,
                    settings.algorithm,
                    settings.limits.max_ttl,
                    false,
                    &self.master,
                    now,
                )
                .map(Some);
            }
            Ok(KeyRing::without_ended(rows, now))
        };
        match change_ring(&*self.store, tend).await {
            Ok(true) => self.reload_ring().await,
            // The next key was published a moment ago: it takes its turn at a later look.
            Ok(false) | Err(AppError::Rotation(RotationError::TooSoon { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes one small batch of records that are past their retention; `true` if there may be more.
    pub async fn prune(&self) -> Result<bool, StoreError> {
        let cutoff = self.now().before(self.settings.retention);
        let removed = self.store.prune(cutoff, PRUNE_BATCH).await?;
        if removed > 0 {
            tracing::debug!(removed, "old records removed");
        }
        Ok(removed == u64::from(PRUNE_BATCH))
    }
}

fn is_due(rows: &[SealedKey], settings: &Settings, now: Timestamp) -> bool {
    let active = rows.iter().find(|row| row.state == KeyState::Active.as_str());
    active.is_some_and(|row| row.activated_at.unwrap_or(row.created_at).after(settings.rotate_every) <= now)
}

/// Makes the ring of a new database, and turns it at once if another algorithm was configured.
pub(super) async fn ensure_ring(
    store: &dyn Store,
    settings: &Settings,
    master: &MasterKey,
    now: Timestamp,
) -> Result<(), AppError> {
    let wanted = settings.algorithm;
    let ensure = |rows: &[SealedKey]| {
        if rows.is_empty() {
            return Ok(Some(KeyRing::first(wanted, master, now)?));
        }
        let active = rows.iter().find(|row| row.state == KeyState::Active.as_str());
        if active.is_some_and(|row| row.algorithm != wanted.as_str()) {
            return KeyRing::rotate(rows, wanted, settings.limits.max_ttl, true, master, now).map(Some);
        }
        Ok(None)
    };
    if change_ring(store, ensure).await? {
        tracing::info!(algorithm = %wanted, "signing keys made");
    }
    Ok(())
}

/// Changes the stored ring: reads it, asks for another, and puts that in its place unless another
/// process was faster; then it looks again. `false`: no change was wanted.
pub(super) async fn change_ring(
    store: &dyn Store,
    change: impl Fn(&[SealedKey]) -> Result<Option<Vec<SealedKey>>, RotationError> + Send,
) -> Result<bool, AppError> {
    for _ in 0..RING_ATTEMPTS {
        let version = store.versions().await?.signing_keys;
        let Some(keys) = change(&store.signing_keys().await?)? else {
            return Ok(false);
        };
        if store.replace_signing_keys(version, &keys).await? {
            return Ok(true);
        }
    }
    Err(AppError::Contended)
}

pub(super) async fn read_ring(
    store: &dyn Store,
    settings: &Settings,
    master: &MasterKey,
) -> Result<KeyRing, AppError> {
    let rows = store.signing_keys().await?;
    Ok(KeyRing::open(&rows, master, &settings.issuer, &settings.audience)?)
}

/// All live keys, and the static one.
pub(super) async fn read_api_keys(
    store: &dyn Store,
    static_key: Option<&str>,
) -> Result<ApiKeys, StoreError> {
    let projects: HashMap<i64, Arc<Project>> =
        store.projects().await?.into_iter().map(|project| (project.id, Arc::new(project))).collect();
    let mut keys = Vec::new();
    for stored in store.api_keys().await?.into_iter().filter(|key| key.revoked_at.is_none()) {
        let record = stored.record;
        let project = projects.get(&record.project_id).ok_or(StoreError::Damaged("API key's project"))?;
        keys.push((record.hash, ApiKey::new(record.id, project.clone(), record.gateway)));
    }
    if let Some(secret) = static_key {
        let default = projects.values().find(|project| project.name == DEFAULT_PROJECT);
        let project = default.ok_or(StoreError::Damaged("list of projects"))?;
        keys.push((
            ApiKeyHash::of(secret),
            ApiKey::new(ApiKeyId(STATIC_KEY_ID.to_owned()), project.clone(), true),
        ));
    }
    Ok(ApiKeys::new(keys))
}
