//! The gateway in front of an agent server, and the answers that other proxies ask for: who may pass, and
//! with what. What may pass is decided in [`crate::access`]; here it is carried out.

mod account;
mod admission;
mod answer;
mod buffer;
mod cors;
mod credentials;
mod forward_auth;
mod headers;
mod owners;
mod passing;
mod proxy;
mod refusal;
mod request_body;
pub mod sse;
mod streams;
mod target;
mod upstream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;

pub use self::account::{Account, Sent};
use self::buffer::Buffers;
pub use self::cors::is_preflight;
pub use self::forward_auth::{ForwardAuthSettings, Proxy, is_forward_auth};
use self::owners::Owners;
use self::passing::Endings;
use self::streams::Streams;
pub use self::target::is_ours;
use self::upstream::Upstream;
pub use self::upstream::{UpstreamError, UpstreamSettings};
use crate::access::Table;
use crate::app::{App, TokenError};
use crate::limits::Limiter;
use crate::token::TokenId;

/// How often open answers are looked through even if nothing was heard: tokens expire, and keys go.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// How much longer a client may leave its answer unread than the agent server may pause.
const STALL_SLACK: Duration = Duration::from_secs(10);

/// Large answers that are parsed at the same time; each keeps a core busy.
const MOST_PARSERS: usize = 2;

/// Shortest pause between two looks, for when tokens are revoked one after another.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// What is decided about the gateway. By default there is none.
#[derive(Default)]
pub struct Settings {
    pub upstream: Option<UpstreamSettings>,
    pub forward_auth: ForwardAuthSettings,
    /// Peers whose forwarding headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest body of a client token's request, in bytes.
    pub max_body: usize,
    /// How long an answer may pause.
    pub idle_timeout: Duration,
    /// Message requests of a token within a minute; 0: any number.
    pub messages_per_minute: u32,
    /// Answers that a token may have open; 0: any number.
    pub open_streams: usize,
    /// Whether each answer carries an [`Account`].
    pub gives_account: bool,
}

/// The gateway, and forward-auth.
pub struct Gateway {
    app: Arc<App>,
    table: Table,
    settings: Settings,
    upstream: Option<Upstream>,
    owners: Owners,
    buffers: Buffers,
    streams: Arc<Streams>,
    endings: Arc<Endings>,
    /// Turns to parse a large answer.
    parsers: Semaphore,
    messages: Limiter<TokenId>,
    /// Our own origin, as browsers write it.
    public_origin: Option<String>,
}

impl Gateway {
    pub fn new(app: Arc<App>, table: Table, settings: Settings) -> Result<Self, UpstreamError> {
        let upstream = settings.upstream.as_ref().map(Upstream::new).transpose()?;
        let public_origin =
            url::Url::parse(&app.settings.issuer).ok().map(|url| url.origin().ascii_serialization());
        Ok(Self {
            messages: Limiter::per_minute(settings.messages_per_minute),
            table,
            settings,
            upstream,
            owners: Owners::new(),
            buffers: Buffers::new(),
            streams: Arc::new(Streams::new()),
            endings: Arc::new(answer::endings(&app.settings.issuer)),
            parsers: Semaphore::new(MOST_PARSERS),
            public_origin,
            app,
        })
    }

    /// Whether there is an agent server behind it.
    pub fn is_open(&self) -> bool {
        self.upstream.is_some()
    }

    /// Rows of the permission table.
    pub fn rows(&self) -> usize {
        self.table.rows().len()
    }

    /// Answers that are open.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Ends open answers whose token or key is no longer good, as long as the server runs.
    pub async fn watch(&self) {
        let mut tidied = tokio::time::Instant::now();
        loop {
            let _ = tokio::time::timeout(SWEEP_EVERY, self.app.revocations()).await;
            self.streams.sweep(&self.app, |error| self.explain(error)).await;
            // Waiting for the agent server ends by itself after `idle_timeout`, and polls then.
            self.streams.cut_stalled(self.settings.idle_timeout + STALL_SLACK, &self.endings.not_read);
            if let Some(upstream) = &self.upstream {
                upstream.tidy();
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
            if tidied.elapsed() > Duration::from_secs(60) {
                tidied = tokio::time::Instant::now();
                self.messages.tidy();
            }
        }
    }

    /// Ends all open answers: the server stops.
    pub fn stop(&self) {
        self.streams.stop(&self.endings.stopping);
    }

    /// As an event's data.
    fn explain(&self, error: &TokenError) -> String {
        let problem = refusal::ending(error).with_reason();
        String::from_utf8(problem.to_json(&self.app.settings.issuer)).unwrap_or_default()
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.settings.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}
