//! The master key, which encrypts the signing keys at rest and is never in the database.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::random_bytes;

const BYTES: usize = 32;

/// 32 random bytes, written in base64.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; BYTES]);

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// Given, by environment variable or by a file that the configuration names.
    Given(MasterKey),
    /// A file beside the SQLite database, made on the first start.
    Beside(PathBuf),
}

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error(
        "the master key must be {BYTES} bytes in base64 (make one with `openssl rand -base64 32`), got {0}"
    )]
    Form(String),
    #[error("cannot read the master key file `{}`: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("cannot write the master key file `{}`: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error(
        "the master key file `{}` is missing, but the database holds signing keys that were encrypted under it; \
         put the file back, or give the key in `HALLPASS_MASTER_KEY`",
        .0.display()
    )]
    Missing(PathBuf),
}

impl MasterKey {
    /// A new key, for a database that won't outlive it.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// Reads the base64 form; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text.trim())
                .map_err(|_| MasterKeyError::Form("text that is no base64".to_owned()))?,
        );
        let bytes = <[u8; BYTES]>::try_from(bytes.as_slice())
            .map_err(|_| MasterKeyError::Form(format!("{} bytes", bytes.len())))?;
        Ok(Self(bytes))
    }

    /// A key for one purpose, derived by HKDF (RFC 5869), so that no two purposes share one.
    pub(super) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; BYTES]> {
        let mut derived = Zeroizing::new([0; BYTES]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(&self.0)
            .expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(derived.as_mut()))
            .expect("32 bytes is a length that HKDF with SHA-256 gives");
        derived
    }
}

impl MasterKeySource {
    /// The file beside a SQLite database: `hallpass.db` has `hallpass.master-key`.
    pub fn beside(database: &Path) -> Self {
        Self::Beside(database.with_extension("master-key"))
    }

    /// The key. A missing file is made if the database holds nothing yet that needs the old one.
    pub fn load(&self, has_signing_keys: bool) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::Given(key) => Ok(key.clone()),
            Self::Beside(path) => match read(path) {
                Err(MasterKeyError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                    if has_signing_keys {
                        return Err(MasterKeyError::Missing(path.clone()));
                    }
                    make(path)?;
                    read(path)
                }
                other => other,
            },
        }
    }
}

fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let failed = |cause| MasterKeyError::Read { path: path.to_owned(), cause };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "the master key file can be read by others; make its mode 0600");
    }
    MasterKey::parse(&text)
}

/// Writes a new key under a passing name, then links it into place: two processes that start at
/// once agree on one key, and no reader meets half of it.
fn make(path: &Path) -> Result<(), MasterKeyError> {
    let suffix = u64::from_ne_bytes(random_bytes());
    let passing = path.with_extension(format!("master-key.{suffix:016x}"));
    let made = write_durably(&passing).and_then(|()| match fs::hard_link(&passing, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let _ = fs::remove_file(&passing);
    made.and_then(|()| fs::File::open(parent(path))?.sync_all())
        .map_err(|cause| MasterKeyError::Write { path: path.to_owned(), cause })
}

fn write_durably(path: &Path) -> io::Result<()> {
    let key = MasterKey(random_bytes());
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.0)));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_file_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let source = MasterKeySource::beside(&dir.path().join("hallpass.db"));
        let made = source.load(false).unwrap();
        let path = dir.path().join("hallpass.master-key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(source.load(true).unwrap().0, made.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no passing file stays");
    }

    #[test]
    fn a_missing_file_is_not_replaced_while_keys_depend_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let source = MasterKeySource::beside(&dir.path().join("hallpass.db"));
        assert!(matches!(source.load(true), Err(MasterKeyError::Missing(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_of_another_form_is_refused_without_showing_it() {
        for (text, seen) in [("secret!", "no base64"), ("c2hvcnQ=", "got 5 bytes"), ("", "got 0 bytes")] {
            let refusal = MasterKey::parse(text).unwrap_err().to_string();
            assert!(refusal.contains(seen) && refusal.contains("openssl rand -base64 32"), "{refusal}");
            assert!(text.is_empty() || !refusal.contains(text), "{refusal}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", MasterKey([7; 32])), "MasterKey([redacted])");
    }

    #[test]
    fn purposes_do_not_share_a_key() {
        let master = MasterKey([7; 32]);
        assert_ne!(*master.derive(b"a"), *master.derive(b"b"));
        assert_eq!(*master.derive(b"a"), *master.derive(b"a"));
    }
}
