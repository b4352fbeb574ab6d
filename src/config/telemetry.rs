//! `[telemetry]`

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::problem::Problem;

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

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl TelemetryConfig {
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.filter().map(drop).map_err(|wrong| {
            let rule = "must be a filter such as `info` or `info,hallpass::http=debug`";
            Problem::new("telemetry.log", format!("{rule}: {wrong}"))
        })
    }

    /// The filter that `log` says, or what is wrong with it.
    pub fn filter(&self) -> Result<Targets, String> {
        // Read as it is, an empty part would mean `error`, and a space belong to a name.
        let parts: Vec<_> = self.log.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        // A level that is misspelled would be the name of a target, of which everything is wanted.
        let is_odd = |part: &&&str| {
            let level = part.rsplit('=').next().unwrap_or_default();
            part.contains(['[', '{', ' ']) || level.is_empty() || level.parse::<LevelFilter>().is_err()
        };
        match parts.iter().find(is_odd) {
            _ if parts.is_empty() => Err("there is nothing in it".to_owned()),
            Some(odd) => Err(format!(
                "`{odd}` is neither a level (`off`, `error`, `warn`, `info`, `debug`, `trace`) nor a target and its level"
            )),
            None => parts.join(",").parse().map_err(|error| format!("{error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn filter(log: &str) -> Result<Targets, String> {
        TelemetryConfig { log: log.to_owned(), ..TelemetryConfig::default() }.filter()
    }

    #[test]
    fn a_log_filter_means_the_same_with_spaces_and_empty_parts() {
        for log in
            ["info,hallpass::http=debug", " info , hallpass::http=debug", "info,,hallpass::http=debug,"]
        {
            let filter = filter(log).unwrap();
            assert!(filter.would_enable("hallpass::http", &Level::DEBUG), "{log}");
            assert!(filter.would_enable("hallpass::store", &Level::INFO), "{log}");
            for other in ["hallpass::store", "h2"] {
                assert!(!filter.would_enable(other, &Level::DEBUG), "{log}: {other}");
            }
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_not_the_name_of_a_target() {
        for (log, odd) in [
            ("verbose", "verbose"),
            ("info,hallpass::http", "hallpass::http"),
            ("info,h2=warn,warning", "warning"),
            ("hallpass=", "hallpass="),
            ("h2=loud", "h2=loud"),
        ] {
            let wrong = filter(log).unwrap_err();
            assert!(wrong.starts_with(&format!("`{odd}` is neither a level (")), "{wrong}");
        }
        for log in ["off", "ERROR", "trace,hyper=off"] {
            assert!(filter(log).is_ok(), "{log}");
        }
    }
}
