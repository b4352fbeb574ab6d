//! `hallpass dev`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use super::gateway::gateway_with_accounts;
use super::{open, print};
use crate::app::App;
use crate::config::{
    Config, DatabaseConfig, GatewayConfig, LogFormat, Secret, ServerConfig, TelemetryConfig, parse_upstream,
};
use crate::dev::agent_server::AgentServer;
use crate::dev::{Dev, DevClock, Front, Lines, Parts, Welcome};
use crate::gateway::Gateway;
use crate::keys::{DEV_API_KEY, MasterKey, MasterKeySource, StaticKey, random_bytes};
use crate::server::{self, Listeners};
use crate::store::SqliteStore;
use crate::telemetry;
use crate::token::{Hostname, Origin};

#[derive(Args)]
pub(super) struct Arguments {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8284)]
    port: u16,
    /// Origin of the page that you work on; it may use `/dev` too
    #[arg(long, value_name = "URL", default_value = "http://localhost:5173", value_parser = origin)]
    origin: Origin,
    /// A real agent server instead of the one that is played
    #[arg(long, value_name = "URL", value_parser = parse_upstream)]
    upstream: Option<Url>,
    /// File with the secret that the agent server asks for
    #[arg(long, value_name = "FILE", requires = "upstream")]
    upstream_token_file: Option<PathBuf>,
    /// What the played agents say and are called is drawn from this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Listen where others can reach it, as in a container; requests must still name localhost
    #[arg(long)]
    not_only_loopback: bool,
}

pub(super) const AFTER_HELP: &str = "\
No configuration file and no HALLPASS_ variable is read, and nothing is written: everything is in memory.
The API key is the same everywhere and so no secret: sk-hallpass-dev-not-a-secret

A user's message steers the reply: [slow 200], [words 50], [error 500], [error stream], [tool name].
docs/frontend.md tells the rest.";

fn origin(text: &str) -> Result<Origin, String> {
    Hostname::parse(text).map(|hostname| hostname.origin().clone())
}

pub(super) fn run(arguments: Arguments, has_config: bool) -> anyhow::Result<ExitCode> {
    if has_config {
        bail!("`hallpass dev` reads no configuration; `hallpass serve --config FILE` does");
    }
    if !arguments.host.to_canonical().is_loopback() && !arguments.not_only_loopback {
        bail!(
            "`{}` can be reached by others, and everybody knows the development key; say `--not-only-loopback` too if \
             that is meant, as in a container whose port is published on 127.0.0.1",
            arguments.host
        );
    }
    telemetry::start(&TelemetryConfig { log: "warn".to_owned(), format: LogFormat::Text });
    server::runtime()?.block_on(serve(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let coloured = print::is_coloured();
    let address = SocketAddr::new(arguments.host, arguments.port);
    let public = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on `{address}`; is another server running there? `--port` names another, 0 a free one")
    })?;
    let clock = Arc::new(DevClock::default());
    let upstream = match &arguments.upstream {
        Some(url) => Upstream::real(url.clone(), arguments.upstream_token_file.as_deref())?,
        None => Upstream::played(arguments.seed, clock.clone()).await?,
    };
    let agent_server = upstream.played.clone();
    let (app, gateway) = open(public.local_addr()?, upstream, clock.clone()).await?;
    let agents = agent_server.as_ref().map(|server| server.agents()).unwrap_or_default();
    let real = arguments.upstream.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let welcome = Welcome {
        base_url: &app.settings.issuer,
        origin: arguments.origin.as_str(),
        agents: &agents,
        upstream: real,
        coloured,
    };
    print::line(&welcome.to_string())?;
    let lines = Lines::start(coloured)?;
    let dev = Dev::new(Parts {
        app: app.clone(),
        gateway: gateway.clone(),
        clock,
        agent_server,
        origin: arguments.origin,
        lines,
    });
    let listeners = Listeners { public, admin: None };
    // Nothing outlives it, so there is nothing to finish.
    tokio::select! {
        () = server::run(listeners, app, gateway, Front::new(dev), std::future::pending()) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The agent server behind the gateway.
struct Upstream {
    url: Url,
    token: Option<String>,
    played: Option<Arc<AgentServer>>,
}

impl Upstream {
    fn real(url: Url, token_file: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let read = |path: &std::path::Path| {
            let text = std::fs::read_to_string(path);
            text.with_context(|| {
                format!("cannot read `{}`, which `--upstream-token-file` names", path.display())
            })
        };
        let token = token_file.map(read).transpose()?.map(|text| text.trim().to_owned());
        Ok(Self { url, token, played: None })
    }

    /// Starts one that is played. It is reached as a real one is, and asks for a secret, so that nobody gets
    /// past the gateway.
    async fn played(seed: u64, clock: Arc<DevClock>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url =
            parse_upstream(&format!("http://{}", listener.local_addr()?)).map_err(anyhow::Error::msg)?;
        let token = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
        let played = AgentServer::new(seed, clock);
        tokio::spawn(server::serve(listener, played.router(&token), std::future::pending()));
        Ok(Self { url, token: Some(token), played: Some(played) })
    }
}

/// The server's own parts, on a database in memory.
async fn open(
    address: SocketAddr,
    upstream: Upstream,
    clock: Arc<DevClock>,
) -> anyhow::Result<(Arc<App>, Arc<Gateway>)> {
    let config = Config {
        server: ServerConfig {
            listen: address,
            public_url: format!("http://localhost:{}", address.port()),
            admin_listen: address,
            ..ServerConfig::default()
        },
        gateway: GatewayConfig {
            upstream: Some(upstream.url),
            upstream_token: upstream.token.map(Secret::from),
            ..GatewayConfig::default()
        },
        // However far the clock goes ahead, what was issued can be revoked.
        database: DatabaseConfig { retention: DevClock::MOST_AHEAD, ..DatabaseConfig::default() },
        ..Config::default()
    };
    let config = config.checked()?;
    let store = Arc::new(SqliteStore::in_memory().await?);
    let master = MasterKeySource::Given(MasterKey::generate());
    // Any page knows the key: what is behind a real agent server is not for all of them.
    let key = StaticKey { secret: DEV_API_KEY.to_owned().into(), gateway: upstream.played.is_some() };
    let app = Arc::new(App::open(store, clock, open::settings(&config), &master, Some(key)).await?);
    let gateway = Arc::new(gateway_with_accounts(&config, app.clone())?);
    Ok((app, gateway))
}
