//! Logs: where they go and in which form.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetryConfig};

/// Starts logging to standard error: text on a terminal, one JSON object a line elsewhere. Panics
/// are logged like everything else. A second call changes nothing.
pub fn start(config: &TelemetryConfig) {
    // The filter was checked with the configuration.
    let filter = config.filter().unwrap_or_default();
    let terminal = stderr().is_terminal();
    let as_text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(stderr).with_ansi(terminal);
    let started = if as_text {
        tracing_subscriber::registry().with(lines).with(filter).try_init()
    } else {
        let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        tracing_subscriber::registry().with(json).with(filter).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panicked");
        }));
    }
}
