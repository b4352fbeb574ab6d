//! Reading settings: a file, the environment laid over it, and the secrets beside them.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::sources::{FILE_SUFFIX, FROM_FILES, PREFIX, forget_replaced, lay_over, read_file, read_secret};
use super::{Config, Secrets};

const API_KEY: &str = "HALLPASS_API_KEY";
const MASTER_KEY: &str = "HALLPASS_MASTER_KEY";

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
    pub(super) fn new(origin: impl fmt::Display, problem: impl fmt::Display) -> Self {
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
        forget_replaced(&mut settings, &variables);
        for (name, value) in variables {
            loaded.take_variable(&mut settings, name, value)?;
        }
        // Not by its value, which may hold a password.
        if let Some((name, _)) = settings.iter().find(|(_, value)| !value.is_table()) {
            return Err(loaded.error(name, &format!("must be a section: `[{name}]`")));
        }
        for secret in &FROM_FILES {
            secret.fetch(&mut settings).map_err(|problem| loaded.error(&problem.key, &problem.text))?;
        }
        loaded.config = serde_path_to_error::deserialize(Value::Table(settings))
            .map_err(|error| loaded.error(&error.path().to_string(), error.inner().message()))?;
        loaded.config.check().map_err(|problem| loaded.error(&problem.key, &problem.text))?;
        Ok(loaded)
    }

    /// Tells a person of the variables that were ignored.
    pub fn print_warnings(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {warning}");
        }
    }

    fn take_variable(
        &mut self,
        settings: &mut Table,
        name: String,
        value: String,
    ) -> Result<(), ConfigError> {
        match name.as_str() {
            API_KEY => self.secrets.set_api_key(&name, Zeroizing::new(value))?,
            MASTER_KEY => self.secrets.set_master_key(&name, Zeroizing::new(value))?,
            "HALLPASS_API_KEY_FILE" => self.secrets.set_api_key(&name, secret_of(&name, &value)?)?,
            "HALLPASS_MASTER_KEY_FILE" => self.secrets.set_master_key(&name, secret_of(&name, &value)?)?,
            _ if name.contains("__") => lay_over(settings, &name, value)
                .map_err(|problem| ConfigError::new(format!("environment variable `{name}`"), problem))?,
            _ => {
                self.warnings.push(format!(
                    "`{name}` is not a setting and is ignored: settings are written like `HALLPASS_SERVER__LISTEN`"
                ));
                return Ok(());
            }
        }
        self.variables.push(name);
        Ok(())
    }

    /// An error at a key, told with the source that the key came from.
    fn error(&self, key: &str, problem: &str) -> ConfigError {
        let problem = problem.trim_end();
        // An entry of a list comes from where the list comes from, and a secret from where its file does.
        let setting = key.split('[').next().unwrap_or(key);
        let (variable, file_variable) =
            (variable_of(setting), variable_of(&format!("{setting}{FILE_SUFFIX}")));
        let is_source = |name: &&String| {
            // An unknown key below `server` is told at `server`.
            **name == variable || **name == file_variable || problem_names(problem, name)
        };
        match self.variables.iter().rfind(is_source) {
            Some(variable) => {
                let problem = if setting == key { problem.to_owned() } else { format!("`{key}`: {problem}") };
                ConfigError::new(format!("environment variable `{variable}`"), problem)
            }
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

fn secret_of(variable: &str, path: &str) -> Result<Zeroizing<String>, ConfigError> {
    read_secret(path)
        .map_err(|problem| ConfigError::new(format!("environment variable `{variable}`"), problem))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    pub(in crate::config) fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Loaded, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), toml).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Loaded::read(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    pub(in crate::config) fn refusal(toml: &str, environment: &[(&str, &str)]) -> String {
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
            ("[telemetry]\nlog = \" ,\"", None, &["`telemetry.log`", "nothing in it"]),
            ("[telemetry]\nlog = \"info,[request]=debug\"", None, &["`telemetry.log`", "`[request]=debug`"]),
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
