//! `[forward_auth]`

use serde::{Deserialize, Serialize};

use super::ServerConfig;
use super::problem::Problem;
use crate::gateway::Proxy;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardAuthConfig {
    /// Which proxy asks. Without one nobody is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Whether to allow what is only safe with more than a decision.
    pub allow_unchecked: bool,
}

impl ForwardAuthConfig {
    pub(super) fn check(&self, server: &ServerConfig) -> Result<(), Problem> {
        match self.proxy {
            None if self.allow_unchecked => Err(Problem::new(
                "forward_auth.allow_unchecked",
                "allows nothing without a proxy that asks: set `forward_auth.proxy`",
            )),
            Some(_) if server.trusted_proxies.is_empty() => Err(Problem::new(
                "forward_auth.proxy",
                "nobody may ask: set `server.trusted_proxies` to the proxy's network, such as `[\"10.0.0.7/32\"]`",
            )),
            _ => Ok(()),
        }
    }
}
