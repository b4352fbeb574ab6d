//! Reading settings: a file, the environment laid over it, and the secrets beside them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::Config;
use crate::keys::{MasterKey, has_key_form};

/// The file that is read if there is one and no other is named.
const DEFAULT_FILE: &str = "hallpass.toml";

const PREFIX: &str = "HALLPASS_";
const API_KEY: &str = "HALLPASS_API_KEY";
const MASTER_KEY: &str = "HALLPASS_MASTER_KEY";
const SHORTEST_API_KEY: usize = 16;

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
                "HALLPASS_DATABASE__URL_FILE" | "HALLPASS_DATABASE__DIRECT_URL_FILE" => {
                    let url = read_secret(&name, &value)?;
                    lay_over(&mut settings, name.trim_end_matches("_FILE"), url.to_string())?;
                }
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
        // Not by its value, which may hold a password.
        if let Some((name, _)) = settings.iter().find(|(_, value)| !value.is_table()) {
            return Err(loaded.error(name, &format!("must be a section: `[{name}]`")));
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
    let table = text.parse::<Table>().map_err(|error| {
        // Not the line itself, which may hold a password.
        let line =
            error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
        ConfigError::new(path.display(), format!("line {line}: {}", error.message()))
    })?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let text = include_str!("../../config.example.toml");
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
    fn what_may_hold_a_password_is_not_repeated() {
        for toml in [
            "database = \"postgres://u:s3cret@h/db\"",
            "[database]\nurl = postgres://u:s3cret@h/db",
            "[database]\nurl = \"postgres://u:s3cret@h/db?s3cret",
            "[database]\nurl = \"postgres://u:s3cret@h/db?sslpassword=s3cret\"",
            "[database]\nurl = \"mysql://u:s3cret@h/db\"",
        ] {
            let refusal = refusal(toml, &[]);
            assert!(!refusal.contains("s3cret"), "{refusal}");
        }
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
                &["`server", "unknown field `lissten`", "expected one of `listen`"][..],
            ),
            (
                "",
                Some(("HALLPASS_SERVER__LISSTEN", "x")),
                &["environment variable `HALLPASS_SERVER__LISSTEN`", "expected one of `listen`"],
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
            ("server = 1", None, &["`server`", "must be a section"]),
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
