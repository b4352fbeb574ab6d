//! Every setting: its name, its default, where it may come from and what it must be.
//!
//! A TOML file and environment variables are laid over the defaults and read as one; what is wrong
//! is told with its source, its key and the reason, before anything starts.

mod read;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use url::Url;

pub use self::read::{ConfigError, Loaded, Secrets};
use crate::keys::Algorithm;
use crate::store::DatabaseUrl;
use crate::units;

/// All settings that may stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub database: DatabaseConfig,
    pub tokens: TokensConfig,
    pub signing: SigningConfig,
    pub telemetry: TelemetryConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Where `GET /metrics` is answered.
    pub admin_listen: SocketAddr,
    /// The `iss` of tokens and the base of published URLs; no slash at its end.
    pub public_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    #[serde(with = "database_url")]
    pub url: DatabaseUrl,
    /// The same database past a pooler: for the schema and for hearing of changes.
    #[serde(with = "optional_database_url", skip_serializing_if = "Option::is_none")]
    pub direct_url: Option<DatabaseUrl>,
    /// How long records stay past their expiry.
    #[serde(with = "duration_text")]
    pub retention: Duration,
    /// How long a server that can't reach the database says which tokens are good.
    #[serde(with = "duration_text")]
    pub max_staleness: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensConfig {
    pub audience: String,
    #[serde(with = "duration_text")]
    pub default_ttl: Duration,
    #[serde(with = "duration_text")]
    pub max_ttl: Duration,
    /// The longest token, in bytes.
    #[serde(with = "size_text")]
    pub max_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigningConfig {
    pub algorithm: Algorithm,
    #[serde(with = "duration_text")]
    pub rotate_every: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// A filter such as `info` or `info,hallpass::http=debug`.
    pub log: String,
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8284)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9284)),
            public_url: "http://localhost:8284".to_owned(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite("hallpass.db".into()),
            direct_url: None,
            retention: days(30),
            max_staleness: Duration::from_secs(30),
        }
    }
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            audience: "letta".to_owned(),
            default_ttl: Duration::from_secs(300),
            max_ttl: days(1),
            max_bytes: 8 << 10,
        }
    }
}

impl Default for SigningConfig {
    fn default() -> Self {
        Self { algorithm: Algorithm::EdDSA, rotate_every: days(90) }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Auto }
    }
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

impl Config {
    /// What the types can't say. The error is the key and the problem.
    fn check(&self) -> Result<(), (&'static str, String)> {
        check_public_url(&self.server.public_url).map_err(|problem| ("server.public_url", problem))?;
        if self
            .database
            .direct_url
            .as_ref()
            .is_some_and(|url| url.file().is_some() || self.database.url.file().is_some())
        {
            let problem = "only PostgreSQL can be reached past a pooler: `database.url` and this must both be `postgres://…`";
            return Err(("database.direct_url", problem.to_owned()));
        }
        let staleness = Duration::from_secs(1)..=days(1);
        if !staleness.contains(&self.database.max_staleness) {
            let got = units::show_duration(self.database.max_staleness);
            return Err(("database.max_staleness", format!("must be between `1s` and `1d`, got `{got}`")));
        }
        let tokens = &self.tokens;
        if tokens.audience.is_empty() {
            return Err(("tokens.audience", "must not be empty".to_owned()));
        }
        let second = Duration::from_secs(1);
        if tokens.default_ttl < second || tokens.default_ttl > tokens.max_ttl {
            let got = units::show_duration(tokens.default_ttl);
            let most = units::show_duration(tokens.max_ttl);
            return Err((
                "tokens.default_ttl",
                format!("must be between `1s` and `tokens.max_ttl` (`{most}`), got `{got}`"),
            ));
        }
        let most = days(366);
        if tokens.max_ttl > most {
            let got = units::show_duration(tokens.max_ttl);
            return Err((
                "tokens.max_ttl",
                format!("must be at most `366d`: these are short-lived tokens; got `{got}`"),
            ));
        }
        if !(1 << 10..=16 << 10).contains(&tokens.max_bytes) {
            let got = units::show_size(tokens.max_bytes);
            return Err((
                "tokens.max_bytes",
                format!("must be between `1KiB` and `16KiB`, to fit into the head of a request, got `{got}`"),
            ));
        }
        if self.database.retention > days(3660) {
            return Err(("database.retention", "must be at most `3660d`".to_owned()));
        }
        if !(days(1)..=days(3660)).contains(&self.signing.rotate_every) {
            return Err(("signing.rotate_every", "must be between `1d` and `3660d`".to_owned()));
        }
        EnvFilter::try_new(&self.telemetry.log).map_err(|error| {
            (
                "telemetry.log",
                format!("must be a filter such as `info` or `info,hallpass::http=debug`: {error}"),
            )
        })?;
        Ok(())
    }
}

fn check_public_url(text: &str) -> Result<(), String> {
    let problem = match Url::parse(text) {
        Err(error) => error.to_string(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            "the scheme is neither `http` nor `https`".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "it has a query or a fragment".to_owned()
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "it has a user name or password".to_owned()
        }
        Ok(_) if !text.bytes().all(|c| c.is_ascii_graphic()) => {
            "it holds a space or something not ASCII".to_owned()
        }
        Ok(_) if text.ends_with('/') => "it ends in `/`".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(format!(
        "must be an absolute URL such as `https://tokens.example.com`, without a slash at its end: {problem}"
    ))
}

mod database_url {
    use super::{DatabaseUrl, Deserialize};

    /// Without its password: this is for people to look at.
    pub(super) fn serialize<S: serde::Serializer>(
        url: &DatabaseUrl,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(url)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DatabaseUrl, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

mod optional_database_url {
    use super::{DatabaseUrl, database_url};

    pub(super) fn serialize<S: serde::Serializer>(
        url: &Option<DatabaseUrl>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => database_url::serialize(url, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DatabaseUrl>, D::Error> {
        database_url::deserialize(deserializer).map(Some)
    }
}

mod duration_text {
    use super::{Deserialize, Duration, units};

    pub(super) fn serialize<S: serde::Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::show_duration(*value))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        units::parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

mod size_text {
    use super::{Deserialize, units};

    pub(super) fn serialize<S: serde::Serializer>(value: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::show_size(*value))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        units::parse_size(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
