//! One deviation a test, from a request that is allowed.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::access::testing::{
    AGENT, CONVERSATION, ORIGIN, OTHER_AGENT, RUN, issued, request, settings, token,
};
use crate::access::{OriginHeader, Preset, RouteChange, Settings};
use crate::token::Access;

fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&settings()).unwrap());
    &TABLE
}

fn all() -> Verified {
    token(&[(AGENT, &Access::ALL)])
}

/// Decides on a target of the one who holds everything for `AGENT`, the request changed first.
fn decide_changed<'t>(
    table: &'t Table,
    token: &Verified,
    (method, raw): (&str, &str),
    change: impl FnOnce(&mut Request<'_>),
) -> Decision<'t> {
    let target = Target::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
    let mut request = request(token, method, &target);
    change(&mut request);
    decide(table, request)
}

fn denial(decision: Decision<'_>) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("it is not denied: {other:?}"),
    }
}

fn allowed(decision: Decision<'_>) -> Allowed<'_> {
    match decision {
        Decision::Allow(allowed) => allowed,
        other => panic!("it is not allowed: {other:?}"),
    }
}

fn denied(token: &Verified, method: &str, raw: &str) -> Denial {
    denial(decide_changed(table(), token, (method, raw), |_| {}))
}

/// The upstream target of what is allowed.
fn passed(method: &str, raw: &str, owner: Option<Owner>) -> String {
    let decision = decide_changed(table(), &all(), (method, raw), |request| {
        request.owner = owner;
        request.body = RequestBody::OutOfReach;
    });
    allowed(decision).path_and_query
}

fn owned_by(agent: &str) -> Option<Owner> {
    Some(Owner::Agent(AgentId::parse(agent).unwrap()))
}

fn messages() -> String {
    format!("/v1/agents/{AGENT}/messages")
}

#[test]
fn a_granted_request_is_allowed() {
    let allowed = allowed(decide_changed(table(), &all(), ("GET", &messages()), |_| {}));
    assert_eq!(allowed.path_and_query, messages());
    assert_eq!(allowed.agent.unwrap().as_str(), AGENT);
    assert_eq!(allowed.route.template, "/v1/agents/{agent}/messages");
    assert_eq!((allowed.body, allowed.dropped_query), (UpstreamBody::Nothing, vec![]));
}

#[test]
fn an_expired_token_is_denied_with_the_seconds() {
    let token = all();
    let at = |seconds: u64| {
        let now = issued().after(Duration::from_secs(seconds));
        decide_changed(table(), &token, ("GET", &messages()), |request| request.now = now)
    };
    allowed(at(304));
    assert_eq!(denial(at(305)), Denial::TokenExpired { seconds: 5 });
}

#[test]
fn another_origin_is_denied_before_anything_is_said_of_the_path() {
    let decision = decide_changed(table(), &all(), ("GET", "/v1/nothing"), |request| {
        request.provenance.origin = OriginHeader::One(b"https://evil.example");
    });
    assert!(matches!(denial(decision), Denial::OriginMismatch { expected } if expected.as_str() == ORIGIN));
}

/// From a request that is wrong in every way, one mended after the other.
#[test]
fn denials_come_in_this_order() {
    let body = |message: serde_json::Value| RequestBody::Read(Some(json!({"messages": [message]})));
    let sends = |id: &str, query: &str| format!("/v1/agents/{id}/messages{query}");
    let reads = |id: &str, query: &str| ("GET", sends(id, query));
    let token = token(&[(AGENT, &[Access::ReadMessages]), (OTHER_AGENT, &[Access::WriteAgent])]);
    let stranger = AGENT.replace("1b4e", "9b4e");
    let evil = OriginHeader::One(b"https://evil.example");
    let ours = OriginHeader::One(ORIGIN.as_bytes());
    let twice = "?limit=1&limit=2";
    for (seconds, origin, (method, raw), code) in [
        (305, evil, ("PUT", "/v1/nothing".to_owned()), "token_expired"),
        (0, evil, ("PUT", "/v1/nothing".to_owned()), "origin_mismatch"),
        (0, ours, ("PUT", sends("agent-x", twice)), "route_not_allowed"),
        (0, ours, reads("agent-x", twice), "id_not_valid"),
        (0, ours, reads(&stranger, twice), "agent_not_granted"),
        (0, ours, reads(OTHER_AGENT, twice), "access_missing"),
        (0, ours, reads(AGENT, twice), "query_not_valid"),
    ] {
        let decision = decide_changed(table(), &token, (method, &raw), |request| {
            request.now = issued().after(Duration::from_secs(seconds));
            request.provenance.origin = origin;
            request.body = body(json!({"role": "system", "content": "x"}));
        });
        assert_eq!(denial(decision).code(), code, "{method} {raw}");
    }
    let raw = format!("/v1/conversations/{CONVERSATION}/messages");
    let of = |owner: &str, body: RequestBody| {
        let decision = decide_changed(table(), &all(), ("POST", &raw), |request| {
            request.owner = owned_by(owner);
            request.body = body;
        });
        denial(decision)
    };
    // Of a body nothing is said to whom it doesn't concern.
    let odd = body(json!({"role": "system", "content": "x"}));
    assert_eq!(of(OTHER_AGENT, odd.clone()), Denial::NotGranted);
    assert!(matches!(of(AGENT, odd), Denial::FieldNotAllowed { field, .. } if field == "messages[0].role"));
}

#[test]
fn what_the_table_lacks_is_denied() {
    for (method, raw) in [
        ("DELETE", format!("/v1/agents/{AGENT}")),
        ("PUT", messages()),
        ("HEAD", messages()),
        ("get", messages()),
        ("CONNECT", messages()),
        ("GET", "/".to_owned()),
        ("GET", "/v1/agents".to_owned()),
        ("POST", "/v1/agents/".to_owned()),
        ("GET", format!("/v1/agents/{AGENT}/export")),
        ("PATCH", format!("/v1/agents/{AGENT}/reset-messages")),
        ("POST", format!("/v1/agents/{AGENT}/messages/preview-raw-payload")),
        ("POST", format!("/v1/agents/{AGENT}/generate")),
        ("DELETE", format!("/v1/agents/{AGENT}/archival-memory/passage-1")),
        ("GET", "/v1/messages/message-1".to_owned()),
        ("GET", "/v1/tools/".to_owned()),
        ("POST", "/v1/client-side-access-tokens".to_owned()),
        ("GET", "/v1/client-side-access-tokens".to_owned()),
    ] {
        assert_eq!(denied(&all(), method, &raw), Denial::RouteNotAllowed, "{method} {raw}");
    }
}

#[test]
fn an_agent_without_a_grant_is_denied() {
    let other = format!("/v1/agents/{OTHER_AGENT}/messages");
    assert_eq!(denied(&all(), "GET", &other), Denial::AgentNotGranted);
}

#[test]
fn access_that_no_grant_for_the_agent_holds_is_denied_by_name() {
    let token = token(&[(AGENT, &[Access::ReadMessages]), (OTHER_AGENT, &Access::ALL)]);
    let needed = Access::WriteMessages;
    assert_eq!(denied(&token, "POST", &messages()), Denial::AccessMissing { needed });
}

#[test]
fn any_of_several_grants_for_an_agent_may_allow() {
    let token = token(&[(AGENT, &[Access::ReadAgent]), (AGENT, &[Access::ReadMessages])]);
    allowed(decide_changed(table(), &token, ("GET", &messages()), |_| {}));
    allowed(decide_changed(table(), &token, ("GET", &format!("/v1/agents/{AGENT}")), |_| {}));
}

#[test]
fn a_row_for_any_token_needs_no_grant() {
    let token = token(&[(OTHER_AGENT, &[Access::ReadAgent])]);
    let allowed = allowed(decide_changed(table(), &token, ("GET", "/v1/health"), |_| {}));
    assert_eq!((allowed.path_and_query.as_str(), allowed.agent), ("/v1/health/", None));
}

#[test]
fn the_slash_is_as_the_agent_server_wants_it() {
    assert_eq!(passed("GET", &format!("{}/", messages()), None), messages());
    let wanted = format!("/v1/runs/?agent_id={AGENT}");
    for raw in [format!("/v1/runs?agent_id={AGENT}"), wanted.clone()] {
        assert_eq!(passed("GET", &raw, None), wanted);
    }
    let run = format!("/v1/runs/{RUN}");
    assert_eq!(passed("GET", &format!("{run}/"), owned_by(AGENT)), run);
}

#[test]
fn keys_that_the_row_does_not_name_are_dropped_and_told() {
    let raw = format!("/v1/agents/{AGENT}?include=agent.secrets&include_relationships=tools&x=1");
    let allowed = allowed(decide_changed(table(), &all(), ("GET", &raw), |_| {}));
    assert_eq!(allowed.path_and_query, format!("/v1/agents/{AGENT}"));
    assert_eq!(allowed.dropped_query, ["include", "include_relationships", "x"]);
}

#[test]
fn a_query_is_written_anew() {
    let raw = format!("{}?limit=10&%6frder=a%26b+c&include_err=true&before=%C3%A9", messages());
    assert_eq!(passed("GET", &raw, None), format!("{}?limit=10&order=a%26b%20c&before=%C3%A9", messages()));
}

#[test]
fn a_key_stands_once_unless_it_is_a_list() {
    let twice = denied(&all(), "GET", &format!("{}?limit=1&before=x&limit=2", messages()));
    assert!(matches!(twice, Denial::QueryNotValid { key, .. } if key == "limit"));
    let hidden = denied(&all(), "GET", &format!("{}?limit=1&%6Cimit=2", messages()));
    assert!(matches!(hidden, Denial::QueryNotValid { key, .. } if key == "limit"));
    let list = format!("/v1/agents/{AGENT}/archival-memory/search?query=x&tags=a&tags=b");
    assert_eq!(passed("GET", &list, None), list);
    // What is dropped anyway may stand as often as it likes.
    assert_eq!(passed("GET", &format!("{}?x=1&x=2", messages()), None), messages());
}

mod agents_in_the_query {
    use super::*;

    #[test]
    fn one_is_checked_like_one_in_the_path() {
        let raw = |id: &str| format!("/v1/conversations/?agent_id={id}");
        assert_eq!(passed("GET", &raw(AGENT), None), raw(AGENT));
        assert_eq!(denied(&all(), "GET", &raw(OTHER_AGENT)), Denial::AgentNotGranted);
        let token = token(&[(AGENT, &[Access::ReadMessages])]);
        let needed = Access::WriteMessages;
        assert_eq!(denied(&token, "POST", &raw(AGENT)), Denial::AccessMissing { needed });
    }

    #[test]
    fn none_and_two_are_denied() {
        for raw in [
            "/v1/runs".to_owned(),
            "/v1/runs?limit=1".to_owned(),
            format!("/v1/runs?agent_id={AGENT}&agent_id={OTHER_AGENT}"),
            format!("/v1/runs?agent_id={AGENT}&agent_id={AGENT}"),
            format!("/v1/runs?agent_id={AGENT}&%61gent_id={OTHER_AGENT}"),
            format!("/v1/runs?Agent_id={AGENT}"),
            format!("/v1/runs?agent_ids={AGENT}"),
        ] {
            let denial = denied(&all(), "GET", &raw);
            assert!(matches!(denial, Denial::QueryNotValid { key, .. } if key == "agent_id"), "{raw}");
        }
    }

    #[test]
    fn other_keys_that_name_agents_are_dropped() {
        let raw = format!("/v1/runs?agent_id={AGENT}&agent_ids={OTHER_AGENT}&agent_id[]={OTHER_AGENT}");
        assert_eq!(passed("GET", &raw, None), format!("/v1/runs/?agent_id={AGENT}"));
    }
}

mod owners {
    use super::*;

    fn with_owner(token: &Verified, method: &str, raw: &str, owner: Option<Owner>) -> Result<String, Denial> {
        match decide_changed(table(), token, (method, raw), |request| request.owner = owner) {
            Decision::Allow(allowed) => Ok(allowed.path_and_query),
            Decision::Deny(denial) => Err(denial),
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn an_unknown_owner_is_asked_for() {
        let raw = format!("/v1/conversations/{CONVERSATION}/messages");
        let decision = decide_changed(table(), &all(), ("GET", &raw), |_| {});
        assert!(matches!(decision, Decision::NeedsOwner(Owned::Conversation(id)) if id == CONVERSATION));
        let decision = decide_changed(table(), &all(), ("GET", &format!("/v1/runs/{RUN}/usage")), |_| {});
        assert!(matches!(decision, Decision::NeedsOwner(Owned::Run(id)) if id == RUN));
    }

    #[test]
    fn nobody_is_asked_for_a_token_that_could_not_be_allowed() {
        let token = token(&[(AGENT, &[Access::WriteMessages, Access::ReadAgent])]);
        let needed = Access::ReadMessages;
        let raw = format!("/v1/conversations/{CONVERSATION}");
        assert_eq!(denied(&token, "GET", &raw), Denial::AccessMissing { needed });
    }

    #[test]
    fn the_agent_that_owns_it_decides() {
        let raw = format!("/v1/runs/{RUN}");
        assert_eq!(with_owner(&all(), "GET", &raw, owned_by(AGENT)), Ok(raw.clone()));
    }

    #[test]
    fn absent_foreign_and_granted_otherwise_are_told_apart_by_nothing() {
        let token = token(&[(AGENT, &[Access::ReadMessages]), (OTHER_AGENT, &[Access::WriteMessages])]);
        for raw in [format!("/v1/runs/{RUN}"), format!("/v1/conversations/{CONVERSATION}/messages")] {
            for owner in [Some(Owner::Absent), owned_by("agent-x"), owned_by(OTHER_AGENT)] {
                assert_eq!(with_owner(&token, "GET", &raw, owner), Err(Denial::NotGranted), "{raw}");
            }
        }
    }

    #[test]
    fn aliases_are_refused() {
        let unlike = RUN.replace("run-", "job-");
        for (raw, kind) in [
            ("/v1/conversations/default".to_owned(), "conv-"),
            (format!("/v1/conversations/{AGENT}/messages"), "conv-"),
            (format!("/v1/conversations/{RUN}"), "conv-"),
            (format!("/v1/conversations/{}", CONVERSATION.to_uppercase()), "conv-"),
            (format!("/v1/runs/{CONVERSATION}"), "run-"),
            (format!("/v1/runs/{unlike}"), "run-"),
            ("/v1/runs/active".to_owned(), "run-"),
        ] {
            let denial = denied(&all(), "GET", &raw);
            assert!(matches!(&denial, Denial::IdNotValid(rule) if rule.contains(kind)), "{raw}: {denial}");
        }
    }
}

mod bodies {
    use super::*;

    fn with_body(method: &str, raw: &str, body: RequestBody) -> Result<UpstreamBody, String> {
        match decide_changed(table(), &all(), (method, raw), |request| request.body = body) {
            Decision::Allow(allowed) => Ok(allowed.body),
            Decision::Deny(denial) => Err(denial.code().to_owned()),
            Decision::NeedsBody(_) => Err("needs the body".to_owned()),
            other @ Decision::NeedsOwner(_) => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn one_is_asked_for_where_the_row_reads_it() {
        assert_eq!(with_body("POST", &messages(), RequestBody::Unread), Err("needs the body".to_owned()));
        assert_eq!(with_body("POST", &messages(), RequestBody::Read(None)), Err("body_not_valid".to_owned()));
    }

    #[test]
    fn one_that_nobody_here_sees_passes_as_it_is() {
        assert_eq!(with_body("POST", &messages(), RequestBody::OutOfReach), Ok(UpstreamBody::AsSent));
    }

    #[test]
    fn none_is_passed_where_none_belongs() {
        let cancel = format!("{}/cancel", messages());
        let body = RequestBody::Read(Some(json!({"run_ids": [RUN]})));
        for (method, raw) in [("POST", &cancel), ("GET", &messages())] {
            for body in [RequestBody::Unread, RequestBody::OutOfReach, body.clone()] {
                assert_eq!(with_body(method, raw, body), Ok(UpstreamBody::Nothing), "{method} {raw}");
            }
        }
    }
}

/// Ways to say one agent and mean another, or one route and mean another, each named after what
/// it hopes for.
mod path_confusion {
    use super::*;

    fn is_refused(raw: &str) {
        for method in Method::ALL {
            let Ok(target) = Target::parse(raw) else { continue };
            let decision = decide(table(), request(&all(), method.as_str(), &target));
            assert!(matches!(decision, Decision::Deny(_)), "{method:?} {raw}: {decision:?}");
        }
    }

    #[test]
    fn encoded_slash_reaches_a_route_below() {
        assert!(Target::parse(&format!("/v1/agents/{AGENT}%2Fexport")).is_err());
        assert!(Target::parse(&format!("/v1/agents/{AGENT}%2fmessages")).is_err());
    }

    #[test]
    fn double_encoding_is_undone_upstream() {
        assert!(Target::parse(&format!("/v1/agents/{AGENT}%252Fexport")).is_err());
        assert!(Target::parse(&format!("/v1/agents/{AGENT}/messages/%252e%252e")).is_err());
    }

    #[test]
    fn dot_segments_walk_to_another_agent() {
        for between in ["..", "%2e%2e", ".%2e", "%2E."] {
            let raw = format!("/v1/agents/{AGENT}/{between}/{OTHER_AGENT}/messages");
            assert!(Target::parse(&raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn overlong_utf_8_is_a_slash_or_a_dot_to_somebody() {
        for between in ["%c0%af", "%c0%ae%c0%ae/", "%e0%80%af", "%c1%9c"] {
            assert!(Target::parse(&format!("/v1/agents/{AGENT}{between}export")).is_err(), "{between}");
        }
    }

    #[test]
    fn case_is_folded_upstream() {
        is_refused(&format!("/V1/agents/{AGENT}/messages"));
        is_refused(&format!("/v1/Agents/{AGENT}/messages"));
        is_refused(&format!("/v1/agents/{AGENT}/MESSAGES"));
    }

    #[test]
    fn an_upper_case_id_is_another_agent_or_the_same() {
        is_refused(&format!("/v1/agents/{}/messages", AGENT.to_uppercase()));
        let upper = format!("agent-{}", AGENT["agent-".len()..].to_uppercase());
        is_refused(&format!("/v1/agents/{upper}/messages"));
        is_refused(&format!("/v1/runs?agent_id={upper}"));
    }

    #[test]
    fn a_dot_at_the_end_is_cut_upstream() {
        is_refused(&format!("/v1/agents/{AGENT}/messages."));
        is_refused(&format!("/v1/agents/{AGENT}./messages"));
    }

    #[test]
    fn a_matrix_parameter_is_cut_upstream() {
        assert!(Target::parse(&format!("/v1/agents/{AGENT};{OTHER_AGENT}/messages")).is_err());
        assert!(Target::parse(&format!("/v1/agents/{AGENT}%3Bx/messages")).is_err());
    }

    #[test]
    fn the_second_agent_id_wins_upstream() {
        is_refused(&format!("/v1/runs?agent_id={AGENT}&agent_id={OTHER_AGENT}"));
        is_refused(&format!("/v1/conversations/?agent_id={AGENT}&agent%5Fid={OTHER_AGENT}"));
    }

    #[test]
    fn agent_ids_names_more_agents() {
        let raw = format!("/v1/runs?agent_id={AGENT}&agent_ids={OTHER_AGENT}");
        assert_eq!(passed("GET", &raw, None), format!("/v1/runs/?agent_id={AGENT}"));
    }

    #[test]
    fn an_agent_id_beside_one_in_the_path_is_dropped() {
        let raw = format!("{}?agent_id={OTHER_AGENT}", messages());
        assert_eq!(passed("GET", &raw, None), messages());
        let raw = format!("/v1/conversations/{CONVERSATION}/messages?agent_id={OTHER_AGENT}");
        let passed = passed("GET", &raw, owned_by(AGENT));
        assert_eq!(passed, format!("/v1/conversations/{CONVERSATION}/messages"));
    }

    #[test]
    fn the_alias_default_selects_the_agent_elsewhere() {
        is_refused("/v1/conversations/default/messages");
        is_refused(&format!("/v1/conversations/default?agent_id={OTHER_AGENT}"));
        is_refused(&format!("/v1/conversations/{AGENT}"));
    }

    #[test]
    fn latest_mirrors_everything() {
        is_refused(&format!("/latest/agents/{AGENT}/messages"));
        is_refused(&format!("/latest/v1/agents/{AGENT}/messages"));
        is_refused(&format!("/v2/agents/{AGENT}/messages"));
        is_refused(&format!("/agents/{AGENT}/messages"));
        is_refused(&format!("/v1/v1/agents/{AGENT}/messages"));
    }

    #[test]
    fn an_id_of_another_form_is_refused_even_if_it_is_granted() {
        let odd = ["agent-1", "default", "AGENT-X", "agent-1b4e28ba-2fa1-1d2b-883f-b9a761bde3fb"];
        for id in odd {
            let token = token(&[(id, &Access::ALL)]);
            let denial = denied(&token, "GET", &format!("/v1/agents/{id}/messages"));
            assert!(matches!(denial, Denial::IdNotValid(_)), "{id}: {denial}");
        }
    }
}

#[test]
fn without_the_preset_ids_are_whatever_the_agent_server_calls_its_agents() {
    let change = RouteChange {
        method: Method::Post,
        path: "/bots/{agent}/say".to_owned(),
        access: Some("write_messages".to_owned()),
        query: vec!["lang".to_owned()],
        remove: false,
    };
    let table = Table::new(&Settings { preset: Preset::None, changes: vec![change], ..settings() }).unwrap();
    let token = token(&[("Bot_7", &[Access::WriteMessages])]);
    let decision = decide_changed(&table, &token, ("POST", "/bots/Bot_7/say?lang=de&x=1"), |_| {});
    let allowed = allowed(decision);
    assert_eq!(
        (allowed.path_and_query.as_str(), allowed.body),
        ("/bots/Bot_7/say?lang=de", UpstreamBody::AsSent)
    );
    let decision = decide_changed(&table, &token, ("POST", "/bots/bot_7/say"), |_| {});
    assert_eq!(denial(decision), Denial::AgentNotGranted);
    let long = format!("/bots/{}/say", "x".repeat(257));
    let decision = decide_changed(&table, &token, ("POST", &long), |_| {});
    assert!(matches!(denial(decision), Denial::IdNotValid(_)));
}
