//! `POST /v1/client-side-access-tokens`

use axum::http::Method;
use serde_json::{Value, json};

use crate::client::{
    Answer, Client, ISSUER, Server, TOKENS, claims, decode_segment, request_for, settings, token_of,
};

#[tokio::test]
async fn a_token_is_issued_with_what_was_asked_for() {
    let (server, client) = Server::start().await;
    let mut body = request_for("agent-1");
    body["expires_at"] = json!("2026-01-31T12:30:00.750Z");
    let answer = client.create(&body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut json = answer.json();
    let token = token_of(&json);
    json.as_object_mut().unwrap().remove("token");
    assert_eq!(
        json,
        json!({
            "expiresAt": "2026-01-31T12:30:00.750Z",
            "hostname": "https://app.example.com",
            "policy": {"version": "1", "data": body["policy"]},
        })
    );
    let kid = server.app.ring().active().kid().to_owned();
    assert_eq!(decode_segment(&token, 0), json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}));
    let mut claims = claims(&token);
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(uuid::Uuid::parse_str(jti.as_str().unwrap()).unwrap().get_version_num(), 7);
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "aud": "letta", "sub": "default", "iat": 1_769_860_800, "exp": 1_769_862_600,
            "hostname": "https://app.example.com", "origin": "https://app.example.com",
            "policy": {"version": "1", "data": body["policy"]},
        })
    );
}

#[tokio::test]
async fn the_default_lifetime_is_five_minutes() {
    let (_server, client) = Server::start().await;
    for expires_at in [None, Some(Value::Null)] {
        let mut body = request_for("agent-1");
        if let Some(value) = expires_at {
            body["expires_at"] = value;
        }
        assert_eq!(client.create(&body).await.json()["expiresAt"], "2026-01-31T12:05:00.000Z");
    }
}

#[tokio::test]
async fn the_collection_may_end_in_a_slash() {
    let (_server, client) = Server::start().await;
    let body = request_for("agent-1").to_string();
    assert_eq!(client.post(&format!("{TOKENS}/"), "application/json", body).await.status, 201);
}

async fn refused(client: &Client, body: &Value) -> (Vec<String>, String) {
    let answer = client.create(body).await;
    let detail = answer.problem(400, "invalid-request", "Invalid request");
    (answer.fields(), detail)
}

#[tokio::test]
async fn every_broken_rule_is_refused_and_named() {
    let (server, client) = Server::start().await;
    let far = "2026-02-01T12:01:01Z";
    for (pointer, value, field, rule) in [
        ("/hostname", json!("app.example.com"), "hostname", "absolute"),
        ("/hostname", json!("https://app.example.com/"), "hostname", "must not end in `/`"),
        ("/hostname", json!("https://u:p@app.example.com"), "hostname", "user name or password"),
        ("/hostname", json!("https://app.example.com?a"), "hostname", "no query"),
        ("/hostname", json!(5), "hostname", "must be a string"),
        (
            "/hostname",
            json!(format!("https://a.example/{}", "p".repeat(2048))),
            "hostname",
            "at most 2048 bytes",
        ),
        ("/policy", json!([]), "policy", "1 to 100 entries, got 0"),
        ("/policy", json!({"type": "agent"}), "policy", "must be an array"),
        ("/policy/0/type", json!("tool"), "policy[0].type", "must be `agent`"),
        ("/policy/0/id", json!("a/b"), "policy[0].id", "other than `/`"),
        ("/policy/0/id", json!(12), "policy[0].id", "must be a string"),
        ("/policy/0/access", json!([]), "policy[0].access", "one or more"),
        ("/policy/0/access/0", json!("admin"), "policy[0].access[0]", "got `admin`"),
        ("/expires_at", json!("tomorrow"), "expires_at", "must be a time such as"),
        ("/expires_at", json!("2026-01-31T12:00:00Z"), "expires_at", "in the future"),
        ("/expires_at", json!(far), "expires_at", "at most 1d ahead"),
        ("/expires_at", json!(1_769_862_600), "expires_at", "must be a string"),
    ] {
        let mut body = request_for("agent-1");
        body["expires_at"] = json!("2026-01-31T12:30:00Z");
        *body.pointer_mut(pointer).unwrap() = value;
        let (fields, detail) = refused(&client, &body).await;
        assert_eq!(fields, [field], "{detail}");
        assert!(detail.contains(rule), "{pointer}: {detail}");
    }
    let tokens = client.get(&format!("{TOKENS}?status=all")).await.json();
    assert_eq!(tokens, json!({"tokens": [], "hasNextPage": false}), "nothing was issued");
    drop(server);
}

#[tokio::test]
async fn all_mistakes_of_a_request_are_told_together() {
    let (_server, client) = Server::start().await;
    let (fields, detail) = refused(&client, &json!({"policy": [{"id": ""}, 7], "expiresAt": "x"})).await;
    let expected =
        ["hostname", "policy[0].type", "policy[0].id", "policy[0].access", "policy[1]", "expiresAt"];
    assert_eq!(fields, expected);
    assert!(detail.contains("did you mean `expires_at`?"), "{detail}");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_with_line_and_column() {
    let (_server, client) = Server::start().await;
    for (body, place) in [
        ("{\n  \"hostname\": nope}", "line 2, column 16"),
        ("", "line 1, column 0"),
        ("{\"hostname\": \"https://a.example\",}", "line 1, column 34"),
        ("{} {}", "line 1, column 4"),
    ] {
        let answer = client.post(TOKENS, "application/json", body).await;
        let detail = answer.problem(400, "invalid-request", "Invalid request");
        assert!(detail.contains(place), "{body}: {detail}");
    }
    let deep = "[".repeat(100_000 / 2);
    let answer = client.post(TOKENS, "application/json", deep).await;
    let detail = answer.problem(400, "invalid-request", "Invalid request");
    assert!(detail.contains("recursion limit"), "{detail}");
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let (_server, client) = Server::start().await;
    let body = request_for("agent-1").to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"] {
        let answer = client.post(TOKENS, content_type, body.clone()).await;
        let detail = answer.problem(415, "unsupported-media-type", "Unsupported media type");
        assert!(detail.contains(&format!("got `{content_type}`")), "{detail}");
    }
    let bare = client.request(Method::POST, TOKENS).body(body.clone().into()).unwrap();
    let detail = client.send(bare).await.problem(415, "unsupported-media-type", "Unsupported media type");
    assert!(detail.ends_with("got none"), "{detail}");
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(client.post(TOKENS, content_type, body.clone()).await.status, 201, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let (_server, client) = Server::start().await;
    let padded = |length: usize| {
        let mut body = request_for("agent-1");
        body["note"] = json!("");
        let bare = body.to_string().len();
        body["note"] = json!("x".repeat(length - bare));
        body
    };
    assert_eq!(client.create(&padded(65_536)).await.status, 201);
    let detail = client.create(&padded(65_537)).await.problem(413, "content-too-large", "Content too large");
    assert!(detail.contains("at most 65536 bytes"), "{detail}");
}

#[tokio::test]
async fn a_token_has_at_most_the_configured_length() {
    let (_server, client) = Server::start().await;
    let many = |count: usize| {
        let grants: Vec<_> = (0..count)
            .map(|i| json!({"type": "agent", "id": format!("agent-{i:0>60}"), "access": ["read_messages"]}))
            .collect();
        json!({"hostname": "https://app.example.com", "policy": grants})
    };
    assert_eq!(client.create(&many(40)).await.status, 201);
    let detail = client.create(&many(100)).await.problem(413, "content-too-large", "Content too large");
    assert!(detail.contains("`tokens.max_bytes` allows 8192"), "{detail}");
    let kept = client.get(&format!("{TOKENS}?status=all")).await.json();
    assert_eq!(kept["tokens"].as_array().unwrap().len(), 1, "what was refused left no record");
}

#[tokio::test]
async fn without_a_valid_api_key_nothing_is_issued() {
    let (server, client) = Server::start().await;
    let stranger = server.stranger();
    let body = request_for("agent-1");
    let answer = stranger.create(&body).await;
    let detail = answer.problem(401, "invalid-api-key", "Invalid API key");
    assert!(detail.contains("hallpass api-key create"), "{detail}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

    let token = token_of(&client.issue("agent-1").await);
    let key = client.key.clone().unwrap();
    let mut details = Vec::new();
    for credential in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {}", &key[..key.len() - 1]),
        format!("Bearer {key}x"),
        format!("Token {key}"),
        format!("Basic {key}"),
        // A client-side token never mints another.
        format!("Bearer {token}"),
        key.clone(),
    ] {
        let request = stranger.request(Method::POST, TOKENS).header("authorization", &credential);
        let request =
            request.header("content-type", "application/json").body(body.to_string().into()).unwrap();
        let answer = stranger.send(request).await;
        details.push(answer.problem(401, "invalid-api-key", "Invalid API key"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(!String::from_utf8_lossy(&answer.body).contains(&key[6..]), "the answer repeats no secret");
    }
    details.dedup();
    assert_eq!(details.len(), 1, "every wrong credential is told the same: {details:?}");
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let (_server, client) = Server::start().await;
    let key = client.key.clone().unwrap();
    let request = client.request(Method::GET, TOKENS).header("authorization", format!("Bearer {key}"));
    let answer = client.send(request.body(axum::body::Body::empty()).unwrap()).await;
    let detail = answer.problem(400, "invalid-request", "Invalid request");
    assert!(detail.contains("several `Authorization` headers"), "{detail}");
}

#[tokio::test]
async fn who_has_no_key_learns_nothing_about_the_body() {
    let (server, _client) = Server::start().await;
    let answer = server.stranger().post(TOKENS, "text/plain", "not json").await;
    answer.problem(401, "invalid-api-key", "Invalid API key");
}

#[tokio::test]
async fn a_project_with_a_list_of_agents_issues_for_those_only() {
    let (server, client) = Server::start().await;
    let allowed = ["agent-1".parse_agent(), "agent-2".parse_agent()];
    server.app.store.set_project_agents("default", Some(&allowed)).await.unwrap();
    server.app.refresh().await.unwrap();
    assert_eq!(client.create(&request_for("agent-2")).await.status, 201);
    let answer = client.create(&request_for("agent-3")).await;
    let detail = answer.problem(403, "agent-not-allowed", "Agent not allowed");
    assert_eq!(answer.fields(), ["policy[0].id"]);
    assert!(detail.contains("project `default`") && detail.contains("got `agent-3`"), "{detail}");

    server.app.store.set_project_agents("default", None).await.unwrap();
    server.app.refresh().await.unwrap();
    assert_eq!(client.create(&request_for("agent-3")).await.status, 201);
}

trait ParseAgent {
    fn parse_agent(&self) -> hallpass::token::AgentId;
}

impl ParseAgent for str {
    fn parse_agent(&self) -> hallpass::token::AgentId {
        hallpass::token::AgentId::parse(self).unwrap()
    }
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    let (_server, client) = Server::start().await;
    let key = client.key.clone().unwrap();
    let body = json!({"hostname": key, "policy": [{"type": key, "id": "a b eyJhbGciOi.x.y", "access": [key]}], "expires_at": key});
    let answer: Answer = client.create(&body).await;
    answer.problem(400, "invalid-request", "Invalid request");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains(&key[..10]) && !text.contains("eyJ"), "{text}");
    assert!(text.contains("[masked]"), "{text}");
}

#[tokio::test]
async fn the_project_header_of_some_sdks_is_ignored() {
    let (server, client) = Server::start().await;
    server.client_of("other").await;
    let request = client.request(Method::POST, TOKENS).header("content-type", "application/json");
    let request = request.header("x-project", "other").header("x-project-id", "other");
    let answer = client.send(request.body(request_for("agent-1").to_string().into()).unwrap()).await;
    assert_eq!(claims(&token_of(&answer.json()))["sub"], "default");
}

#[tokio::test]
async fn every_algorithm_issues_what_it_verifies() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let (server, client) = Server::start_with(hallpass::app::Settings {
            algorithm: algorithm.parse().unwrap(),
            ..settings()
        })
        .await;
        let token = token_of(&client.issue("agent-1").await);
        assert_eq!(decode_segment(&token, 0)["alg"], algorithm);
        assert!(server.app.ring().verify(&token, server.app.now()).is_ok());
        assert!(client.is_active(&token).await);
    }
}
