//! The rows for Letta's REST API, version 1.

use super::{Route, Settings};

pub(super) fn rows(_settings: &Settings) -> Vec<Route> {
    Vec::new()
}
