//! `DELETE /v1/client-side-access-tokens/{token}` and the revocation of API keys.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use hallpass::keys::ApiKeyId;

use crate::client::{Answer, Client, Server, TOKENS, claims, noon, token_of};

#[track_caller]
fn assert_deleted(answer: &Answer) {
    assert_eq!(answer.status, 204, "{:?}", answer.body);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-type"), None, "the Python SDK would parse an empty body as JSON");
}

#[tokio::test]
async fn a_deleted_token_is_refused_from_then_on() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    assert!(client.is_active(&token).await);
    assert_deleted(&client.delete(&token).await);
    assert!(!client.is_active(&token).await);
}

#[tokio::test]
async fn the_id_serves_as_well_as_the_token() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    assert_deleted(&client.delete(claims(&token)["jti"].as_str().unwrap()).await);
    assert!(!client.is_active(&token).await);
}

#[tokio::test]
async fn deleting_again_or_what_is_over_is_a_success() {
    let (server, client) = Server::start().await;
    let deleted = token_of(&client.issue("agent-1").await);
    let expired = token_of(&client.issue("agent-1").await);
    assert_deleted(&client.delete(&deleted).await);
    assert_deleted(&client.delete(&deleted).await);
    server.clock.set(noon().after(Duration::from_secs(86_400)));
    assert_deleted(&client.delete(&deleted).await);
    assert_deleted(&client.delete(&expired).await);
}

#[tokio::test]
async fn a_signature_is_not_needed_to_name_a_token() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    let (input, _) = token.rsplit_once('.').unwrap();
    assert_deleted(&client.delete(&format!("{input}.anything")).await);
    assert!(!client.is_active(&token).await);
}

#[tokio::test]
async fn what_the_project_never_issued_is_not_found() {
    let (server, client) = Server::start().await;
    let other = server.client_of("other").await;
    let theirs = token_of(&other.issue("agent-1").await);
    for token in [
        theirs.as_str(),
        "01a20c29-0a31-72b4-9750-8d1c33681b3c",
        "nonsense",
        "a.b.c",
        "..",
        "%00",
        "%FF",
        "%E2%80%8B",
    ] {
        client.delete(token).await.problem(404, "not-found", "Not found");
    }
    assert!(other.is_active(&theirs).await);
}

#[tokio::test]
async fn a_token_may_be_percent_encoded() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    let encoded: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_deleted(&client.delete(&encoded).await);
    assert!(!client.is_active(&token).await);
}

#[tokio::test]
async fn bodies_that_sdks_send_along_are_ignored() {
    let (_server, client) = Server::start().await;
    for (content_type, body) in [(Some("application/json"), ""), (Some("application/json"), "{}"), (None, "")]
    {
        let token = token_of(&client.issue("agent-1").await);
        let mut request = client.request(Method::DELETE, &format!("{TOKENS}/{token}"));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_deleted(&client.send(request.body(Body::from(body)).unwrap()).await);
    }
}

#[tokio::test]
async fn the_bare_collection_cannot_be_deleted() {
    let (_server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    for path in [TOKENS.to_owned(), format!("{TOKENS}/")] {
        let request = client.request(Method::DELETE, &path).body(Body::empty()).unwrap();
        let answer = client.send(request).await;
        answer.problem(405, "method-not-allowed", "Method not allowed");
        assert!(
            answer.header("allow").is_some_and(|allow| allow.contains("POST") && !allow.contains("DELETE"))
        );
    }
    assert!(client.is_active(&token).await);
}

#[tokio::test]
async fn a_delete_needs_an_api_key() {
    let (server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    server.stranger().delete(&token).await.problem(401, "invalid-api-key", "Invalid API key");
    assert!(client.is_active(&token).await);
}

async fn id_of(server: &Server, client: &Client) -> ApiKeyId {
    let hash = hallpass::keys::ApiKeyHash::of(client.key.as_deref().unwrap());
    let keys = server.app.store.api_keys().await.unwrap();
    keys.into_iter().find(|key| key.record.hash == hash).unwrap().record.id
}

#[tokio::test]
async fn revoking_an_api_key_revokes_the_tokens_that_it_issued() {
    let (server, client) = Server::start().await;
    let colleague = server.client_of("default").await;
    let gone = token_of(&client.issue("agent-1").await);
    let kept = token_of(&colleague.issue("agent-1").await);
    let revoked = server.app.revoke_api_key(&id_of(&server, &client).await, false).await.unwrap();
    server.app.refresh().await.unwrap();
    assert_eq!(revoked.map(|revoked| revoked.tokens), Some(1));
    client.get(TOKENS).await.problem(401, "invalid-api-key", "Invalid API key");
    assert!(!colleague.is_active(&gone).await && colleague.is_active(&kept).await);
}

#[tokio::test]
async fn a_revoked_keys_tokens_can_be_kept() {
    let (server, client) = Server::start().await;
    let colleague = server.client_of("default").await;
    let token = token_of(&client.issue("agent-1").await);
    server.app.revoke_api_key(&id_of(&server, &client).await, true).await.unwrap();
    server.app.refresh().await.unwrap();
    client.get(TOKENS).await.problem(401, "invalid-api-key", "Invalid API key");
    assert!(colleague.is_active(&token).await);
}

#[tokio::test]
async fn a_key_issues_nothing_once_it_is_revoked_even_before_the_server_notices() {
    let (server, client) = Server::start().await;
    let colleague = server.client_of("default").await;
    server.app.revoke_api_key(&id_of(&server, &client).await, false).await.unwrap();
    let answer = client.create(&crate::client::request_for("agent-1")).await;
    answer.problem(401, "invalid-api-key", "Invalid API key");
    let all = colleague.get(&format!("{TOKENS}?status=all")).await.json();
    assert_eq!(all["tokens"], serde_json::json!([]));
    assert!(!colleague.issue("agent-1").await["token"].is_null(), "others go on issuing");
}
