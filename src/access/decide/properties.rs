//! What no decision may do, whatever is asked: the rule is said again here, by the text of the target
//! that goes to the agent server and nothing of the table.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;
use crate::access::testing::{AGENT, CONVERSATION, OTHER_AGENT, RUN, request, settings, token};
use crate::access::{OriginHeader, Preset, RouteChange, Settings};
use crate::token::Access;

/// Agents that tokens and targets name, some of them not of Letta's form.
const AGENTS: [&str; 4] = [AGENT, OTHER_AGENT, "agent-x", "default"];

static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| {
    let change = |path: &str, access: &str| RouteChange {
        method: Method::Post,
        path: path.to_owned(),
        access: Some(access.to_owned()),
        query: vec!["limit".to_owned()],
        remove: false,
    };
    let changes = vec![
        change("/bots/{agent}/say", "write_messages"),
        change("/bots/say/?bot={agent}", "write_messages"),
    ];
    [
        Table::new(&settings()).unwrap(),
        Table::new(&Settings { preset: Preset::None, changes, require_origin: false, ..settings() }).unwrap(),
    ]
});

/// All that a decision depends on.
#[derive(Clone, Debug)]
struct Asked {
    table: usize,
    method: &'static str,
    raw: String,
    grants: Vec<(&'static str, Vec<Access>)>,
    origin: Option<&'static str>,
    owner: Option<Option<&'static str>>,
    body: Option<Value>,
    later: u64,
}

fn asked() -> impl Strategy<Value = Asked> {
    let rows = TABLES.iter().enumerate().flat_map(|(index, table)| {
        table.rows().iter().map(move |row| (index, row.method.as_str(), row.template.to_string()))
    });
    let row = select(rows.collect::<Vec<_>>());
    let grant = (select(&AGENTS[..]), proptest::sample::subsequence(Access::ALL.to_vec(), 1..=4));
    let owner =
        prop_oneof![Just(None), Just(Some(None)), select(&AGENTS[..3]).prop_map(|agent| Some(Some(agent)))];
    let body =
        select(vec![None, Some(json!({})), Some(json!({"messages": [{"role": "user", "content": "x"}]}))]);
    let origin = prop_oneof![
        6 => Just(Some(crate::access::testing::ORIGIN)),
        1 => Just(None),
        1 => Just(Some("https://evil.example"))
    ];
    let method = prop_oneof![8 => Just(None), 1 => select(vec!["GET", "POST", "PATCH", "DELETE", "HEAD"]).prop_map(Some)];
    (
        (row, method, select(&AGENTS[..]), mutation(), queries()),
        (proptest::collection::vec(grant, 1..4), origin, owner, body),
        prop_oneof![8 => Just(0u64), 1 => Just(304), 1 => Just(305)],
    )
        .prop_map(|((row, method, agent, mutation, query), (grants, origin, owner, body), later)| {
            let (table, its_method, template) = row;
            let filled = template
                .replace("{agent}", agent)
                .replace("{conversation}", CONVERSATION)
                .replace("{run}", RUN)
                .replace("{label}", "persona");
            let raw = mutation.apply(filled + if template.contains('?') { "&" } else { "?" } + &query);
            Asked { table, method: method.unwrap_or(its_method), raw, grants, origin, owner, body, later }
        })
}

/// What is done to a target that is in order.
#[derive(Clone, Debug)]
enum Mutation {
    None,
    Insert(usize, &'static str),
    Encode(usize),
    Swap(&'static str, &'static str),
}

impl Mutation {
    fn apply(self, mut raw: String) -> String {
        match self {
            Mutation::None => {}
            Mutation::Insert(place, text) => raw.insert_str(place % raw.len(), text),
            Mutation::Encode(place) => {
                let place = place % raw.len();
                let encoded = format!("%{:02X}", raw.as_bytes()[place]);
                raw.replace_range(place..=place, &encoded);
            }
            Mutation::Swap(from, to) => raw = raw.replace(from, to),
        }
        raw
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let odd =
        vec!["/", "//", "/..", "%2F", "%2e", ";", "A", "?", "&", "=", "#", ".", "%00", "%25", OTHER_AGENT];
    let swaps = vec![
        ("agent_id", "agent_ids"),
        ("agents", "Agents"),
        ("/v1", "/latest"),
        ("conv-", "agent-"),
        ("run-", "RUN-"),
        (AGENT, OTHER_AGENT),
        (CONVERSATION, "default"),
    ];
    prop_oneof![
        4 => Just(Mutation::None),
        2 => any::<usize>().prop_map(Mutation::Encode),
        2 => (any::<usize>(), select(odd)).prop_map(|(place, text)| Mutation::Insert(place, text)),
        1 => select(swaps).prop_map(|(from, to)| Mutation::Swap(from, to)),
    ]
}

fn queries() -> impl Strategy<Value = String> {
    let keys = ["limit", "include", "agent_id", "agent_ids", "agent%5Fid", "tags", "bot", "order", "x"];
    let values = vec!["1", "", "%C3%A9+b", "a%26agent_id=b", AGENT, OTHER_AGENT];
    let pair = (select(keys.to_vec()), select(values)).prop_map(|(key, value)| format!("{key}={value}"));
    proptest::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}

/// The rule, said again: which agent the target concerns, and which access that takes.
fn concerns<'a>(method: &str, sent: &'a str, owner: Option<&'a str>) -> Option<(&'a str, Access)> {
    let (path, query) = sent.split_once('?').unwrap_or((sent, ""));
    let values = |key: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let values: Vec<_> = pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect();
        let [value] = values[..] else { panic!("{key} stands {} times in {sent}", values.len()) };
        value
    };
    let by_method = |read, write| if method == "GET" { read } else { write };
    let messages = by_method(Access::ReadMessages, Access::WriteMessages);
    let agent = by_method(Access::ReadAgent, Access::WriteAgent);
    match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["v1", "health", ""] => None,
        ["v1", "agents", id, "messages", ..] => Some((id, messages)),
        ["v1", "agents", id, ..] => Some((id, agent)),
        ["v1", "conversations" | "runs", ""] => Some((values("agent_id"), messages)),
        ["v1", "conversations" | "runs", _, ..] => Some((owner.unwrap(), messages)),
        ["bots", "say", ""] => Some((values("bot"), messages)),
        ["bots", id, "say"] => Some((id, messages)),
        _ => panic!("no row sends this: {method} {sent}"),
    }
}

/// Decides; a breach of the rule panics. Whether it was allowed.
fn check(asked: &Asked) -> bool {
    let Ok(target) = Target::parse(&asked.raw) else { return false };
    let grants: Vec<_> = asked.grants.iter().map(|(id, access)| (*id, &access[..])).collect();
    let token = token(&grants);
    let mut request = request(&token, asked.method, &target);
    request.provenance.origin =
        asked.origin.map_or(OriginHeader::None, |origin| OriginHeader::One(origin.as_bytes()));
    request.owner = asked.owner.map(|agent| match agent {
        Some(agent) => Owner::Agent(AgentId::parse(agent).unwrap()),
        None => Owner::Absent,
    });
    request.body = RequestBody::Read(asked.body.clone());
    request.now = request.now.after(std::time::Duration::from_secs(asked.later));
    let allowed = match decide(&TABLES[asked.table], request) {
        Decision::Allow(allowed) => allowed,
        Decision::Deny(_) | Decision::NeedsOwner(_) => return false,
        Decision::NeedsBody(_) => panic!("the body was read"),
    };
    assert!(asked.later < 305, "the token is over");
    assert_ne!(asked.origin, Some("https://evil.example"));
    assert!(asked.origin.is_some() || asked.table == 1, "no origin");
    let sent = &allowed.path_and_query;
    let concerned = concerns(asked.method, sent, asked.owner.flatten());
    assert_eq!(allowed.agent.as_ref().map(AgentId::as_str), concerned.map(|(agent, _)| agent));
    if let Some((agent, access)) = concerned {
        let granted = asked.grants.iter().any(|(id, held)| *id == agent && held.contains(&access));
        assert!(granted, "{access} of {agent} is not granted: {sent}");
    }
    reads_back(&target, &allowed);
    true
}

/// What is sent is what was decided on: the same segments, and of the query all that wasn't dropped.
fn reads_back(target: &Target<'_>, allowed: &Allowed<'_>) {
    let again = Target::parse(&allowed.path_and_query).unwrap();
    assert_eq!(again.segments, target.segments);
    let kept = target.query.iter().filter(|(key, _)| !allowed.dropped_query.iter().any(|gone| gone == key));
    assert!(again.query.iter().eq(kept), "{} for {target}", allowed.path_and_query);
}

#[test]
fn nothing_is_allowed_without_a_grant_for_that_agent_and_access() {
    let allowed = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig { cases: 2_000, ..ProptestConfig::default() });
    let outcome = runner.run(&asked(), |asked| {
        allowed.set(allowed.get() + u32::from(check(&asked)));
        Ok(())
    });
    outcome.unwrap();
    // Else the rule was never put to the test.
    assert!(allowed.get() > 100, "only {} of 2,000 were allowed", allowed.get());
}

#[test]
fn each_row_takes_exactly_its_access() {
    for (table, row) in TABLES.iter().flat_map(|table| table.rows().iter().map(move |row| (table, row))) {
        let Needs::Access(needed) = row.needs else { continue };
        let filled = row.template.replace("{agent}", AGENT).replace("{conversation}", CONVERSATION);
        let filled = filled.replace("{run}", RUN).replace("{label}", "persona");
        let target = Target::parse(&filled).unwrap();
        for held in Access::ALL {
            let token = token(&[(AGENT, &[held])]);
            let mut request = request(&token, row.method.as_str(), &target);
            request.owner = Some(Owner::Agent(AgentId::parse(AGENT).unwrap()));
            request.body = RequestBody::OutOfReach;
            match decide(table, request) {
                Decision::Allow(allowed) => {
                    assert_eq!(held, needed, "{filled}");
                    assert_eq!(allowed.path_and_query, filled);
                    assert!(std::ptr::eq(allowed.route, row), "{filled} is {}", allowed.route.template);
                }
                Decision::Deny(denial) => {
                    assert_ne!(held, needed, "{filled}: {denial}");
                    assert_eq!(denial, Denial::AccessMissing { needed }, "{filled}");
                }
                other => panic!("{filled}: {other:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_request_panics(method in "[A-Za-z]{0,7}", raw in "/[ -~]{0,60}", site in "[a-z-]{0,12}") {
        let Ok(target) = Target::parse(&raw) else { return Ok(()) };
        let token = token(&[(AGENT, &Access::ALL)]);
        let mut request = request(&token, &method, &target);
        request.provenance.sec_fetch_site = Some(site.as_bytes());
        request.provenance.referer = Some(raw.as_bytes());
        request.provenance.origin = OriginHeader::None;
        let _ = decide(&TABLES[0], request);
    }
}
