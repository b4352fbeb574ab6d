//! `hallpass serve`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::gateway::gateway;
use super::open::{self, Purpose};
use crate::config::Loaded;
use crate::server::{Front, Listeners};
use crate::{server, telemetry};

pub(super) fn run(loaded: Loaded) -> anyhow::Result<ExitCode> {
    telemetry::start(&loaded.config.telemetry);
    let runtime = server::runtime()?;
    // Told where everything else is told, so that whoever collects the log learns why it ended.
    Ok(match runtime.block_on(serve(loaded)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("cannot start: {error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let (listen, admin_listen) = (loaded.config.server.listen, loaded.config.server.admin_listen);
    let database = loaded.config.database.url.to_string();
    let config = loaded.config.clone();
    let app = Arc::new(open::app(loaded, Purpose::Serve).await?);
    let gateway = Arc::new(gateway(&config, app.clone())?);
    app.adopt_algorithm().await?;
    let public = bind(listen, "server.listen").await?;
    let admin = bind(admin_listen, "server.admin_listen").await?;
    // Before anyone is told that the server is up: a signal from now on ends it well.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let active = app.ring();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database,
        public_url = app.settings.issuer,
        algorithm = %active.active().algorithm(),
        kid = active.active().kid(),
        "starting"
    );
    if let Some(upstream) = &config.gateway.upstream {
        let rows = gateway.rows();
        tracing::info!(%upstream, preset = ?config.gateway.preset, rows, "the gateway is open");
        if config.gateway.upstream_token.is_none() {
            tracing::warn!(
                "`gateway.upstream_token` is not set: an agent server that asks for no secret must be reachable by nobody else"
            );
        }
    }
    if !app.has_api_keys() {
        tracing::warn!(
            "there is no API key yet, so nobody can ask for a token; make one with \
             `hallpass api-key create --name my-backend` and this server takes it within a second"
        );
    }
    tracing::info!(address = %public.local_addr()?, "listening");
    tracing::info!(address = %admin.local_addr()?, "admin listening");
    let front = Front::new(app.clone(), gateway.clone());
    server::run(Listeners { public, admin: Some(admin) }, app, gateway, front, stop).await;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on `{address}`; is another server running there? `{setting}` names the address"
        )
    })
}
