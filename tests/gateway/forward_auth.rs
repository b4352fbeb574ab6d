//! Forward-auth: what reverse proxies ask before they let a request through. Only trusted peers may ask, one
//! family of headers is read, and what only the gateway can do safely is refused.

use serde_json::json;

use crate::answer::Answer;
use crate::forge::Forge;
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, OTHER_AGENT, OTHER_ORIGIN, Stage};
use crate::wire::Ask;

const TRUSTED: (&str, &str) = ("SERVER__TRUSTED_PROXIES", r#"["127.0.0.1/32"]"#);

fn behind(proxy: &str) -> Stage {
    Stage::with(&[TRUSTED, ("FORWARD_AUTH__PROXY", proxy)])
}

fn core_memory() -> String {
    format!("/v1/agents/{AGENT}/core-memory")
}

/// How each proxy asks about a request.
fn asked_by(proxy: &str, method: &str, target: &str) -> Ask {
    match proxy {
        "nginx" | "haproxy" => {
            Ask::get("/forward-auth").header("x-original-method", method).header("x-original-uri", target)
        }
        "traefik" | "caddy" => {
            Ask::get("/forward-auth").header("x-forwarded-method", method).header("x-forwarded-uri", target)
        }
        "envoy" => Ask::new(method, &format!("/forward-auth{target}")),
        other => panic!("{other}"),
    }
}

const PROXIES: [&str; 5] = ["nginx", "traefik", "caddy", "envoy", "haproxy"];

/// Refused, with a status that every proxy passes on as it is.
#[track_caller]
fn assert_refused(stage: &Stage, ask: &Ask) -> Answer {
    let answer = stage.ask(ask);
    assert_eq!(answer.status, 403, "{answer}");
    answer.problem_of_kind(403, "forbidden");
    for name in ["x-hallpass-token-id", "x-hallpass-agent-id", "x-hallpass-access"] {
        assert_eq!(answer.header(name), None, "{answer}");
    }
    stage.upstream.assert_untouched();
    answer
}

#[test]
fn each_proxy_is_told_what_the_token_is_and_may() {
    for proxy in PROXIES {
        let stage = behind(proxy);
        let token = stage.token();
        let answer = stage.ask(&asked_by(proxy, "GET", &core_memory()).by(&token)).expect(200);
        let payload = token.split('.').nth(1).unwrap();
        let jti = stage_jti(payload);
        assert_eq!(answer.header("x-hallpass-token-id"), Some(jti.as_str()), "{answer}");
        assert_eq!(answer.header("x-hallpass-agent-id"), Some(AGENT), "{answer}");
        assert_eq!(answer.header("x-hallpass-access"), Some("read_agent"), "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
        assert!(answer.header("x-request-id").is_some(), "{answer}");

        // Where there is none the header is there all the same, so that a client's own copy is overwritten.
        let answer = stage.ask(&asked_by(proxy, "GET", "/v1/health").by(&token)).expect(200);
        assert_eq!(answer.header("x-hallpass-token-id"), Some(jti.as_str()), "{answer}");
        assert_eq!(
            (answer.header("x-hallpass-agent-id"), answer.header("x-hallpass-access")),
            (Some(""), Some(""))
        );
        stage.upstream.assert_untouched();
    }
}

fn stage_jti(payload: &str) -> String {
    use base64::Engine;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

#[test]
fn each_proxy_is_told_what_is_refused_and_why() {
    for proxy in PROXIES {
        let stage = behind(proxy);
        let token = stage.token_for(AGENT, &["read_messages"]);
        let ask = |method: &str, target: &str| asked_by(proxy, method, target);
        let refuse = |ask: &Ask, status, kind, reason| {
            let answer = stage.ask(ask);
            answer.problem(status, kind, reason);
            stage.upstream.assert_untouched();
            stage.assert_logged(answer.header("x-request-id").unwrap(), reason);
        };
        refuse(&ask("GET", &core_memory()).by(&token), 403, "forbidden", "access_missing");
        let foreign = format!("/v1/agents/{OTHER_AGENT}/core-memory");
        refuse(&ask("GET", &foreign).by(&token), 403, "forbidden", "agent_not_granted");
        refuse(&ask("DELETE", &core_memory()).by(&token), 403, "forbidden", "route_not_allowed");
        refuse(&ask("GET", &core_memory()).header("origin", ORIGIN), 401, "invalid-token", "token_missing");
        refuse(&ask("GET", &core_memory()).by("no.such.token"), 401, "invalid-token", "invalid_token");
        let expired = Forge::of(&stage).expiring_in(-60);
        refuse(&ask("GET", &core_memory()).by(&expired), 401, "invalid-token", "token_expired");
        let elsewhere = ask("GET", &core_memory()).bearer(&token).header("origin", OTHER_ORIGIN);
        refuse(&elsewhere, 403, "forbidden", "origin_mismatch");
        refuse(&ask("GET", &core_memory()).bearer(&token), 403, "forbidden", "origin_missing");
        stage.delete(&token);
        refuse(&ask("GET", &core_memory()).by(&token), 401, "invalid-token", "token_revoked");
    }
}

#[test]
fn only_three_statuses_are_ever_given() {
    for proxy in PROXIES {
        let stage = behind(proxy);
        let token = stage.token();
        for target in [
            "/v1/agents/%2e%2e/x",
            "//v1/agents/x",
            "/v1/agents/a%2Fb",
            "/v1/runs?agent_id=a&agent_id=b",
            "/v1/conversations",
            "/v1/agents/agent-1/core-memory",
            "/v1/conversations/conv-33333333-3333-4333-8333-333333333333",
            "/",
        ] {
            assert_refused(&stage, &asked_by(proxy, "GET", target).by(&token));
        }
        for target in ["", "*", "http://evil.example.net/", "v1"] {
            if proxy != "envoy" {
                assert_refused(&stage, &asked_by(proxy, "GET", target).by(&token));
            }
        }
    }
}

#[test]
fn a_peer_that_is_not_trusted_learns_nothing() {
    for trusted in [r#"["10.0.0.0/8"]"#, r#"["127.0.0.2/32"]"#] {
        let stage = Stage::with(&[("SERVER__TRUSTED_PROXIES", trusted), ("FORWARD_AUTH__PROXY", "nginx")]);
        let token = stage.token();
        let good = stage.ask(&asked_by("nginx", "GET", &core_memory()).by(&token)).expect(403);
        // By headers it can't make itself one.
        let spoofed =
            asked_by("nginx", "GET", &core_memory()).by(&token).header("x-forwarded-for", "10.0.0.1");
        stage.ask(&spoofed.header("x-real-ip", "10.0.0.1").header("forwarded", "for=10.0.0.1")).expect(403);
        let bad = stage.ask(&asked_by("nginx", "GET", &core_memory()).by("no.such.token")).expect(403);
        assert_eq!(good.json(), bad.json());
        stage.upstream.assert_untouched();
    }
}

#[test]
fn without_a_named_proxy_nothing_is_let_through() {
    let stage = Stage::with(&[TRUSTED]);
    for proxy in PROXIES {
        stage.ask(&asked_by(proxy, "GET", &core_memory()).by(&stage.token())).expect(403);
    }
}

#[test]
fn a_header_of_another_family_is_a_client_that_speaks_past_the_proxy() {
    let families = [
        ("x-original-method", "GET"),
        ("x-original-uri", "/v1/health"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/v1/health"),
    ];
    for proxy in PROXIES {
        let stage = behind(proxy);
        let token = stage.token();
        let own = match proxy {
            "nginx" | "haproxy" => &families[..2],
            "traefik" | "caddy" => &families[2..],
            _ => &[],
        };
        for (name, value) in families.iter().filter(|header| !own.contains(header)) {
            assert_refused(&stage, &asked_by(proxy, "GET", &core_memory()).by(&token).header(name, value));
        }
        // Its own, but twice: the client's beside the proxy's.
        for (name, value) in own {
            assert_refused(&stage, &asked_by(proxy, "GET", &core_memory()).by(&token).header(name, value));
        }
    }
}

#[test]
fn a_header_that_is_missing_is_not_made_up() {
    for proxy in ["nginx", "traefik", "caddy"] {
        let stage = behind(proxy);
        let token = stage.token();
        let (method, uri) = if proxy == "nginx" {
            ("x-original-method", "x-original-uri")
        } else {
            ("x-forwarded-method", "x-forwarded-uri")
        };
        for ask in [
            Ask::get("/forward-auth"),
            Ask::get("/forward-auth").header(method, "GET"),
            Ask::get("/forward-auth").header(uri, &core_memory()),
            Ask::get(&format!("/forward-auth{}", core_memory())),
            Ask::get("/forward-auth").header(method, "").header(uri, &core_memory()),
        ] {
            assert_refused(&stage, &ask.by(&token));
        }
    }
}

#[test]
fn any_method_may_ask() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let stage = behind("traefik");
        let ask = Ask::new(method, "/forward-auth").by(&stage.token());
        let ask = ask.header("x-forwarded-method", "GET").header("x-forwarded-uri", &core_memory());
        stage.ask(&ask).expect(200);
    }
}

#[test]
fn what_only_the_gateway_makes_safe_is_refused() {
    let rows = [
        ("GET", format!("/v1/agents/{AGENT}")),
        ("PATCH", format!("/v1/agents/{AGENT}")),
        ("GET", format!("/v1/agents/{AGENT}/messages")),
        ("POST", format!("/v1/agents/{AGENT}/messages")),
        ("POST", format!("/v1/agents/{AGENT}/messages/stream")),
        ("POST", format!("/v1/agents/{AGENT}/messages/cancel")),
        ("PATCH", format!("/v1/agents/{AGENT}/core-memory/blocks/human")),
    ];
    for proxy in PROXIES {
        let (strict, lax) = (
            behind(proxy),
            Stage::with(&[
                TRUSTED,
                ("FORWARD_AUTH__PROXY", proxy),
                ("FORWARD_AUTH__ALLOW_UNCHECKED", "true"),
            ]),
        );
        let (strict_token, lax_token) = (strict.token(), lax.token());
        for (method, target) in &rows {
            let answer = assert_refused(&strict, &asked_by(proxy, method, target).by(&strict_token));
            assert_eq!(answer.json()["reason"], "unchecked", "{method} {target}");
            let answer = lax.ask(&asked_by(proxy, method, target).by(&lax_token)).expect(200);
            assert_eq!(answer.header("x-hallpass-agent-id"), Some(AGENT));
        }
        // That is about rewriting, not about rights.
        let only_reads = lax.token_for(AGENT, &["read_messages"]);
        let write = asked_by(proxy, "POST", &format!("/v1/agents/{AGENT}/messages")).by(&only_reads);
        lax.ask(&write).problem(403, "forbidden", "access_missing");
    }
}

#[test]
fn query_keys_that_cannot_be_dropped_are_refused() {
    for proxy in PROXIES {
        let stage = behind(proxy);
        let token = stage.token();
        for query in ["junk=1", "include=agent.secrets", "agent_ids=x", "="] {
            let ask = asked_by(proxy, "GET", &format!("{}?{query}", core_memory())).by(&token);
            let answer = assert_refused(&stage, &ask);
            let reason = answer.json()["reason"].as_str().unwrap().to_owned();
            assert!(matches!(reason.as_str(), "query_not_allowed" | "query_not_valid"), "{query}: {answer}");
            assert!(reason == "query_not_allowed" || query == "=", "{query}: {answer}");
        }
        let search = format!("/v1/agents/{AGENT}/archival-memory/search?query=cats");
        stage.ask(&asked_by(proxy, "GET", &search).by(&token)).expect(200);
    }
}

#[test]
fn the_origin_of_the_page_is_told_by_the_name_that_the_proxy_was_asked_for() {
    let stage = behind("nginx");
    let token = stage.token();
    let ask = |host: &str, scheme: &str, site: &str| {
        let ask = asked_by("nginx", "GET", &core_memory()).at_host(host).bearer(&token);
        ask.header("x-forwarded-proto", scheme).header("sec-fetch-site", site)
    };
    stage.ask(&ask("app.example.com", "https", "same-origin")).expect(200);
    stage.ask(&ask("app.example.com:443", "https", "same-origin")).expect(200);
    for site in ["same-site", "cross-site", "none", ""] {
        assert_refused(&stage, &ask("app.example.com", "https", site));
    }
    for ask in [
        ask("evil.example.net", "https", "same-origin"),
        ask("app.example.com:8443", "https", "same-origin"),
        ask("app.example.com@evil.example.net", "https", "same-origin"),
        ask("app.example.com", "http", "same-origin"),
        ask("app.example.com", "https, http", "same-origin"),
        ask("app.example.com", "https", "same-origin").header("x-forwarded-proto", "https"),
        ask("app.example.com", "https", "same-origin").header("referer", "https://evil.example.net/"),
        ask("app.example.com", "https", "same-origin").header("origin", "null"),
    ] {
        assert_refused(&stage, &ask);
    }
}

#[test]
fn a_proxy_is_named_only_where_some_peer_is_trusted() {
    let home = crate::home::Home::new();
    let mut command = home.hallpass(["serve"]);
    command.env("HALLPASS_FORWARD_AUTH__PROXY", "nginx");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("server.trusted_proxies"), "{text}");
}

#[test]
fn rows_of_the_deployment_are_decided_here_too() {
    let routes = r#"[{method = "GET", path = "/bots/{agent}", access = "read_agent"}]"#;
    let stage = Stage::with(&[
        TRUSTED,
        ("FORWARD_AUTH__PROXY", "nginx"),
        ("GATEWAY__PRESET", "none"),
        ("GATEWAY__ROUTES", routes),
    ]);
    let token = stage.token_for("bot-7", &["read_agent"]);
    let answer = stage.ask(&asked_by("nginx", "GET", "/bots/bot-7").by(&token)).expect(200);
    assert_eq!(answer.header("x-hallpass-agent-id"), Some("bot-7"));
    stage.ask(&asked_by("nginx", "GET", "/bots/bot-8").by(&token)).problem(
        403,
        "forbidden",
        "agent_not_granted",
    );
}

#[test]
fn owners_are_looked_up_for_proxies_too_where_that_is_all_it_takes() {
    let stage =
        Stage::with(&[TRUSTED, ("FORWARD_AUTH__PROXY", "nginx"), ("FORWARD_AUTH__ALLOW_UNCHECKED", "true")]);
    stage.upstream.answer_json(&json!({"agent_id": OTHER_AGENT}));
    let target = format!("/v1/conversations/{}", crate::stage::CONVERSATION);
    let answer = stage.ask(&asked_by("nginx", "GET", &target).by(&stage.token()));
    answer.problem(403, "forbidden", "not_granted");
}

#[test]
fn an_api_key_opens_nothing_here() {
    let stage = behind("nginx");
    for ask in [
        asked_by("nginx", "GET", &core_memory()).bearer(STATIC_KEY),
        asked_by("nginx", "GET", "/v1/agents/").by(STATIC_KEY),
    ] {
        stage.ask(&ask).problem(401, "invalid-token", "invalid_token");
    }
}
