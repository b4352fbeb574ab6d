//! `hallpass db backup`

use std::path::Path;

use anyhow::bail;
use serde_json::json;

use crate::cli::{open, print};
use crate::config::Loaded;
use crate::keys::MasterKeySource;
use crate::store::back_up;

pub(super) async fn run(loaded: &Loaded, file: &Path, json: bool) -> anyhow::Result<()> {
    let Some(database) = loaded.config.database.url.file() else {
        bail!(
            "this makes copies of SQLite files only. For PostgreSQL use `pg_dump --format=custom --file=hallpass.dump`, which \
             copies consistently while servers run, or the backups of whoever runs the database; and keep with it, in \
             another place, the master key ({}), without which it is useless",
            master_key(loaded, None)
        );
    };
    open::refuse_missing(database)?;
    let bytes = back_up(database, file).await?;
    if json {
        print::json(&json!({"file": file.display().to_string(), "bytes": bytes}))?;
    } else {
        let url = &loaded.config.database.url;
        print::line(&format!("`{url}` was copied to `{}` ({bytes} bytes)", file.display()))?;
    }
    eprintln!(
        "without the master key ({}) this copy is useless, and with it anyone can sign tokens: keep both, in different places",
        master_key(loaded, Some(database))
    );
    Ok(())
}

/// Where the master key is.
fn master_key(loaded: &Loaded, database: Option<&Path>) -> String {
    let given = loaded.variables.iter().find(|name| name.starts_with("HALLPASS_MASTER_KEY"));
    match (given, database.map(MasterKeySource::beside)) {
        (Some(variable), _) => format!("in `{variable}`"),
        (None, Some(MasterKeySource::Beside(path))) => format!("the file `{}`", path.display()),
        (None, _) => "what the servers are given as `HALLPASS_MASTER_KEY`".to_owned(),
    }
}
