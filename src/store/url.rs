//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use super::OpenError;

/// The parameters that are understood, as libpq names them.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Those that are a secret, or may hold one.
const SECRET_PARAMETERS: [&str; 3] = ["options", "password", "sslkey"];

/// The URL of a database. What it shows of itself, wherever it is printed, holds no password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:` and a path.
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database`, and parameters as libpq knows them.
    Postgres(Url),
}

impl DatabaseUrl {
    /// The file of a SQLite database.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        // Only the scheme of what is wrong is repeated: the rest may hold a password.
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let wrong = || OpenError::Url(format!("{scheme}:…"));
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let good = !path.is_empty() && !path.contains([':', '?']);
                good.then(|| Self::Sqlite(PathBuf::from(path))).ok_or_else(wrong)
            }
            "postgres" | "postgresql" => {
                let url = Url::parse(text).map_err(|_| wrong())?;
                if let Some((name, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&&**name)) {
                    return Err(OpenError::Parameter(name.into_owned()));
                }
                let named = url.has_host() || url.query_pairs().any(|(name, _)| name == "host");
                if named { Ok(Self::Postgres(url)) } else { Err(wrong()) }
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let mut shown = url.clone();
                if url.password().is_some() {
                    let _ = shown.set_password(Some("***"));
                }
                let pairs: Vec<_> = url.query_pairs().into_owned().collect();
                if !pairs.is_empty() {
                    let masked = pairs.iter().map(|(name, value)| {
                        (name, if SECRET_PARAMETERS.contains(&&**name) { "***" } else { value.as_str() })
                    });
                    shown.query_pairs_mut().clear().extend_pairs(masked);
                }
                shown.fmt(f)
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<DatabaseUrl>().map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    #[test]
    fn both_kinds_are_read() {
        for (text, shows) in [
            ("sqlite:hallpass.db", "sqlite:hallpass.db"),
            ("sqlite:///data/hallpass.db", "sqlite:/data/hallpass.db"),
            ("postgres://db/hallpass", "postgres://db/hallpass"),
            ("postgresql://u@db:5433/x?sslmode=verify-full", "postgresql://u@db:5433/x?sslmode=verify-full"),
        ] {
            assert_eq!(shown(text), shows, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "postgres://u:s3cret@db/x",
            "postgres:///x?host=/run&password=s3cret",
            "mysql://u:s3cret@db/x",
            "postgres://u:s3cret@:/x",
            "sqlite:a?s3cret",
            "s3cret",
            "postgres://db/x?sslpassword=s3cret",
            "postgres://db/x?sslkey=s3cret",
        ] {
            assert!(!shown(text).contains("s3cret"), "{}", shown(text));
        }
    }
}
