//! Every setting: its name, its default, where it may come from and what it must be.
//!
//! A TOML file and environment variables are laid over the defaults and read as one; what is wrong
//! is told with its source, its key and the reason, before anything starts.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;
use url::Url;
use zeroize::Zeroizing;

use crate::keys::{Algorithm, MasterKey, has_key_form};
use crate::units;

/// The file that is read if there is one and no other is named.
pub const DEFAULT_FILE: &str = "hallpass.toml";

const PREFIX: &str = "HALLPASS_";
const API_KEY: &str = "HALLPASS_API_KEY";
const MASTER_KEY: &str = "HALLPASS_MASTER_KEY";
const SHORTEST_API_KEY: usize = 16;

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
    /// The `iss` of tokens and the base of published URLs; no slash at its end.
    pub public_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    pub url: String,
    /// How long records stay past their expiry.
    #[serde(with = "duration_text")]
    pub retention: Duration,
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
            public_url: "http://localhost:8284".to_owned(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: "sqlite:hallpass.db".to_owned(), retention: days(30) }
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

/// Secrets, which come by environment variable or by a file that one names, never in the
/// configuration file.
#[derive(Default)]
pub struct Secrets {
    /// One API key of project `default`, with the gateway right, besides those in the database.
    pub api_key: Option<Zeroizing<String>>,
    pub master_key: Option<MasterKey>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// What was read, and from where.
#[derive(Debug, Default)]
pub struct Loaded {
    pub config: Config,
    pub secrets: Secrets,
    /// The configuration file, if one was read.
    pub file: Option<PathBuf>,
    /// The environment variables that were read, secrets included, by name.
    pub variables: Vec<String>,
    /// Variables that look like settings and aren't; each is worth a line in the log.
    pub warnings: Vec<String>,
}

/// What is wrong with a setting, and where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct ConfigError {
    /// A file or an environment variable.
    origin: String,
    problem: String,
}

impl ConfigError {
    fn new(origin: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self { origin: origin.to_string(), problem: problem.to_string() }
    }
}

impl Loaded {
    /// Reads the named file, or `hallpass.toml` if there is one, lays the environment over it and
    /// checks every value.
    pub fn read(
        named_file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut loaded = Self::default();
        let mut settings = Table::new();
        if let Some((path, table)) = read_file(named_file)? {
            loaded.file = Some(path);
            settings = table;
        }
        let mut variables: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        for (name, value) in variables {
            match name.as_str() {
                API_KEY => loaded.secrets.set_api_key(&name, Zeroizing::new(value))?,
                MASTER_KEY => loaded.secrets.set_master_key(&name, Zeroizing::new(value))?,
                "HALLPASS_API_KEY_FILE" => loaded.secrets.set_api_key(&name, read_secret(&name, &value)?)?,
                "HALLPASS_MASTER_KEY_FILE" => {
                    loaded.secrets.set_master_key(&name, read_secret(&name, &value)?)?
                }
                _ if name.contains("__") => lay_over(&mut settings, &name, value)?,
                _ => {
                    loaded.warnings.push(format!(
                        "`{name}` is not a setting and is ignored: settings are written like `HALLPASS_SERVER__LISTEN`"
                    ));
                    continue;
                }
            }
            loaded.variables.push(name);
        }
        loaded.config = serde_path_to_error::deserialize(Value::Table(settings))
            .map_err(|error| loaded.error(&error.path().to_string(), error.inner().message()))?;
        loaded.config.check().map_err(|(key, problem)| loaded.error(key, &problem))?;
        Ok(loaded)
    }

    /// Tells a person of the variables that were ignored.
    pub fn print_warnings(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {warning}");
        }
    }

    /// An error at a key, told with the source that the key came from.
    fn error(&self, key: &str, problem: &str) -> ConfigError {
        let variable = variable_of(key);
        let problem = problem.trim_end();
        // An unknown key below `server` is told at `server`.
        match self.variables.iter().find(|name| **name == variable || problem_names(problem, name)) {
            Some(variable) => ConfigError::new(format!("environment variable `{variable}`"), problem),
            None => match &self.file {
                Some(file) => ConfigError::new(file.display(), format!("`{key}`: {problem}")),
                None => ConfigError::new(format!("`{key}`"), problem),
            },
        }
    }
}

/// Whether "unknown field `x`" speaks of the last part of a variable's name.
fn problem_names(problem: &str, variable: &str) -> bool {
    let last = variable.rsplit("__").next().unwrap_or_default().to_ascii_lowercase();
    problem.starts_with(&format!("unknown field `{last}`"))
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, Table)>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::new(path.display(), format!("cannot be read: {error}"))),
    };
    let table = text.parse::<Table>().map_err(|error| ConfigError::new(path.display(), error))?;
    Ok(Some((path.to_owned(), table)))
}

fn read_secret(variable: &str, path: &str) -> Result<Zeroizing<String>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        // Not the path: who confuses the two variables has put the secret itself there.
        ConfigError::new(
            format!("environment variable `{variable}`"),
            format!("the file that it names cannot be read: {error}"),
        )
    })?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Puts `HALLPASS_SERVER__LISTEN` at `server.listen`, as a text.
fn lay_over(settings: &mut Table, variable: &str, value: String) -> Result<(), ConfigError> {
    let key = variable[PREFIX.len()..].to_ascii_lowercase();
    let mut place = settings;
    let mut parts = key.split("__").peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), Value::String(value));
            break;
        }
        let Value::Table(below) = place.entry(part).or_insert_with(|| Value::Table(Table::new())) else {
            let problem = format!("`{part}` is not a section");
            return Err(ConfigError::new(format!("environment variable `{variable}`"), problem));
        };
        place = below;
    }
    Ok(())
}

impl Secrets {
    fn set_api_key(&mut self, variable: &str, key: Zeroizing<String>) -> Result<(), ConfigError> {
        let wrong =
            |problem: &str| Err(ConfigError::new(format!("environment variable `{variable}`"), problem));
        if self.api_key.is_some() {
            return wrong(
                "the API key is given twice; set one of `HALLPASS_API_KEY` and `HALLPASS_API_KEY_FILE`",
            );
        }
        if key.len() < SHORTEST_API_KEY {
            let problem =
                format!("the API key must have at least {SHORTEST_API_KEY} characters, got {}", key.len());
            return wrong(&problem);
        }
        if !key.bytes().all(|c| c.is_ascii_graphic()) {
            return wrong("the API key must consist of visible ASCII characters: it travels in a header");
        }
        if key.starts_with("sk-hp-") && !has_key_form(&key) {
            return wrong(
                "the API key begins with `sk-hp-` but its checksum is wrong: it is cut short or mistyped",
            );
        }
        self.api_key = Some(key);
        Ok(())
    }

    fn set_master_key(&mut self, variable: &str, text: Zeroizing<String>) -> Result<(), ConfigError> {
        let wrong = |problem: String| ConfigError::new(format!("environment variable `{variable}`"), problem);
        if self.master_key.is_some() {
            let problem = "the master key is given twice; set one of `HALLPASS_MASTER_KEY` and `HALLPASS_MASTER_KEY_FILE`";
            return Err(wrong(problem.to_owned()));
        }
        self.master_key = Some(MasterKey::parse(&text).map_err(|error| wrong(error.to_string()))?);
        Ok(())
    }
}

impl Config {
    /// What the types can't say. The error is the key and the problem.
    fn check(&self) -> Result<(), (&'static str, String)> {
        check_public_url(&self.server.public_url).map_err(|problem| ("server.public_url", problem))?;
        crate::store::database_path(&self.database.url)
            .map_err(|error| ("database.url", error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Loaded, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), toml).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Loaded::read(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    fn refusal(toml: &str, environment: &[(&str, &str)]) -> String {
        read(toml, environment).expect_err(toml)
    }

    #[test]
    fn the_example_lists_every_key_with_its_default() {
        let text = include_str!("../config.example.toml");
        let keys = |table: &Table| -> Vec<String> {
            let below = |(name, below): (&String, &Value)| {
                below.as_table().unwrap().keys().map(move |key| format!("{name}.{key}")).collect::<Vec<_>>()
            };
            table.iter().flat_map(below).collect()
        };
        let defaults = Table::try_from(Config::default()).unwrap();
        assert_eq!(keys(&text.parse().unwrap()), keys(&defaults));
        assert_eq!(read(text, &[]).unwrap().config, Config::default());
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert_eq!(read("", &[]).unwrap().config, Config::default());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let loaded =
            read("[tokens]\naudience = \"file\"\nmax_ttl = \"2h\"", &[("HALLPASS_TOKENS__AUDIENCE", "env")])
                .unwrap();
        assert_eq!(loaded.config.tokens.audience, "env");
        assert_eq!(loaded.config.tokens.max_ttl, Duration::from_secs(7200));
    }

    #[test]
    fn a_text_is_never_read_as_a_number() {
        let loaded = read("", &[("HALLPASS_TOKENS__AUDIENCE", "42")]).unwrap();
        assert_eq!(loaded.config.tokens.audience, "42");
        assert!(
            refusal("[tokens]\naudience = 42", &[])
                .contains("`tokens.audience`: invalid type: integer `42`, expected a string")
        );
    }

    #[test]
    fn an_error_names_its_source_its_key_and_the_reason() {
        for (toml, variable, parts) in [
            (
                "[server]\nlissten = \"x\"",
                None,
                &["`server", "unknown field `lissten`", "expected `listen`"][..],
            ),
            (
                "",
                Some(("HALLPASS_SERVER__LISSTEN", "x")),
                &["environment variable `HALLPASS_SERVER__LISSTEN`", "expected `listen`"],
            ),
            (
                "",
                Some(("HALLPASS_SERVER__LISTEN", "x")),
                &["environment variable `HALLPASS_SERVER__LISTEN`", "invalid socket address"],
            ),
            (
                "[tokens]\nmax_ttl = \"1 day\"",
                None,
                &["`tokens.max_ttl`", "must be a duration such as `30s`", "got `1 day`"],
            ),
            (
                "[tokens]\ndefault_ttl = \"2d\"",
                None,
                &["`tokens.default_ttl`", "between `1s` and `tokens.max_ttl` (`1d`), got `2d`"],
            ),
            ("[tokens]\nmax_bytes = \"8KB\"", None, &["`tokens.max_bytes`", "must be a size"]),
            ("[server]\npublic_url = \"https://a.example/\"", None, &["`server.public_url`", "ends in `/`"]),
            (
                "[signing]\nalgorithm = \"HS256\"",
                None,
                &["`signing.algorithm`", "unknown variant `HS256`", "`EdDSA`"],
            ),
            ("[telemetry]\nlog = \"hallpass=loud\"", None, &["`telemetry.log`", "must be a filter"]),
            ("[database]\nurl = \"mysql://u:p@h/db\"", None, &["`database.url`", "got `mysql:…`"]),
            ("[server\n", None, &["line 1"]),
            ("server = 1", None, &["`server`", "invalid type"]),
        ] {
            let environment: Vec<_> = variable.into_iter().collect();
            let refusal = refusal(toml, &environment);
            for part in parts {
                assert!(refusal.contains(part), "{toml}: {refusal}");
            }
        }
    }

    #[test]
    fn a_named_file_that_is_missing_stops_the_start() {
        let refusal = Loaded::read(Some(Path::new("/nonexistent/h.toml")), []).unwrap_err().to_string();
        assert!(refusal.contains("/nonexistent/h.toml: cannot be read"), "{refusal}");
    }

    #[test]
    fn other_variables_are_ignored_with_a_warning() {
        let loaded =
            read("", &[("HALLPASS_SERVICE_HOST", "10.0.0.1"), ("HALLPASS_PORT", "tcp://10.0.0.1:8284")])
                .unwrap();
        assert_eq!(loaded.config, Config::default());
        assert_eq!(loaded.warnings.len(), 2);
        assert!(loaded.warnings[0].contains("`HALLPASS_PORT`"));
    }

    #[test]
    fn secrets_come_by_variable_or_by_file_but_not_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a-static-key-of-20-c\n").unwrap();
        let path = file.path().to_str().unwrap();
        let loaded = read("", &[("HALLPASS_API_KEY_FILE", path)]).unwrap();
        assert_eq!(loaded.secrets.api_key.as_deref().map(String::as_str), Some("a-static-key-of-20-c"));
        let both = refusal("", &[("HALLPASS_API_KEY", "another-key-of-16"), ("HALLPASS_API_KEY_FILE", path)]);
        assert!(both.contains("given twice"), "{both}");
    }

    #[test]
    fn a_weak_or_broken_secret_is_refused_without_showing_it() {
        for (variable, value, rule) in [
            ("HALLPASS_API_KEY", "short", "at least 16 characters"),
            ("HALLPASS_API_KEY", "a key with spaces in it", "visible ASCII"),
            ("HALLPASS_API_KEY", "sk-hp-cut-short-somewhere", "checksum"),
            ("HALLPASS_MASTER_KEY", "bm90IDMyIGJ5dGVz", "32 bytes in base64"),
        ] {
            let refusal = refusal("", &[(variable, value)]);
            assert!(refusal.contains(rule) && refusal.contains(variable), "{refusal}");
            assert!(!refusal.contains(value), "{refusal}");
        }
    }
}
