//! API keys at the gateway: one with the right passes whole, but for what would betray the agent server's
//! own secret; a page never does.

use std::time::Duration;

use serde_json::json;

use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, Stage, UPSTREAM_TOKEN};
use crate::upstream::whole;
use crate::wire::Ask;

#[test]
fn a_key_with_the_right_passes_whole() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"secrets": [{"key": "k", "value": "v"}]}));
    let (_, key) = stage.api_key(&["--gateway"]);
    for credential in [STATIC_KEY, &key] {
        for (method, target) in [
            ("GET", "/v1/agents/?limit=1&tags=a&tags=b&include=agent.secrets"),
            ("POST", "/v1/agents/"),
            ("DELETE", "/v1/agents/agent-1"),
            ("PATCH", "/v1/agents/agent-1/tools/attach/tool-1"),
            ("PUT", "/latest/any/thing"),
            ("GET", "/"),
            ("OPTIONS", "/v1/agents/"),
        ] {
            let body = r#"{"override_system": "x",  "a":1, "a":2}"#;
            let ask = Ask::new(method, target).bearer(credential);
            let ask = if matches!(method, "POST" | "PATCH" | "PUT") {
                ask.body("application/json", body)
            } else {
                ask
            };
            let answer = stage.ask(&ask).expect(200);
            assert_eq!(answer.json(), json!({"secrets": [{"key": "k", "value": "v"}]}));
            let request = stage.upstream.take_one();
            assert_eq!(request.line(), format!("{method} {target} HTTP/1.1"));
            assert_eq!(request.header("authorization"), Some(format!("Bearer {UPSTREAM_TOKEN}")));
            assert!(!request.head.contains(credential), "the key goes on: {request:?}");
            if matches!(method, "POST" | "PATCH" | "PUT") {
                assert_eq!(request.body, body.as_bytes());
            }
        }
    }
}

#[test]
fn a_key_passes_headers_but_those_that_are_no_ones_business() {
    let stage = Stage::new();
    stage.upstream.answer_by(|_| {
        let headers =
            [("content-type", "text/plain"), ("x-anything", "kept"), ("connection", "x-hop"), ("x-hop", "1")];
        Some(whole(200, &headers, b"text"))
    });
    let ask = Ask::get("/v1/agents/")
        .bearer(STATIC_KEY)
        .header("x-custom", "kept")
        .header("user_id", "user-1")
        .header("accept-encoding", "gzip")
        .header("x-bare-password", "password guess")
        .header("X-BARE-PASSWORD", "password guess")
        .header("connection", "x-dropped")
        .header("x-dropped", "1")
        .header("te", "trailers")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic eA==");
    let answer = stage.ask(&ask).expect(200);
    assert_eq!(
        (answer.header("x-anything"), answer.header("content-type")),
        (Some("kept"), Some("text/plain"))
    );
    assert_eq!(answer.header("x-hop"), None, "{answer}");
    let request = stage.upstream.take_one();
    assert_eq!(request.header("x-custom").as_deref(), Some("kept"));
    assert_eq!(request.headers().iter().filter(|(name, _)| name == "authorization").count(), 1);
    for name in ["x-bare-password", "x-dropped", "te", "keep-alive", "proxy-authorization", "connection"] {
        assert_eq!(request.header(name), None, "{request:?}");
    }
    assert_eq!(request.header("host"), Some(stage.upstream.address().to_string()));
}

#[test]
fn a_body_is_passed_on_while_it_comes() {
    let stage = Stage::new();
    stage.upstream.leave_bodies();
    let mut wire = stage.connect();
    let head = "POST /v1/upload HTTP/1.1\r\nhost: h\r\nauthorization: Bearer a-static-key-for-tests\r\n";
    wire.write(format!("{head}content-length: 10\r\n\r\n").as_bytes());
    wire.write(b"first");
    let mut exchange = stage.upstream.next();
    assert_eq!(exchange.read(5), b"first");
    wire.write(b"after");
    assert_eq!(exchange.read(5), b"after");
    exchange.answer(200, &[], "done");
    assert_eq!(wire.answer("POST").expect(200).text(), "done");

    let mut wire = stage.connect();
    wire.write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
    wire.write(b"5\r\nfirst\r\n");
    let mut exchange = stage.upstream.next();
    assert_eq!(exchange.request.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(exchange.read(10), b"5\r\nfirst\r\n");
    wire.write(b"0\r\n\r\n");
    assert_eq!(exchange.read(5), b"0\r\n\r\n");
    exchange.answer(200, &[], "done");
    assert_eq!(wire.answer("POST").expect(200).text(), "done");
}

#[test]
fn an_answer_is_passed_back_while_it_comes() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::get("/v1/export").bearer(STATIC_KEY).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/octet-stream");
    let mut answer = wire.begin("GET");
    for piece in ["one", "two", "three"] {
        exchange.chunk(piece);
        assert_eq!(answer.piece().unwrap().unwrap(), piece.as_bytes());
    }
    exchange.end();
    assert_eq!(answer.piece().unwrap(), None);
}

#[test]
fn a_secret_key_has_no_place_in_a_page() {
    let stage = Stage::new();
    for origin in [ORIGIN, "https://evil.example.net", "null", ""] {
        let ask = Ask::get(&format!("/v1/agents/{AGENT}")).bearer(STATIC_KEY).header("origin", origin);
        stage.refused(&ask, 403, "forbidden", "key_with_origin");
    }
}

#[test]
fn a_key_without_the_right_is_no_credential_here() {
    let stage = Stage::new();
    let (_, key) = stage.api_key(&[]);
    stage.refused(&Ask::get("/v1/agents/").bearer(&key), 401, "invalid-token", "invalid_token");
    stage.refused(&Ask::get("/v1/agents/").by(&key), 401, "invalid-token", "invalid_token");
}

#[test]
fn a_revoked_key_no_longer_passes() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let (id, key) = stage.api_key(&["--gateway"]);
    let ask = Ask::get("/v1/agents/").bearer(&key);
    stage.ask(&ask).expect(200);
    stage.home.run(&["api-key", "revoke", &id]);
    crate::until("the key is refused", crate::PATIENCE, || stage.ask(&ask).status == 401);
    stage.upstream.forget();
    stage.ask(&ask).problem(401, "invalid-token", "invalid_token");
    stage.upstream.assert_untouched();
}

#[test]
fn a_redirect_is_neither_followed_nor_passed_on() {
    let stage = Stage::new();
    let target = format!("http://{}/elsewhere", stage.upstream.address());
    for status in [301, 302, 303, 307, 308] {
        let location = target.clone();
        stage.upstream.answer_by(move |_| Some(whole(status, &[("location", &location)], b"")));
        for ask in [
            Ask::get("/v1/agents").bearer(STATIC_KEY),
            Ask::get(&format!("/v1/agents/{AGENT}")).by(&stage.token()),
        ] {
            let answer = stage.ask(&ask);
            answer.upstream_fault(502, "upstream-failed");
            assert_eq!(answer.header("location"), None, "{answer}");
            assert_eq!(stage.upstream.requests().len(), 1, "it was followed");
            stage.upstream.forget();
        }
    }
}

#[test]
fn an_agent_server_without_a_secret_gets_no_credential_at_all() {
    let stage = Stage::with(&[("GATEWAY__UPSTREAM_TOKEN", "")]);
    stage.upstream.answer_json(&json!([]));
    for ask in [
        Ask::get("/v1/agents/").bearer(STATIC_KEY),
        Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&stage.token()),
    ] {
        stage.ask(&ask).expect(200);
        let request = stage.upstream.take_one();
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
}

#[test]
fn revoking_a_key_cuts_its_streams() {
    let stage = Stage::new();
    let (id, key) = stage.api_key(&["--gateway"]);
    let mut wire = stage.connect();
    wire.write(&Ask::get("/v1/events").bearer(&key).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin_events();
    exchange.chunk("data: not even JSON\n\n");
    let mut stream = wire.begin("GET");
    assert_eq!(stream.event(), "data: not even JSON");
    exchange.chunk("data: ha");
    stage.home.run(&["api-key", "revoke", &id]);
    let problem = stream.last_problem();
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("key_revoked"), &json!(401)), "{problem}");
    exchange.assert_abandoned_within(Duration::from_secs(1));
}

#[test]
fn without_an_agent_server_there_is_no_gateway() {
    let home = crate::home::Home::new();
    let server = home.serve();
    let mut wire = crate::wire::Wire::connect(server.address());
    for ask in [Ask::get("/v1/agents/").bearer(STATIC_KEY), Ask::get("/v1/agents/")] {
        let answer = wire.ask(&ask);
        assert_eq!(answer.status, 404, "{answer}");
    }
}
