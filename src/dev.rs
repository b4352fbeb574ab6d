//! `hallpass dev`: what stands around the server in a frontend developer's terminal: an agent server
//! that is played, a clock that can be moved on, faults, a log. Only the dev command reaches it.

pub mod agent_server;
mod clock;
mod control;
mod faults;
mod front;
mod host;
mod journal;
mod lines;
mod stream;
mod welcome;

use std::sync::Arc;

use self::agent_server::AgentServer;
pub use self::clock::DevClock;
use self::faults::Faults;
pub use self::front::Front;
use self::journal::Journal;
pub use self::lines::Lines;
pub use self::welcome::Welcome;
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::store::{RevokeFilter, StoreError};
use crate::token::{Origin, TokenId};

/// The parts of a `hallpass dev`.
pub struct Parts {
    pub app: Arc<App>,
    pub gateway: Arc<Gateway>,
    pub clock: Arc<DevClock>,
    /// The agent server that is played, if it isn't a real one.
    pub agent_server: Option<Arc<AgentServer>>,
    /// The origin of the page that is worked on: the only one that may use `/dev`.
    pub origin: Origin,
    pub lines: Lines,
}

/// A `hallpass dev` at work.
pub struct Dev {
    parts: Parts,
    faults: Faults,
    journal: Journal,
}

impl Dev {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts, faults: Faults::default(), journal: Journal::default() })
    }

    /// Everything as it was at the start.
    async fn reset(&self) -> Result<(), AppError> {
        let Parts { app, clock, agent_server, .. } = &self.parts;
        self.faults.clear();
        // First: tokens that were over may be live again by the earlier time.
        clock.reset();
        app.store.revoke_where(&RevokeFilter::default(), clock.now()).await?;
        app.refresh().await?;
        if let Some(agent_server) = agent_server {
            agent_server.reset();
        }
        self.journal.clear();
        Ok(())
    }

    /// Revokes a token, as its backend would.
    async fn revoke(&self, token: TokenId) -> Result<(), StoreError> {
        let app = &self.parts.app;
        let Some(key) = app.authenticate(crate::keys::DEV_API_KEY) else { return Ok(()) };
        app.revoke(&key.project, token).await.map(drop)
    }
}
