//! Tokens for tests: from one valid record, what a test is about is set and the rest is left.

use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::keys::{ApiKeyHash, ApiKeyId, RowSeal};
use hallpass::store::{ApiKeyRecord, IssuanceRecord, ListQuery, Status, Store};
use hallpass::token::{
    Access, AgentId, Claims, Expiry, Grant, Hostname, Origin, Policy, PolicyClaim, TokenId,
};

/// The project that every database has.
pub(crate) const DEFAULT: i64 = 1;

/// The moment at which the tests' clocks start: 2026-01-31T12:00:00Z.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_seconds(1_769_860_800)
}

/// That many seconds after the start.
pub(crate) fn at(seconds: u64) -> Timestamp {
    start().after(Duration::from_secs(seconds))
}

pub(crate) fn agent(id: &str) -> AgentId {
    AgentId::parse(id).unwrap()
}

pub(crate) fn key_id(id: &str) -> ApiKeyId {
    ApiKeyId(id.into())
}

pub(crate) fn origin(hostname: &str) -> Origin {
    Hostname::parse(hostname).unwrap().origin().clone()
}

/// A token to be issued.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    number: u16,
    project_id: i64,
    api_key: &'static str,
    hostname: &'static str,
    agents: Vec<&'static str>,
    made_at: Timestamp,
    expires_at: Timestamp,
}

/// The token of that number: of the default project, for one agent, made at the start and over after
/// five minutes.
pub(crate) fn draft(number: u16) -> Draft {
    Draft {
        number,
        project_id: DEFAULT,
        api_key: "key_a",
        hostname: "https://app.example.com",
        agents: vec!["agent-1"],
        made_at: start(),
        expires_at: at(300),
    }
}

impl Draft {
    pub(crate) fn project(self, project_id: i64) -> Self {
        Self { project_id, ..self }
    }

    pub(crate) fn api_key(self, api_key: &'static str) -> Self {
        Self { api_key, ..self }
    }

    pub(crate) fn hostname(self, hostname: &'static str) -> Self {
        Self { hostname, ..self }
    }

    pub(crate) fn agents(self, agents: &[&'static str]) -> Self {
        Self { agents: agents.to_vec(), ..self }
    }

    pub(crate) fn made(self, made_at: Timestamp) -> Self {
        Self { made_at, ..self }
    }

    pub(crate) fn expires(self, expires_at: Timestamp) -> Self {
        Self { expires_at, ..self }
    }

    pub(crate) fn jti(&self) -> TokenId {
        let mut random = [0; 10];
        random[8..].copy_from_slice(&self.number.to_be_bytes());
        TokenId::new(self.made_at, &random)
    }

    /// The record, with the payload that a server would make: a store may read the claims in it.
    pub(crate) fn record(&self) -> IssuanceRecord {
        let grant = |id: &&str| Grant { id: agent(id), access: vec![Access::ReadMessages] };
        let policy = Policy::new(self.agents.iter().map(grant).collect()).unwrap();
        let hostname = Hostname::parse(self.hostname).unwrap();
        let lifetime = Expiry::after(self.made_at, Duration::from_secs(1));
        let mut claims = Claims::new(
            "https://tokens.example.com",
            "letta",
            "default",
            self.jti(),
            self.made_at,
            (hostname, policy, lifetime),
        );
        claims.exp = self.expires_at.seconds();
        let payload = serde_json::to_string(&claims).unwrap();
        let PolicyClaim { data, .. } = claims.policy;
        IssuanceRecord {
            jti: self.jti(),
            project_id: self.project_id,
            api_key_id: key_id(self.api_key),
            origin: claims.origin,
            agents: data.grants().iter().map(|grant| grant.id.clone()).collect(),
            expires_at: self.expires_at,
            kid: "kid".into(),
            payload,
            seal: seal(self.number),
        }
    }

    pub(crate) async fn issue(self, store: &dyn Store) -> TokenId {
        assert!(store.issue(self.record()).await.unwrap());
        self.jti()
    }
}

/// A list of the default project at the start: of one agent or of all, up to 1,000 tokens.
pub(crate) fn query(status: Status, of_agent: Option<&str>) -> ListQuery {
    ListQuery {
        project_id: DEFAULT,
        agent: of_agent.map(agent),
        status,
        now: start(),
        limit: 1000,
        offset: 0,
    }
}

/// The ids of a page.
pub(crate) async fn ids(store: &dyn Store, query: &ListQuery) -> Vec<TokenId> {
    store.list(query).await.unwrap().tokens.iter().map(|token| token.jti).collect()
}

/// An API key of the default project.
pub(crate) fn api_key(id: &str, created_at: Timestamp) -> ApiKeyRecord {
    ApiKeyRecord {
        id: key_id(id),
        project_id: DEFAULT,
        name: format!("name of {id}"),
        hash: ApiKeyHash::of(id),
        gateway: false,
        created_at,
        seal: seal(7),
    }
}

/// A store keeps seals and doesn't read them.
fn seal(number: u16) -> RowSeal {
    RowSeal::from_bytes([number.to_be_bytes()[1]; 16])
}
