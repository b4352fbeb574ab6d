//! A consistent copy of a SQLite file beside whoever reads and writes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::admin::SqliteAdmin;
use super::create_private;
use crate::keys::random_bytes;
use crate::store::OpenError;
use crate::store::admin::DatabaseAdmin;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("`{}` is there already and is not overwritten: name another file", .0.display())]
    Exists(PathBuf),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("`{}` cannot be named to SQLite: the path must be UTF-8", .0.display())]
    Name(PathBuf),
    #[error("copying to `{}` failed, and no backup was made: {cause}", to.display())]
    Copy { to: PathBuf, cause: sqlx::Error },
    #[error("cannot write `{}`, and no backup was made: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
}

/// Copies a database into a new file, which only its owner reads, and returns its size in bytes. When
/// this returns, the copy is on the disk. Until it is whole it has another name.
pub async fn back_up(database: &Path, to: &Path) -> Result<u64, BackupError> {
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut source = Box::new(SqliteAdmin::open(database, false).await?);
    let mut partial = to.as_os_str().to_owned();
    partial.push(format!(".{:016x}.partial", u64::from_ne_bytes(random_bytes())));
    let partial = PathBuf::from(partial);
    let outcome = match write(&mut source, &partial).await {
        Ok(()) => put_in_place(&partial, to),
        Err(error) => Err(error),
    };
    source.close().await;
    if outcome.is_err() {
        // It may not have been made at all.
        let _ = fs::remove_file(&partial);
    }
    outcome
}

/// Writes the copy. SQLite fills an empty file, which has the right mode already.
async fn write(source: &mut SqliteAdmin, partial: &Path) -> Result<(), BackupError> {
    let failed = |cause| BackupError::File { path: partial.to_owned(), cause };
    // An absolute path can't be taken for a URI.
    let absolute = std::path::absolute(partial).map_err(failed)?;
    let name = absolute.to_str().ok_or_else(|| BackupError::Name(partial.to_owned()))?;
    create_private(partial).map_err(failed)?;
    sqlx::query("VACUUM INTO ?")
        .bind(name)
        .execute(&mut source.connection)
        .await
        .map_err(|cause| BackupError::Copy { to: partial.to_owned(), cause })?;
    // SQLite doesn't sync what it writes so.
    fs::File::open(partial).and_then(|file| file.sync_all()).map_err(failed)
}

/// Gives the copy its name, unless something has it by now.
fn put_in_place(partial: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |cause| BackupError::File { path: to.to_owned(), cause };
    // A link, unlike a new name, never takes the place of a file.
    match fs::hard_link(partial, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(to.to_owned()));
        }
        other => other.map_err(failed)?,
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::remove_file(partial)
        .and_then(|()| fs::File::open(folder)?.sync_all())
        .and_then(|()| fs::metadata(to))
        .map(|file| file.len())
        .map_err(failed)
}
