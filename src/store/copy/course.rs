//! The course of a copy, from the first look at both ends to the commit.

use super::{Copied, CopyCounts, CopyEnd, CopyError, CopyRequest, Held};
use crate::keys::KeyRing;
use crate::store::rows::signing_key;
use crate::store::{DatabaseUrl, OpenError, admin};
use crate::token::live_from;

/// Rows that are in memory at the same time; a token has at most some 16 KB.
const BATCH: u32 = 2000;

/// Copies. The target is made if there is none; unless this succeeds, it holds nothing afterwards.
pub async fn copy(request: &CopyRequest<'_>) -> Result<Copied, CopyError> {
    let CopyRequest { from, to, .. } = *request;
    if from == to {
        return Err(CopyError::Same(from.to_string()));
    }
    let (mut source, served) = open_source(request).await?;
    let target = open_target(to).await;
    let mut target = match target {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(error);
        }
    };
    let outcome = transfer(request, &mut *source, &mut *target).await;
    // Whatever was not committed goes with the connection.
    target.close().await;
    source.close().await;
    let (from, to, keys_opened) = outcome?;
    Ok(Copied { from, to, served, keys_opened })
}

async fn open_source(request: &CopyRequest<'_>) -> Result<(Box<dyn CopyEnd>, bool), CopyError> {
    let database = request.from.to_string();
    if request.from.file().is_some_and(|path| !path.exists()) {
        return Err(CopyError::NoSource(database));
    }
    let reading = |cause| CopyError::Reading { database: database.clone(), cause };
    let mut source = admin::open(request.from, false).await?;
    let newest = source.newest_schema_version();
    match source.schema_version().await.map_err(reading)? {
        0 => return Err(CopyError::NoSchema(database)),
        // A newer one is refused here as everywhere.
        found if found > newest => drop(source.migrate().await?),
        found if found < newest => return Err(CopyError::OldSource { database, found, newest }),
        _ => {}
    }
    let served = !source.claim().await?;
    if served && !request.while_serving {
        return Err(CopyError::Served(database));
    }
    Ok((source, served))
}

/// The target with its schema. One that holds something is refused before anything is done to it.
async fn open_target(url: &DatabaseUrl) -> Result<Box<dyn CopyEnd>, CopyError> {
    let writing = |cause| CopyError::Writing { database: url.to_string(), cause };
    let mut target = admin::open(url, true).await?;
    if target.schema_version().await.map_err(writing)? > 0 {
        refuse_used(url, target.held().await.map_err(writing)?)?;
    }
    if let Some(path) = url.file()
        && !target.claim().await?
    {
        return Err(OpenError::InUse(path.to_owned()).into());
    }
    target.migrate().await?;
    Ok(target)
}

fn refuse_used(url: &DatabaseUrl, (api_keys, tokens, signing_keys, projects): Held) -> Result<(), CopyError> {
    let kinds = [
        (api_keys, "API keys"),
        (tokens, "tokens"),
        (signing_keys, "signing keys"),
        (projects, "projects of its own"),
    ];
    let held: Vec<_> = kinds.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    if held.is_empty() {
        return Ok(());
    }
    Err(CopyError::NotEmpty { database: url.to_string(), holds: held.join(", ") })
}

async fn transfer(
    request: &CopyRequest<'_>,
    source: &mut dyn CopyEnd,
    target: &mut dyn CopyEnd,
) -> Result<(CopyCounts, CopyCounts, bool), CopyError> {
    let reading = |cause| CopyError::Reading { database: request.from.to_string(), cause };
    let writing = |cause| CopyError::Writing { database: request.to.to_string(), cause };
    let live_from = live_from(request.now);
    target.begin_writing().await.map_err(writing)?;
    // Again, now that nobody else writes.
    refuse_used(request.to, target.held().await.map_err(writing)?)?;
    source.begin_reading().await.map_err(reading)?;

    target.put_projects(source.projects().await.map_err(reading)?).await.map_err(writing)?;
    target.put_api_keys(source.api_keys().await.map_err(reading)?).await.map_err(writing)?;
    target.put_signing_keys(source.signing_keys().await.map_err(reading)?).await.map_err(writing)?;
    let mut after = (live_from.millis() - 1, i64::MAX);
    loop {
        let rows = source.tokens(after, BATCH).await.map_err(reading)?;
        let Some(last) = rows.last() else { break };
        after = (last.expires_at, last.id);
        target.put_tokens(rows).await.map_err(writing)?;
    }
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let rows = source.revocations(live_from, after, BATCH).await.map_err(reading)?;
        let Some(last) = rows.last() else { break };
        after = (last.project_id, last.token_id);
        target.put_revocations(rows).await.map_err(writing)?;
    }
    let last_token_id = source.last_token_id().await.map_err(reading)?;
    target.finish(last_token_id).await.map_err(writing)?;

    let from = source.counts(live_from).await.map_err(reading)?;
    let to = target.counts(live_from).await.map_err(writing)?;
    if from != to {
        return Err(CopyError::Counts { database: request.from.to_string(), from, to });
    }
    let ring: Vec<_> = target.signing_keys().await.map_err(writing)?.into_iter().map(signing_key).collect();
    let master = request.master.filter(|_| !ring.is_empty());
    if let Some(master) = master {
        // Whose tokens they are plays no part in whether the keys open.
        KeyRing::open(&ring, master, "", "")?;
    }
    target.commit().await.map_err(|cause| CopyError::Commit { database: request.to.to_string(), cause })?;
    Ok((from, to, master.is_some()))
}
