//! JWKS, metadata, introspection, revocation, health and documentation.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass::app::Settings;
use hallpass::store::RevokeFilter;
use serde_json::{Value, json};

use crate::client::{Client, ISSUER, Server, TOKENS, claims, settings, token_of};

#[tokio::test]
async fn the_jwks_holds_the_signing_key_and_the_next_one() {
    let (server, client) = Server::start().await;
    let answer = server.stranger().get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    let token = token_of(&client.issue("agent-1").await);
    let kid = crate::client::decode_segment(&token, 0)["kid"].clone();
    let key = keys.iter().find(|key| key["kid"] == kid).unwrap();
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"), &json!("sig"))
    );
}

#[tokio::test]
async fn a_known_jwks_is_not_sent_again() {
    let (server, _client) = Server::start().await;
    let stranger = server.stranger();
    let etag = stranger.get("/.well-known/jwks.json").await.header("etag").unwrap().to_owned();
    let ask = async |tag: &str| {
        let request = stranger.request(Method::GET, "/.well-known/jwks.json").header("if-none-match", tag);
        stranger.send(request.body(Body::empty()).unwrap()).await
    };
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = ask(&known).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(ask("\"other\"").await.status, 200);
    server.app.rotate_signing_keys(true).await.unwrap();
    assert_eq!(ask(&etag).await.status, 200, "a rotation changes the tag");
}

#[tokio::test]
async fn the_metadata_is_that_of_rfc_8414() {
    let (server, _client) = Server::start().await;
    let answer = server.stranger().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.json(),
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
            "introspection_endpoint": format!("{ISSUER}/oauth/introspect"),
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
            "revocation_endpoint": format!("{ISSUER}/oauth/revoke"),
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
            "response_types_supported": [],
            "grant_types_supported": [],
            "service_documentation": format!("{ISSUER}/docs"),
        })
    );
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_metadata_where_rfc_8414_puts_it() {
    let issuer = format!("{ISSUER}/auth/hallpass");
    let (server, _client) = Server::start_with(Settings { issuer: issuer.clone(), ..settings() }).await;
    let answer = server.stranger().get("/.well-known/oauth-authorization-server/auth/hallpass").await;
    assert_eq!(answer.json()["issuer"], issuer);
}

fn basic(client: &Client, user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{}", client.key.as_deref().unwrap())))
}

async fn form_as(client: &Client, credential: &str, path: &str, body: &str) -> crate::client::Answer {
    let request = axum::http::Request::post(path)
        .header("authorization", credential)
        .header("content-type", "application/x-www-form-urlencoded");
    client.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn a_good_token_is_introspected_with_its_claims() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    let mut expected = claims(&token);
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    assert_eq!(client.introspect(&token).await, expected);
    for user in ["", "anyone"] {
        let answer =
            form_as(&client, &basic(&client, user), "/oauth/introspect", &format!("token={token}")).await;
        assert_eq!(answer.json(), expected);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn of_any_other_token_only_that_it_is_not_active() {
    let (server, client) = Server::start().await;
    let other = server.client_of("other").await;
    let theirs = token_of(&other.issue("agent-1").await);
    let mine = token_of(&client.issue("agent-1").await);
    let (place, other) = (mine.len() - 10, if mine.as_bytes()[mine.len() - 10] == b'A' { "B" } else { "A" });
    let tampered = format!("{}{other}{}", &mine[..place], &mine[place + 1..]);
    let inactive = json!({"active": false});
    for token in [theirs.as_str(), &tampered, "nonsense", "a.b.c", claims(&mine)["jti"].as_str().unwrap()] {
        assert_eq!(client.introspect(token).await, inactive, "{token}");
    }
}

/// It is judged by memory, which nobody has told of the revocation yet.
#[tokio::test]
async fn a_token_that_another_process_revoked_is_not_active_after_the_next_look() {
    let (server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    server.app.store.revoke_where(&RevokeFilter::default(), server.app.now()).await.unwrap();
    server.app.refresh().await.unwrap();
    assert_eq!(client.introspect(&token).await, json!({"active": false}));
}

#[tokio::test]
async fn a_server_that_has_not_seen_the_database_for_too_long_judges_no_token() {
    let (server, client) = Server::start_with(Settings { max_staleness: Duration::ZERO, ..settings() }).await;
    let token = token_of(&client.issue("agent-1").await);
    let refused = client.form("/oauth/introspect", &format!("token={token}")).await;
    refused.problem(503, "unavailable", "Unavailable");
    assert_eq!(client.introspect("nonsense").await, json!({"active": false}), "this needs no database");
    drop(server);
}

#[tokio::test]
async fn revocation_answers_200_whatever_it_is_asked() {
    let (server, client) = Server::start().await;
    let other = server.client_of("other").await;
    let mine = token_of(&client.issue("agent-1").await);
    let theirs = token_of(&other.issue("agent-1").await);
    for token in [mine.as_str(), &mine, &theirs, "nonsense"] {
        let answer =
            client.form("/oauth/revoke", &format!("token={token}&token_type_hint=access_token")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{token}");
    }
    assert!(!client.is_active(&mine).await && other.is_active(&theirs).await);
}

#[tokio::test]
async fn the_oauth_endpoints_speak_their_error_codes() {
    let (server, client) = Server::start().await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let answer = server.stranger().form(path, "token=x").await;
        answer.problem(401, "invalid-api-key", "Invalid API key");
        assert_eq!(answer.json()["error"], "invalid_client");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer, Basic realm=\"hallpass\", charset=\"UTF-8\"")
        );
        for credential in ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic eDp5", "Bearer x", "Digest x"] {
            let answer = form_as(&client, credential, path, "token=x").await;
            answer.problem(401, "invalid-api-key", "Invalid API key");
        }
        for body in ["", "token=", "token=a&token=b", "toke=x"] {
            let answer = client.form(path, body).await;
            answer.problem(400, "invalid-request", "Invalid request");
            assert_eq!(
                (&answer.json()["error"], answer.fields()),
                (&json!("invalid_request"), vec!["token".to_owned()]),
                "{body}"
            );
        }
        let answer = client.post(path, "application/json", "{\"token\":\"x\"}").await;
        answer.problem(415, "unsupported-media-type", "Unsupported media type");
    }
}

#[tokio::test]
async fn it_is_alive_always_and_ready_once_there_is_a_key() {
    let (server, client) = Server::start().await;
    let stranger = server.stranger();
    assert_eq!(stranger.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(stranger.get("/readyz").await.json(), json!({"status": "ready"}));
    for key in server.app.store.api_keys().await.unwrap() {
        server.app.revoke_api_key(&key.record.id, false).await.unwrap();
    }
    server.app.refresh().await.unwrap();
    let answer = stranger.get("/readyz").await;
    let detail = answer.problem(503, "unavailable", "Unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(detail.contains("hallpass api-key create"), "{detail}");
    assert_eq!(stranger.get("/healthz").await.status, 200);
    drop(client);
}

#[tokio::test]
async fn a_closed_store_is_told_as_unavailable() {
    let (server, client) = Server::start().await;
    server.app.store.close().await;
    let answer = client.create(&crate::client::request_for("agent-1")).await;
    answer.problem(503, "unavailable", "Unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    client.get(TOKENS).await.problem(503, "unavailable", "Unavailable");
    client.delete("01a20c29-0a31-72b4-9750-8d1c33681b3c").await.problem(503, "unavailable", "Unavailable");
    server.stranger().get("/readyz").await.problem(503, "unavailable", "Unavailable");
}

#[tokio::test]
async fn the_document_describes_the_endpoints_in_openapi_3_1() {
    let (server, _client) = Server::start().await;
    let answer = server.stranger().get("/openapi.json").await;
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [TOKENS, "/oauth/introspect", "/oauth/revoke", "/.well-known/jwks.json", "/readyz"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test]
async fn pages_load_nothing_and_run_nothing() {
    let (server, _client) = Server::start().await;
    for path in ["/docs", "/errors/invalid-request"] {
        let answer = server.stranger().get(path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        let html = String::from_utf8(answer.body.to_vec()).unwrap();
        for loader in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url("] {
            assert!(!html.contains(loader), "{path}: {loader}");
        }
    }
}

#[tokio::test]
async fn each_problem_type_leads_to_a_page_that_explains_it() {
    let (server, client) = Server::start().await;
    for kind in hallpass::api::Kind::ALL {
        let answer = server.stranger().get(&format!("/errors/{}", kind.name())).await;
        let html = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(answer.status == 200 && html.contains(kind.title()), "{}", kind.name());
    }
    client.get("/errors/unheard-of").await.problem(404, "not-found", "Not found");
}

#[tokio::test]
async fn only_public_metadata_may_be_read_by_any_page() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    let preflight = |path: &str| {
        let request = client.request(Method::OPTIONS, path).header("origin", "https://app.example.com");
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    for path in [TOKENS, "/oauth/introspect", "/oauth/revoke"] {
        let answer = client.send(preflight(path)).await;
        assert_eq!(answer.status, 405);
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{path}");
    }
    let body: Value = client.introspect(&token).await;
    assert_eq!(body["active"], true);
    assert!(!client.get(TOKENS).await.headers.contains_key("access-control-allow-origin"));
}
