//! Every setting: its name, its default, where it may come from and what it must be.
//!
//! A TOML file and environment variables are laid over the defaults and read as one; what is wrong
//! is told with its source, its key and the reason, before anything starts.

mod forward_auth;
mod gateway;
mod limits;
mod problem;
mod read;
mod secret;
mod secrets;
mod server;
mod sources;
mod telemetry;
#[cfg(test)]
mod tests;
mod texts;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::forward_auth::ForwardAuthConfig;
pub use self::gateway::{GatewayConfig, parse_upstream};
pub use self::limits::LimitsConfig;
use self::problem::{Problem, within};
pub use self::read::{ConfigError, Loaded};
pub use self::secret::Secret;
pub use self::secrets::Secrets;
pub use self::server::ServerConfig;
pub use self::telemetry::{LogFormat, TelemetryConfig};
use self::texts::{database_url, duration_text, optional_database_url, size_text};
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
    pub gateway: GatewayConfig,
    pub forward_auth: ForwardAuthConfig,
    pub limits: LimitsConfig,
    pub telemetry: TelemetryConfig,
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

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

impl Config {
    /// The same, if it is consistent.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let wrong = |problem: Problem| ConfigError::new(format!("`{}`", problem.key), problem.text);
        self.check().map_err(wrong)?;
        Ok(self)
    }

    /// What the types can't say.
    fn check(&self) -> Result<(), Problem> {
        self.server.check()?;
        self.database.check()?;
        self.tokens.check()?;
        let rotations = days(1)..=days(3660);
        within("signing.rotate_every", self.signing.rotate_every, rotations, units::show_duration)?;
        self.gateway.check(&[self.server.listen, self.server.admin_listen])?;
        self.forward_auth.check(&self.server)?;
        self.limits.check()?;
        self.telemetry.check()
    }
}

impl DatabaseConfig {
    fn check(&self) -> Result<(), Problem> {
        let is_file = |url: &DatabaseUrl| url.file().is_some();
        if self.direct_url.as_ref().is_some_and(|direct| is_file(direct) || is_file(&self.url)) {
            let problem = "only PostgreSQL can be reached past a pooler: `database.url` and this must both be `postgres://…`";
            return Err(Problem::new("database.direct_url", problem));
        }
        let staleness = Duration::from_secs(1)..=days(1);
        within("database.max_staleness", self.max_staleness, staleness, units::show_duration)?;
        if self.retention > days(3660) {
            return Err(Problem::new("database.retention", "must be at most `3660d`"));
        }
        Ok(())
    }
}

impl TokensConfig {
    fn check(&self) -> Result<(), Problem> {
        if self.audience.is_empty() {
            return Err(Problem::new("tokens.audience", "must not be empty"));
        }
        if self.default_ttl < Duration::from_secs(1) || self.default_ttl > self.max_ttl {
            let (got, most) = (units::show_duration(self.default_ttl), units::show_duration(self.max_ttl));
            let problem = format!("must be between `1s` and `tokens.max_ttl` (`{most}`), got `{got}`");
            return Err(Problem::new("tokens.default_ttl", problem));
        }
        if self.max_ttl > days(366) {
            let got = units::show_duration(self.max_ttl);
            let problem = format!("must be at most `366d`: these are short-lived tokens; got `{got}`");
            return Err(Problem::new("tokens.max_ttl", problem));
        }
        // They travel in the head of a request.
        within("tokens.max_bytes", self.max_bytes, 1 << 10..=16 << 10, units::show_size)
    }
}
