//! Logs: where they go and in which form.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetryConfig};

/// Starts logging to standard error: text on a terminal, one JSON object a line elsewhere. Panics
/// are logged like everything else. A second call changes nothing.
pub fn start(config: &TelemetryConfig) {
    // The filter was checked with the configuration.
    let filter: Targets = config.log.parse().unwrap_or_default();
    let terminal = stderr().is_terminal();
    let as_text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let all = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    let builder = all.with_writer(stderr).with_ansi(terminal);
    let started = if as_text {
        builder.finish().with(filter).try_init()
    } else {
        let json = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
        json.finish().with(filter).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panicked");
        }));
    }
}
