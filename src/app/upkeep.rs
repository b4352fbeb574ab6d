//! What must happen now and then: noticing what other processes changed, rotating keys, destroying
//! those that ended, removing old records, noting when API keys were used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::revoked::kept_since;
use super::{App, AppError, Settings, read, write};
use crate::clock::Timestamp;
use crate::keys::{
    ApiKey, ApiKeyHash, ApiKeyId, ApiKeys, KeyRing, KeyState, MasterKey, Project, RotationError, RowSealer,
    STATIC_KEY_ID, SealedKey, StaticKey,
};
use crate::store::{Store, StoreError, Versions};
use crate::token::{SKEW_AHEAD, retained_from};

/// Records removed in one transaction: little enough that no other write notices.
const PRUNE_BATCH: u32 = 500;

/// How often a change of the ring is tried when other processes change it meanwhile.
const RING_ATTEMPTS: usize = 10;

/// The project that the static key belongs to; every database has it.
const DEFAULT_PROJECT: &str = "default";

impl App {
    /// Reads what has changed since the last look. It costs two small reads when nothing has.
    pub async fn refresh(&self) -> Result<(), AppError> {
        let (looked_at, clock) = (Instant::now(), self.now());
        let found = self.store.revocations(self.revoked.cursor(clock), kept_since(clock)).await?;
        self.revoked.take(looked_at, clock, found);
        let now: Versions = self.store.versions().await?;
        let seen = read(&self.seen);
        if now.api_keys != seen.api_keys {
            let keys = read_api_keys(&*self.store, &self.sealer, self.static_key.as_ref()).await?;
            let earlier = read(&self.api_keys);
            keys.inherit_uses(&earlier);
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

    /// One at a time: of two that overlap, the one that read first must not write last.
    pub(super) async fn reload_ring(&self) -> Result<(), AppError> {
        let _turn = self.reloading_ring.lock().await;
        let ring = read_ring(&*self.store, &self.settings, &self.master).await?;
        write(&self.ring, Arc::new(ring));
        Ok(())
    }

    /// Writes down when API keys were last used.
    pub async fn note_api_key_uses(&self) -> Result<(), StoreError> {
        let keys = read(&self.api_keys);
        let uses = keys.unnoted_uses();
        if !uses.is_empty() {
            self.store.note_api_key_uses(&uses).await?;
            keys.mark_noted(&uses);
        }
        Ok(())
    }

    /// Has the configured algorithm sign from now on. A server does this at its start; a command,
    /// which may have been given another configuration, never does.
    pub async fn adopt_algorithm(&self) -> Result<(), AppError> {
        let (wanted, now, last_expiry) = (self.settings.algorithm, self.now(), self.last_expiry().await?);
        let turn = |rows: &[SealedKey]| {
            let active = rows.iter().find(|row| row.state == KeyState::Active.as_str());
            if active.is_none_or(|row| row.algorithm == wanted.as_str()) {
                return Ok(None);
            }
            KeyRing::rotate(rows, wanted, last_expiry, true, &self.master, now).map(Some)
        };
        if change_ring(&*self.store, turn).await? {
            self.reload_ring().await?;
            tracing::info!(algorithm = %wanted, "another algorithm signs from now on; tokens signed before stay good");
        }
        Ok(())
    }

    /// When the last token that a key could have signed by now ends: of all that there are, and of
    /// those that a server may issue before it notices that the key has retired.
    pub(super) async fn last_expiry(&self) -> Result<Timestamp, StoreError> {
        let latest = self.now().after(self.settings.limits.max_ttl).after(SKEW_AHEAD);
        Ok(self.store.last_expiry().await?.map_or(latest, |last| last.max(latest)))
    }

    /// Rotates the signing keys if the active one has signed for long enough, and destroys those
    /// whose last token is over.
    pub async fn tend_signing_keys(&self) -> Result<(), AppError> {
        let (settings, now, last_expiry) = (&self.settings, self.now(), self.last_expiry().await?);
        let algorithm = self.ring().active().algorithm();
        let tend = |rows: &[SealedKey]| {
            if is_due(rows, settings, now) {
                return KeyRing::rotate(rows, algorithm, last_expiry, false, &self.master, now).map(Some);
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
        let cutoff = retained_from(self.now(), self.settings.retention);
        self.count_backlog(cutoff).await?;
        let removed = self.store.prune(cutoff, PRUNE_BATCH).await?;
        if removed > 0 {
            tracing::debug!(removed, "old records removed");
        }
        let may_be_more = removed == u64::from(PRUNE_BATCH);
        if !may_be_more {
            self.backlog.note_none();
        }
        Ok(may_be_more)
    }
}

fn is_due(rows: &[SealedKey], settings: &Settings, now: Timestamp) -> bool {
    let active = rows.iter().find(|row| row.state == KeyState::Active.as_str());
    active.is_some_and(|row| row.activated_at.unwrap_or(row.created_at).after(settings.rotate_every) <= now)
}

/// Makes the ring of a new database.
pub(super) async fn ensure_ring(
    store: &dyn Store,
    settings: &Settings,
    master: &MasterKey,
    now: Timestamp,
) -> Result<(), AppError> {
    let make_first = |rows: &[SealedKey]| {
        let first = || KeyRing::first(settings.algorithm, master, now).map_err(RotationError::from);
        rows.is_empty().then(first).transpose()
    };
    if change_ring(store, make_first).await? {
        tracing::info!(algorithm = %settings.algorithm, "signing keys made");
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
    sealer: &RowSealer,
    static_key: Option<&StaticKey>,
) -> Result<ApiKeys, StoreError> {
    let projects: HashMap<i64, Arc<Project>> =
        store.projects().await?.into_iter().map(|project| (project.id, Arc::new(project))).collect();
    let mut keys = Vec::new();
    for stored in store.api_keys().await?.into_iter().filter(|key| key.revoked_at.is_none()) {
        let record = stored.record;
        if !sealer.fits(record.sealed_row(), record.seal) {
            tracing::error!(id = %record.id, "an API key in the database was not written by Hallpass, or was changed; it is ignored");
            continue;
        }
        let project = projects.get(&record.project_id).ok_or(StoreError::Damaged("API key's project"))?;
        keys.push((record.hash, ApiKey::new(record.id, project.clone(), record.gateway)));
    }
    if let Some(key) = static_key {
        let default = projects.values().find(|project| project.name == DEFAULT_PROJECT);
        let project = default.ok_or(StoreError::Damaged("list of projects"))?;
        keys.push((
            ApiKeyHash::of(&key.secret),
            ApiKey::new(ApiKeyId(STATIC_KEY_ID.into()), project.clone(), key.gateway),
        ));
    }
    Ok(ApiKeys::new(keys))
}
