//! What tests of decisions need: genuine tokens, and requests that are in order but for what a test
//! changes.

use std::sync::LazyLock;
use std::time::Duration;

use super::{OriginHeader, Preset, Provenance, Request, RequestBody, Settings, Target};
use crate::clock::Timestamp;
use crate::keys::{Algorithm, KeyRing, MasterKey, Verified};
use crate::token::{Access, AgentId, Claims, Expiry, Grant, Hostname, Policy, TokenId};

pub(crate) const ORIGIN: &str = "https://app.example.com";
pub(crate) const AGENT: &str = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
pub(crate) const OTHER_AGENT: &str = "agent-2c4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
pub(crate) const CONVERSATION: &str = "conv-3d4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
pub(crate) const RUN: &str = "run-4e4e28ba-2fa1-4d2b-883f-b9a761bde3fb";

const ISSUER: &str = "https://tokens.example.com";

/// One key for all tests: making one costs more than all that they do with it.
static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let master = MasterKey::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let rows = KeyRing::first(Algorithm::EdDSA, &master, issued()).unwrap();
    KeyRing::open(&rows, &master, ISSUER, "letta").unwrap()
});

/// When the tokens of tests are issued.
pub(crate) fn issued() -> Timestamp {
    Timestamp::from_seconds(1_769_860_800)
}

/// A verified token for `ORIGIN` with these grants, good for five minutes.
pub(crate) fn token(grants: &[(&str, &[Access])]) -> Verified {
    let grant =
        |(id, access): &(&str, &[Access])| Grant { id: AgentId::parse(id).unwrap(), access: access.to_vec() };
    let policy = Policy::new(grants.iter().map(grant).collect()).unwrap();
    let subject =
        (Hostname::parse(ORIGIN).unwrap(), policy, Expiry::after(issued(), Duration::from_secs(300)));
    let jti = TokenId::new(issued(), &[1; 10]);
    let claims = Claims::new(ISSUER, "letta", "default", jti, issued(), subject);
    let token = RING.active().sign(&serde_json::to_string(&claims).unwrap()).unwrap();
    RING.verify(&token, issued()).unwrap()
}

/// The default settings of a table.
pub(crate) fn settings() -> Settings {
    Settings {
        preset: Preset::Letta,
        require_origin: true,
        max_steps: 50,
        agent_fields: Vec::new(),
        system_messages: false,
        changes: Vec::new(),
    }
}

/// A request from the token's own origin while the token is good, its body unread.
pub(crate) fn request<'a>(token: &'a Verified, method: &'a str, target: &'a Target<'a>) -> Request<'a> {
    Request {
        token,
        method,
        target,
        provenance: Provenance {
            origin: OriginHeader::One(ORIGIN.as_bytes()),
            sec_fetch_site: None,
            referer: None,
            own_origin: None,
        },
        body: RequestBody::Unread,
        owner: None,
        now: issued(),
    }
}
