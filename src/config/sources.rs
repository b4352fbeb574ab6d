//! The places that settings come from, each read into one table: the file, the environment, and files
//! that hold a secret.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::problem::Problem;
use super::{Config, ConfigError};

/// The file that is read if there is one and no other is named.
const DEFAULT_FILE: &str = "hallpass.toml";

/// What the names of environment variables begin with.
pub(super) const PREFIX: &str = "HALLPASS_";

/// What the setting that names a file adds to the name of the one whose value the file holds.
pub(super) const FILE_SUFFIX: &str = "_file";

/// The settings that may be, or hold, a secret: their value may stand in a file of its own.
pub(super) const FROM_FILES: [FromFile; 3] = [
    // The container image sets this one, for those who set nothing.
    FromFile { section: "database", name: "url", file_wins: true },
    FromFile { section: "database", name: "direct_url", file_wins: false },
    FromFile { section: "gateway", name: "upstream_token", file_wins: false },
];

/// A setting whose value may stand in a file of its own.
pub(super) struct FromFile {
    section: &'static str,
    name: &'static str,
    /// Whether the file counts if both are given; otherwise that is an error.
    file_wins: bool,
}

impl FromFile {
    /// Puts the content of the file in the place of its name.
    pub(super) fn fetch(&self, settings: &mut Table) -> Result<(), Problem> {
        let Some(section) = settings.get_mut(self.section).and_then(Value::as_table_mut) else {
            return Ok(());
        };
        let Some(path) = section.remove(&self.file_name()) else { return Ok(()) };
        let key = format!("{}.{}", self.section, self.name);
        let problem = |text: &str| Err(Problem::new(format!("{key}{FILE_SUFFIX}"), text));
        if section.contains_key(self.name) && !self.file_wins {
            return problem(&format!("`{key}` is given as well; set one of the two"));
        }
        let Value::String(path) = path else { return problem("must be the path of a file, in quotes") };
        let secret = read_secret(&path).or_else(|text| problem(&text).map(|()| Zeroizing::default()))?;
        section.insert(self.name.to_owned(), Value::String(secret.to_string()));
        Ok(())
    }

    fn file_name(&self) -> String {
        format!("{}{FILE_SUFFIX}", self.name)
    }
}

/// Drops from a file what the environment gives in the other of the two ways, so that it wins.
pub(super) fn forget_replaced(settings: &mut Table, variables: &[(String, String)]) {
    for secret in &FROM_FILES {
        let names = [secret.name.to_owned(), secret.file_name()];
        let variable = |name: &String| format!("{PREFIX}{}__{name}", secret.section).to_ascii_uppercase();
        let given = names.iter().map(variable).any(|name| variables.iter().any(|(given, _)| *given == name));
        if let (true, Some(Value::Table(section))) = (given, settings.get_mut(secret.section)) {
            names.iter().for_each(|name| drop(section.remove(name)));
        }
    }
}

pub(super) fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, Table)>, ConfigError> {
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

/// Reads a file that holds a secret and nothing else but white space around it.
pub(super) fn read_secret(path: &str) -> Result<Zeroizing<String>, String> {
    // Not the path: who confuses the two settings has put the secret itself there.
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the file that it names cannot be read: {error}"))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Puts `HALLPASS_SERVER__LISTEN` at `server.listen`.
pub(super) fn lay_over(settings: &mut Table, variable: &str, text: String) -> Result<(), String> {
    let key = variable[PREFIX.len()..].to_ascii_lowercase();
    let value = value_for(&key, text)?;
    let mut place = settings;
    let mut parts = key.split("__").peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            break;
        }
        let Value::Table(below) = place.entry(part).or_insert_with(|| Value::Table(Table::new())) else {
            return Err(format!("`{part}` is not a section"));
        };
        place = below;
    }
    Ok(())
}

/// A variable's text as a value of the kind that the setting's default is of: a text is never read as
/// a number, and a list is written as in TOML. What is no number stays a text, and is refused as such.
fn value_for(key: &str, text: String) -> Result<Value, String> {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let default =
        key.split_once("__").and_then(|(section, name)| defaults.get(section)?.as_table()?.get(name));
    Ok(match default {
        Some(Value::Boolean(_)) => text.parse().map_or(Value::String(text), Value::Boolean),
        Some(Value::Integer(_)) => text.parse().map_or(Value::String(text), Value::Integer),
        Some(Value::Array(_)) => match text.parse() {
            Ok(list @ Value::Array(_)) => list,
            Ok(_) => return Err("must be a list, as in TOML: `[…]`".to_owned()),
            Err(error) => return Err(format!("must be a list, as in TOML: {}", error.message())),
        },
        _ => Value::String(text),
    })
}
