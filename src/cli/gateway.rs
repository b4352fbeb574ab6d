//! From a configuration to the gateway.

use std::sync::Arc;

use anyhow::Context;

use crate::access::Table;
use crate::app::App;
use crate::config::Config;
use crate::gateway::{ForwardAuthSettings, Gateway, Settings, UpstreamSettings};

pub(super) fn gateway(config: &Config, app: Arc<App>) -> anyhow::Result<Gateway> {
    let (gateway, limits) = (&config.gateway, &config.limits);
    let table = Table::new(&gateway.access())?;
    let upstream = gateway.upstream.as_ref().map(|url| UpstreamSettings {
        url: url.as_str().trim_end_matches('/').to_owned(),
        token: gateway.upstream_token.as_ref().map(|token| token.expose().to_owned().into()),
        ca: gateway.upstream_ca.clone(),
        answer_timeout: gateway.answer_timeout,
    });
    let settings = Settings {
        upstream,
        forward_auth: ForwardAuthSettings {
            proxy: config.forward_auth.proxy,
            allow_unchecked: config.forward_auth.allow_unchecked,
        },
        trusted_proxies: config.server.trusted_proxies.clone(),
        max_body: gateway.max_body,
        idle_timeout: gateway.idle_timeout,
        messages_per_minute: limits.messages_per_minute,
        open_streams: usize::try_from(limits.open_streams)?,
    };
    Gateway::new(app, table, settings).context("the gateway can't be set up")
}
