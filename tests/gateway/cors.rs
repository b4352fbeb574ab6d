//! What browsers are told: preflights are answered here, errors can be read by the page that caused them,
//! and answers of the agent server by the token's origin alone.

use serde_json::json;

use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, OTHER_ORIGIN, Stage, TOKENS};
use crate::wire::Ask;

fn preflight(target: &str, origin: &str) -> Ask {
    Ask::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type, x-stainless-lang")
}

#[test]
fn a_preflight_is_answered_here_with_what_it_asks_for() {
    let stage = Stage::new();
    for path in [format!("/v1/agents/{AGENT}/messages"), "/v1/nowhere".to_owned(), "/".to_owned()] {
        let answer = stage.ask(&preflight(&path, ORIGIN));
        assert!(matches!(answer.status, 200 | 204), "{answer}");
        assert!(answer.body.is_empty(), "{answer}");
        answer.assert_readable_by(ORIGIN);
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.split(',').any(|method| method.trim() == "POST"), "{answer}");
        let allowed = answer.header("access-control-allow-headers").unwrap().to_lowercase();
        let names: Vec<_> = allowed.split(',').map(str::trim).collect();
        assert_eq!(names, ["authorization", "content-type", "x-stainless-lang"]);
        assert_eq!(answer.header("access-control-max-age"), Some("7200"));
        assert!(answer.header("x-request-id").is_some(), "{answer}");
    }
    stage.upstream.assert_untouched();
}

#[test]
fn a_preflight_is_kept_apart_by_what_it_asks_for() {
    let stage = Stage::new();
    let answer = stage.ask(&preflight(&format!("/v1/agents/{AGENT}"), ORIGIN));
    let vary = answer.all("vary").join(",").to_lowercase();
    for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
        assert!(vary.split(',').any(|found| found.trim() == name), "no {name} in `Vary`: {answer}");
    }
}

#[test]
fn an_opaque_origin_is_never_let_in() {
    let stage = Stage::new();
    let answer = stage.ask(&preflight(&format!("/v1/agents/{AGENT}"), "null"));
    assert_eq!(answer.header("access-control-allow-origin"), None, "{answer}");
    let ask = Ask::get(&format!("/v1/agents/{AGENT}")).bearer(&stage.token()).header("origin", "null");
    let answer = stage.ask(&ask);
    answer.problem(403, "forbidden", "origin_mismatch");
    assert_eq!(answer.header("access-control-allow-origin"), None, "{answer}");
    stage.upstream.assert_untouched();
}

#[test]
fn options_that_is_no_preflight_needs_a_credential() {
    let stage = Stage::new();
    let path = format!("/v1/agents/{AGENT}");
    stage.ask(&Ask::new("OPTIONS", &path)).problem(401, "invalid-token", "token_missing");
    let half = Ask::new("OPTIONS", &path).header("access-control-request-method", "GET");
    stage.ask(&half).problem(401, "invalid-token", "token_missing");
    stage.ask(&Ask::new("OPTIONS", &path).by(&stage.token())).problem(403, "forbidden", "route_not_allowed");
    stage.upstream.assert_untouched();
}

#[test]
fn an_error_made_here_can_be_read_by_the_page_that_caused_it() {
    let stage = Stage::new();
    let path = format!("/v1/agents/{AGENT}");
    for ask in [
        Ask::get(&path).header("origin", OTHER_ORIGIN),
        Ask::get(&path).bearer("no-token").header("origin", OTHER_ORIGIN),
        Ask::get(&path).bearer(&stage.token()).header("origin", OTHER_ORIGIN),
        Ask::get(&path).bearer(STATIC_KEY).header("origin", OTHER_ORIGIN),
        Ask::get("/v1/agents/%2e%2e/x").bearer(&stage.token()).header("origin", OTHER_ORIGIN),
    ] {
        let answer = stage.ask(&ask);
        assert!(matches!(answer.status, 400..500), "{answer}");
        answer.assert_readable_by(OTHER_ORIGIN);
        let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
        assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{answer}");
    }
    stage.upstream.assert_untouched();
}

#[test]
fn an_error_without_an_origin_says_nothing_to_browsers() {
    let stage = Stage::new();
    let answer = stage.ask(&Ask::get(&format!("/v1/agents/{AGENT}")));
    answer.problem(401, "invalid-token", "token_missing");
    assert_eq!(answer.header("access-control-allow-origin"), None, "{answer}");
}

#[test]
fn bytes_of_the_agent_server_can_be_read_by_no_other_origin() {
    let stage = Stage::with(&[("GATEWAY__REQUIRE_ORIGIN", "false")]);
    stage.upstream.answer_json(&json!({"id": AGENT}));
    let answer = stage.ask(&Ask::get(&format!("/v1/agents/{AGENT}")).bearer(&stage.token())).expect(200);
    let readable_by = answer.header("access-control-allow-origin");
    assert!(readable_by.is_none_or(|origin| origin == ORIGIN), "{answer}");
}

#[test]
fn the_agent_servers_own_errors_can_be_read_by_the_page() {
    let stage = Stage::new();
    stage.upstream.answer_by(|_| Some(crate::upstream::json(422, &json!({"detail": "no such model"}))));
    let answer = stage.ask(&Ask::get(&format!("/v1/agents/{AGENT}")).by(&stage.token())).expect(422);
    answer.assert_readable_by(ORIGIN);
    assert_eq!(answer.json()["detail"], "no such model");
}

#[test]
fn an_api_keys_answers_are_for_no_page() {
    let stage = Stage::new();
    stage.upstream.answer_by(|_| {
        let headers = [("access-control-allow-origin", "*"), ("content-type", "application/json")];
        Some(crate::upstream::whole(200, &headers, b"[]"))
    });
    stage.ask(&Ask::get("/v1/agents/").bearer(STATIC_KEY)).expect(200).assert_not_readable();
}

#[test]
fn the_token_endpoints_are_for_no_page() {
    let stage = Stage::new();
    let token = stage.token();
    for path in [TOKENS, &format!("{TOKENS}/{token}"), "/oauth/introspect", "/oauth/revoke"] {
        stage.ask(&preflight(path, ORIGIN)).assert_not_readable();
        for credential in [STATIC_KEY, &token] {
            let ask = Ask::get(path).bearer(credential).header("origin", ORIGIN);
            stage.ask(&ask).assert_not_readable();
        }
    }
    stage.upstream.assert_untouched();
}

#[test]
fn public_documents_are_for_every_page() {
    let stage = Stage::new();
    for path in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        let answer = stage.ask(&Ask::get(path).header("origin", OTHER_ORIGIN)).expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer}");
    }
}
