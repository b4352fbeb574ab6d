//! From a configuration to the gateway.

use std::sync::Arc;

use anyhow::Context;

use crate::access::Table;
use crate::app::App;
use crate::config::Config;
use crate::gateway::{ForwardAuthSettings, Gateway, Settings, UpstreamSettings};

pub(super) fn gateway(config: &Config, app: Arc<App>) -> anyhow::Result<Gateway> {
    build(config, app, settings(config)?)
}

/// The same, and each answer carries an account of what became of its request.
pub(super) fn gateway_with_accounts(config: &Config, app: Arc<App>) -> anyhow::Result<Gateway> {
    build(config, app, Settings { gives_account: true, ..settings(config)? })
}

fn build(config: &Config, app: Arc<App>, settings: Settings) -> anyhow::Result<Gateway> {
    let table = Table::new(&config.gateway.access())?;
    Gateway::new(app, table, settings).context("the gateway can't be set up")
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    let (gateway, limits) = (&config.gateway, &config.limits);
    let upstream = gateway.upstream.as_ref().map(|url| UpstreamSettings {
        url: url.as_str().trim_end_matches('/').to_owned(),
        token: gateway.upstream_token.as_ref().map(|token| token.expose().to_owned().into()),
        ca: gateway.upstream_ca.clone(),
        answer_timeout: gateway.answer_timeout,
    });
    Ok(Settings {
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
        gives_account: false,
    })
}
