//! A request line, decided on: what the agent server gets is what was decided on. It is allowed
//! again, for the same agent and by the same row, and nothing is left to drop.
//!
//! An input is a method, a space and a target.

#![no_main]

use std::sync::LazyLock;

use hallpass::access::{
    Allowed, Decision, OriginHeader, Owner, Preset, Provenance, Request, RequestBody, Settings, Table,
    Target, decide,
};
use hallpass::clock::Timestamp;
use hallpass::keys::{KeyRing, MasterKey, Verified};
use hallpass::token::AgentId;
use hallpass_fuzz::{AUDIENCE, ISSUER, MASTER_KEY, NOW, claims, read_ring};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The agent that the token may do everything with, and one with which it may do one thing.
const AGENT: &str = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
const OTHER_AGENT: &str = "agent-2c4e28ba-2fa1-4d2b-883f-b9a761bde3fb";

static TOKEN: LazyLock<Verified> = LazyLock::new(|| {
    let master = MasterKey::parse(MASTER_KEY).expect("32 bytes in base64");
    let rows = read_ring(include_str!("../inputs/ring.txt"));
    let ring = KeyRing::open(&rows, &master, ISSUER, AUDIENCE).expect("the ring opens");
    let mut claims = claims();
    claims["policy"]["data"] = json!([
        {"type": "agent", "id": AGENT, "access": ["read_messages", "write_messages", "read_agent", "write_agent"]},
        {"type": "agent", "id": OTHER_AGENT, "access": ["read_agent"]},
    ]);
    let token = ring.active().sign(&claims.to_string()).expect("the key signs");
    ring.verify(&token, Timestamp::from_millis(NOW)).expect("the token is good")
});

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let settings = Settings {
        preset: Preset::Letta,
        require_origin: true,
        max_steps: 50,
        agent_fields: Vec::new(),
        system_messages: false,
        changes: Vec::new(),
    };
    Table::new(&settings).expect("the preset is a table")
});

/// Decides, as if everything belonged to the other agent if it belongs to one at all.
fn allowed(method: &str, target: &Target<'_>, owner: &str) -> Option<Allowed<'static>> {
    let request = Request {
        token: &TOKEN,
        method,
        target,
        provenance: Provenance {
            origin: OriginHeader::One(b"https://app.example.com"),
            sec_fetch_site: None,
            referer: None,
            own_origin: None,
        },
        body: RequestBody::OutOfReach,
        owner: Some(Owner::Agent(AgentId::parse(owner).expect("an id"))),
        now: Timestamp::from_millis(NOW),
    };
    match decide(&TABLE, request) {
        Decision::Allow(allowed) => Some(allowed),
        Decision::Deny(_) => None,
        other @ (Decision::NeedsOwner(_) | Decision::NeedsBody(_)) => panic!("all was said: {other:?}"),
    }
}

fuzz_target!(|text: &str| {
    let Some((method, raw)) = text.split_once(' ') else { return };
    let Ok(target) = Target::parse(raw) else { return };
    for owner in [AGENT, OTHER_AGENT] {
        let Some(first) = allowed(method, &target, owner) else { continue };
        let sent = &first.path_and_query;
        let again = Target::parse(sent).unwrap_or_else(|e| panic!("{raw:?} as {sent:?}: {e}"));
        let second =
            allowed(method, &again, owner).unwrap_or_else(|| panic!("{raw:?} as {sent:?} is denied"));
        assert_eq!(&second.path_and_query, sent);
        assert_eq!(second.agent, first.agent, "{raw:?} as {sent:?}");
        assert!(std::ptr::eq(second.route, first.route), "{raw:?} as {sent:?}");
        assert!(second.dropped_query.is_empty(), "{sent:?} drops {:?}", second.dropped_query);
        // The other agent may be looked at, but for what was said to it, and no more.
        if first.agent.is_some_and(|agent| agent.as_str() == OTHER_AGENT) {
            let looks =
                again.segments[1] == "agents" && again.segments.get(3).is_none_or(|part| part != "messages");
            assert!(method == "GET" && looks, "{method} {sent:?}");
        }
    }
});
