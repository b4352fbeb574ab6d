//! Every kind of denial: its status, reason and members, that it can be found in the log, and that the agent
//! server was left alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::forge::Forge;
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, OTHER_AGENT, OTHER_ORIGIN, Stage, after};
use crate::until;
use crate::wire::Ask;

fn agent_path(rest: &str) -> String {
    format!("/v1/agents/{AGENT}{rest}")
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}]})
}

/// The challenge of RFC 6750, section 3.
#[track_caller]
fn challenge(answer: &Answer) -> &str {
    let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {answer}"));
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    challenge
}

#[test]
fn a_request_without_a_token_is_told_just_that() {
    let stage = Stage::new();
    let (answer, problem) = stage.refused(&Ask::get(&agent_path("")), 401, "invalid-token", "token_missing");
    assert!(!challenge(&answer).contains("error="), "who sent nothing made no error: {answer}");
    assert_eq!(problem.as_object().unwrap().len(), 6, "{problem}");
    // Other schemes are no token either.
    for value in ["Basic dXNlcjpwYXNz", "Digest x", "Bearer", "Bearer ", "bearer\u{9}", ""] {
        let answer = stage.ask(&Ask::get(&agent_path("")).header("authorization", value));
        assert_eq!(answer.status, 401, "{value:?}: {answer}");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn whatever_is_no_token_of_ours_is_refused_in_the_same_words() {
    let stage = Stage::new();
    let token = stage.token();
    let foreign = Stage::new().token();
    let mut texts = Vec::new();
    for credential in [
        "x",
        "a.b.c",
        "sk-hp-unknown",
        &foreign,
        &token[1..],
        &token[..token.len() - 1],
        &format!("{token}A"),
    ] {
        let ask = Ask::get(&agent_path("")).by(credential);
        let (answer, problem) = stage.refused(&ask, 401, "invalid-token", "invalid_token");
        assert!(challenge(&answer).contains(r#"error="invalid_token""#), "{answer}");
        assert!(!answer.text().contains(credential), "it repeats the credential: {answer}");
        texts.push(problem.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:#?}");
}

#[test]
fn who_has_no_token_learns_nothing_else() {
    let stage = Stage::new();
    for ask in [
        Ask::get("/v1/agents/%2e%2e/x"),
        Ask::get(&agent_path("/nowhere")),
        Ask::get(&format!("/v1/agents/{OTHER_AGENT}")),
        Ask::get("/v1/conversations"),
        Ask::get("/v1/conversations/default"),
        Ask::new("BREW", "/coffee"),
        Ask::new("PATCH", &agent_path("")).json(&json!({"tools": []})),
        Ask::post(&agent_path("/messages"), &json!([])),
        Ask::new("POST", &agent_path("/messages")).body("text/plain", "hello"),
        Ask::new("POST", &agent_path("/messages")).body("application/json", "{"),
    ] {
        for ask in [ask.clone().by("no.such.token"), ask.bearer("no.such.token")] {
            stage.refused(&ask, 401, "invalid-token", "invalid_token");
        }
    }
}

#[test]
fn an_expired_token_is_told_since_when() {
    let stage = Stage::new();
    let token = Forge::of(&stage).expiring_in(-65);
    let (answer, problem) =
        stage.refused(&Ask::get(&agent_path("")).by(&token), 401, "invalid-token", "token_expired");
    let seconds = problem["expired_seconds"].as_i64().unwrap();
    assert!((65..90).contains(&seconds), "{problem}");
    assert!(challenge(&answer).contains(r#"error="invalid_token""#), "{answer}");
}

#[test]
fn a_token_lasts_five_seconds_longer_than_it_says_and_no_more() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let forge = Forge::of(&stage);
    // One second of room on either side, for the time that passes here.
    stage.ask(&Ask::get(&agent_path("")).by(&forge.expiring_in(-3))).expect(200);
    stage.upstream.forget();
    let answer = stage.ask(&Ask::get(&agent_path("")).by(&forge.expiring_in(-5)));
    answer.problem(401, "invalid-token", "token_expired");
}

#[test]
fn a_token_that_is_known_already_expires_all_the_same() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let ask = Ask::get(&agent_path("")).by(&Forge::of(&stage).expiring_in(-3));
    stage.ask(&ask).expect(200);
    until("it is refused", Duration::from_secs(4), || stage.ask(&ask).status != 200);
    stage.ask(&ask).problem(401, "invalid-token", "token_expired");
}

#[test]
fn a_deleted_token_is_refused_from_the_moment_that_the_answer_is_here() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    for _ in 0..5 {
        let token = stage.token();
        stage.ask(&Ask::get(&agent_path("")).by(&token)).expect(200);
        stage.delete(&token);
        let answer = stage.ask(&Ask::get(&agent_path("")).by(&token));
        answer.problem(401, "invalid-token", "token_revoked");
        assert!(challenge(&answer).contains(r#"error="invalid_token""#), "{answer}");
        stage.assert_logged(answer.header("x-request-id").unwrap(), "token_revoked");
    }
    assert_eq!(stage.upstream.requests().len(), 5);
}

#[test]
fn a_request_from_nowhere_is_refused() {
    let stage = Stage::new();
    let token = stage.token();
    let ask = || Ask::get(&agent_path("")).bearer(&token);
    let (_, problem) = stage.refused(&ask(), 403, "forbidden", "origin_missing");
    assert_eq!(problem["expected_origin"], ORIGIN);
    // A page of this server's own origin is another's than the token's.
    let same = ask().header("sec-fetch-site", "same-origin");
    stage.refused(&same, 403, "forbidden", "origin_mismatch");
    stage.refused(&ask().header("referer", "https://app.example.com/"), 403, "forbidden", "origin_missing");
}

#[test]
fn a_page_of_the_same_origin_needs_no_origin_header() {
    let stage = Stage::with(&[("SERVER__PUBLIC_URL", ORIGIN)]);
    stage.upstream.answer_json(&json!({}));
    let token = stage.token();
    let ask = |site: &str| Ask::get(&agent_path("")).bearer(&token).header("sec-fetch-site", site);
    stage.ask(&ask("same-origin")).expect(200);
    stage.ask(&ask("same-origin").header("referer", "https://app.example.com/a?b")).expect(200);
    stage.upstream.forget();
    for ask in [
        ask("same-site"),
        ask("cross-site"),
        ask("none"),
        ask("same-origin").header("sec-fetch-site", "same-origin"),
        ask("same-origin").header("referer", "https://evil.example.net/"),
        ask("same-origin").header("referer", "https://app.example.com.evil.example.net/"),
    ] {
        let answer = stage.ask(&ask);
        assert_eq!(answer.status, 403, "{answer}");
        assert!(matches!(answer.json()["reason"].as_str(), Some("origin_missing" | "origin_mismatch")));
        stage.upstream.assert_untouched();
    }
}

#[test]
fn a_page_of_another_origin_is_told_which_one_the_token_is_for() {
    let stage = Stage::new();
    let token = stage.token();
    for origin in [
        OTHER_ORIGIN,
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://APP.example.com",
        "HTTPS://app.example.com",
        "http://app.example.com",
        "https://app.example.com.",
        "https://app.example.com.evil.example.net",
        "https://evil.example.net#https://app.example.com",
        "https://user@app.example.com",
        "https://app.example.com https://evil.example.net",
        "null",
        "",
        "*",
    ] {
        let ask = Ask::get(&agent_path("")).bearer(&token).header("origin", origin);
        let (_, problem) = stage.refused(&ask, 403, "forbidden", "origin_mismatch");
        assert_eq!(problem["expected_origin"], ORIGIN, "{origin}");
    }
}

#[test]
fn a_wrong_origin_is_refused_even_where_none_is_required() {
    let stage = Stage::with(&[("GATEWAY__REQUIRE_ORIGIN", "false")]);
    let ask = Ask::get(&agent_path("")).bearer(&stage.token()).header("origin", OTHER_ORIGIN);
    stage.refused(&ask, 403, "forbidden", "origin_mismatch");
}

#[test]
fn what_is_not_in_the_table_is_refused() {
    let stage = Stage::new();
    let token = stage.token();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/agents"),
        ("GET", "/v1/agents/"),
        ("POST", "/v1/agents"),
        ("DELETE", "/v1/agents/{a}"),
        ("PUT", "/v1/agents/{a}"),
        ("HEAD", "/v1/agents/{a}"),
        ("GET", "/v1/agents/{a}/export"),
        ("GET", "/latest/agents/{a}"),
        ("GET", "/V1/agents/{a}"),
        ("GET", "/v1/Agents/{a}"),
        ("GET", "/v1/agents/{a}/messages/message-1"),
        ("PATCH", "/v1/agents/{a}/messages/message-1"),
        ("PATCH", "/v1/agents/{a}/reset-messages"),
        ("POST", "/v1/agents/{a}/summarize"),
        ("POST", "/v1/agents/{a}/generate"),
        ("POST", "/v1/agents/{a}/messages/capture"),
        ("POST", "/v1/agents/{a}/messages/preview-raw-payload"),
        ("PATCH", "/v1/agents/{a}/tools/attach/tool-1"),
        ("POST", "/v1/agents/{a}/tools/t/run"),
        ("PATCH", "/v1/agents/{a}/core-memory/blocks/attach/block-1"),
        ("DELETE", "/v1/agents/{a}/archival-memory/passage-1"),
        ("GET", "/v1/messages/message-1"),
        ("POST", "/v1/messages/search"),
        ("GET", "/v1/tools/"),
        ("GET", "/v1/blocks/"),
        ("DELETE", "/v1/runs/run-44444444-4444-4444-8444-444444444444"),
        ("GET", "/v1/runs/active"),
        ("POST", "/v1/conversations/conv-33333333-3333-4333-8333-333333333333/messages/compact"),
        ("DELETE", "/v1/conversations/conv-33333333-3333-4333-8333-333333333333"),
        ("TRACE", "/v1/agents/{a}"),
        ("CONNECT", "/v1/agents/{a}"),
        ("BREW", "/v1/agents/{a}"),
        ("get", "/v1/agents/{a}"),
    ] {
        let answer = stage.ask(&Ask::new(method, &path.replace("{a}", AGENT)).by(&token));
        // A CONNECT is no request of ours at all, an answer to a HEAD has no body.
        match method {
            "HEAD" => assert_eq!(answer.status, 403, "{answer}"),
            "CONNECT" => assert!(matches!(answer.status, 400..=499 | 501), "{answer}"),
            _ if path == "/v1/runs/active" => {
                assert_eq!(answer.status, 403, "{answer}");
                assert!(matches!(
                    answer.json()["reason"].as_str(),
                    Some("route_not_allowed" | "id_not_valid")
                ));
            }
            _ => drop(answer.problem(403, "forbidden", "route_not_allowed")),
        }
        stage.upstream.assert_untouched();
    }
    stage.refused(&Ask::get(&agent_path("/export")).by(&token), 403, "forbidden", "route_not_allowed");
}

#[test]
fn ids_that_the_agent_server_would_read_otherwise_are_refused() {
    let stage = Stage::new();
    let token = stage.token();
    for path in [
        "/v1/agents/agent-1",
        "/v1/agents/AGENT-11111111-1111-4111-8111-111111111111",
        "/v1/agents/agent-11111111-1111-4111-8111-11111111111A",
        "/v1/agents/agent-11111111-1111-1111-8111-111111111111",
        "/v1/agents/agent-11111111-1111-4111-8111-111111111111x/messages",
        "/v1/agents/11111111-1111-4111-8111-111111111111",
        "/v1/conversations/default",
        "/v1/conversations/agent-11111111-1111-4111-8111-111111111111",
        "/v1/conversations/conv-1/messages",
        "/v1/runs/run-1",
        "/v1/runs/RUN-44444444-4444-4444-8444-444444444444/usage",
    ] {
        stage.refused(&Ask::get(path).by(&token), 403, "forbidden", "id_not_valid");
    }
}

#[test]
fn another_agent_is_refused_without_a_word_about_it() {
    let stage = Stage::new();
    let token = stage.token();
    for ask in [
        Ask::get(&format!("/v1/agents/{OTHER_AGENT}")),
        Ask::post(&format!("/v1/agents/{OTHER_AGENT}/messages"), &hello()),
        Ask::get(&format!("/v1/conversations?agent_id={OTHER_AGENT}")),
        Ask::get(&format!("/v1/runs?agent_id={OTHER_AGENT}")),
    ] {
        stage.refused(&ask.by(&token), 403, "forbidden", "agent_not_granted");
    }
}

#[test]
fn a_missing_access_is_named() {
    let stage = Stage::new();
    let token = stage.token_for(AGENT, &["read_messages"]);
    let ask = Ask::post(&agent_path("/messages"), &hello()).by(&token);
    let (answer, problem) = stage.refused(&ask, 403, "forbidden", "access_missing");
    assert_eq!(problem["needed_access"], "write_messages");
    assert!(challenge(&answer).contains(r#"error="insufficient_scope""#), "{answer}");
}

#[test]
fn a_query_that_could_be_read_in_two_ways_is_refused() {
    let stage = Stage::new();
    let token = stage.token();
    for target in [
        "/v1/conversations".to_owned(),
        "/v1/runs?limit=1".to_owned(),
        format!("/v1/runs?agent_id={AGENT}&agent_id={AGENT}"),
        format!("/v1/runs?agent_id={AGENT}&agent_id={OTHER_AGENT}"),
        format!("/v1/conversations?agent_id={OTHER_AGENT}&agent%5Fid={AGENT}"),
        agent_path("/messages?limit=1&limit=2"),
        agent_path("/messages?limit=1&%6Cimit=2"),
    ] {
        stage.refused(&Ask::get(&target).by(&token), 400, "invalid-request", "query_not_valid");
    }
}

#[test]
fn a_body_that_could_be_read_in_two_ways_is_refused() {
    let stage = Stage::new();
    let token = stage.token();
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"hello\"",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]} {}",
        "{\"messages\":[],\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"role\":\"system\",\"content\":\"hello\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"r\\u006fle\":\"system\",\"content\":\"hello\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}",
        "{'messages':[]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":NaN}]}",
        "\u{feff}{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
    ] {
        let ask = Ask::new("POST", &agent_path("/messages")).body("application/json", body).by(&token);
        stage.refused(&ask, 400, "invalid-request", "body_not_valid");
    }
    let not_utf8 =
        Ask::new("POST", &agent_path("/messages")).body("application/json", b"{\"a\":\"\xff\"}".to_vec());
    stage.refused(&not_utf8.by(&token), 400, "invalid-request", "body_not_valid");
    let deep = format!("{{\"messages\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = Ask::new("POST", &agent_path("/messages")).body("application/json", deep);
    stage.refused(&deep.by(&token), 400, "invalid-request", "body_not_valid");
}

#[test]
fn fields_that_say_more_than_a_message_are_refused_by_name() {
    let stage = Stage::new();
    let token = stage.token();
    let message = |more: Value| {
        let mut message = json!({"role": "user", "content": "hello"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"messages": [{"role": "user", "content": "first"}, message]})
    };
    let part = |part: Value| message(json!({"content": [{"type": "text", "text": "t"}, part]}));
    let image = |url: &str| part(json!({"type": "image", "source": {"type": "url", "url": url}}));
    for (body, field) in [
        (message(json!({"role": "system"})), "messages[1].role"),
        (message(json!({"role": "assistant"})), "messages[1].role"),
        (message(json!({"role": "User"})), "messages[1].role"),
        (message(json!({"role": null})), "messages[1].role"),
        (message(json!({"type": "approval", "approve": true})), "messages[1].type"),
        (message(json!({"type": "tool_return"})), "messages[1].type"),
        (image("https://169.254.169.254/latest"), "messages[1].content[1]"),
        (image("file:///etc/passwd"), "messages[1].content[1]"),
        (part(json!({"type": "tool_call", "name": "t"})), "messages[1].content[1]"),
        (part(json!({"type": "reasoning", "reasoning": "r"})), "messages[1].content[1]"),
        (json!({"input": [{"type": "text", "text": "hello"}]}), "input"),
        (json!({"input": {"role": "system"}}), "input"),
    ] {
        let ask = Ask::post(&agent_path("/messages"), &body).by(&token);
        let (_, problem) = stage.refused(&ask, 403, "forbidden", "field_not_allowed");
        let named = problem["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{named} for {field}: {problem}");
    }
    let nameless = json!({"messages": [{"approve": true, "approval_request_id": "m-1", "content": "hello"}]});
    let ask = Ask::post(&agent_path("/messages"), &nameless).by(&token);
    let (_, problem) = stage.refused(&ask, 403, "forbidden", "field_not_allowed");
    assert_eq!(problem["field"], "messages[0].role");
}

#[test]
fn fields_of_an_agent_that_decide_what_it_is_are_refused_by_name() {
    let stage = Stage::new();
    let token = stage.token();
    for (path, field) in [
        ("", "system"),
        ("", "tool_ids"),
        ("", "metadata"),
        ("", "tags"),
        ("", "model"),
        ("", "llm_config"),
        ("", "secrets"),
        ("", "Name"),
        ("/core-memory/blocks/human", "read_only"),
        ("/core-memory/blocks/human", "label"),
    ] {
        let ask =
            Ask::new("PATCH", &agent_path(path)).json(&json!({"description": "d", field: "x"})).by(&token);
        let (_, problem) = stage.refused(&ask, 403, "forbidden", "field_not_allowed");
        assert_eq!(problem["field"], field);
    }
}

#[test]
fn a_body_of_another_kind_is_refused() {
    let stage = Stage::new();
    let token = stage.token();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let ask = Ask::new("POST", &agent_path("/messages")).body(kind, hello().to_string()).by(&token);
        let answer = stage.ask(&ask);
        answer.problem_of_kind(415, "unsupported-media-type");
        answer.assert_readable_by(ORIGIN);
        stage.upstream.assert_untouched();
    }
}

#[test]
fn an_upgrade_is_not_implemented() {
    let stage = Stage::new();
    let ask = Ask::get(&agent_path("/messages"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for ask in [ask.clone().by(&stage.token()), ask.bearer(STATIC_KEY)] {
        let answer = stage.ask(&ask);
        answer.problem_of_kind(501, "not-implemented");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn a_denial_holds_no_secret() {
    let stage = Stage::new();
    let token = stage.token();
    let (_, key) = stage.api_key(&[]);
    for ask in [
        Ask::get(&format!("/v1/agents/{token}")).by(&token),
        Ask::get(&format!("/v1/runs?agent_id={token}")).by(&token),
        Ask::get(&agent_path("")).bearer(&token).header("origin", &token),
        Ask::post(&agent_path("/messages"), &json!({"messages": [{"role": token, "content": "x"}]}))
            .by(&token),
        Ask::new("PATCH", &agent_path("")).json(&json!({(token.clone()): 1})).by(&token),
        Ask::get(&format!("/v1/agents/{key}")).by(&token),
    ] {
        let answer = stage.ask(&ask);
        assert!(matches!(answer.status, 400..500), "{answer}");
        let echoed = answer.text().contains(&token) || answer.text().contains(&key);
        assert!(!echoed, "{answer}");
    }
    let signature = token.rsplit('.').next().unwrap();
    for secret in [signature, &key, STATIC_KEY, crate::stage::UPSTREAM_TOKEN] {
        assert!(!stage.server.text().contains(secret), "the log holds a secret");
    }
    stage.upstream.assert_untouched();
}

#[test]
fn a_token_for_a_moment_is_good_at_once() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let policy = json!([{"type": "agent", "id": AGENT, "access": ["read_agent"]}]);
    let request = json!({"hostname": ORIGIN, "policy": policy, "expires_at": after(2)});
    let token = stage.issue(STATIC_KEY, &request);
    stage.ask(&Ask::get(&agent_path("")).by(&token)).expect(200);
}
