//! What is counted while requests are answered and records kept.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use hallpass::token::TokenRequest;
use tokio::task::JoinSet;

use crate::client::{Server, TOKENS, noon, request_for, token_of};

/// Each route, method and status that was answered, and how often.
fn answers(server: &Server) -> BTreeMap<(String, &'static str, u16), u64> {
    let answers = server.app.requests.answers();
    answers.map(|(route, method, status, count)| ((route.to_owned(), method, status), count)).collect()
}

#[tokio::test]
async fn every_documented_endpoint_is_counted_under_its_template() {
    let (server, client) = Server::start().await;
    let document = hallpass::api::openapi_document().to_json().unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let mut asked = 0;
    for (template, methods) in document["paths"].as_object().unwrap() {
        let path = template.replace("{token}", "x").replace("{name}", "not-found");
        for method in methods.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let request = client.request(method.parse::<Method>().unwrap(), &path).body(Body::empty());
            let status = client.send(request.unwrap()).await.status.as_u16();
            asked += 1;
            let found =
                answers(&server).into_iter().find(|((route, by, _), _)| route == template && *by == method);
            let (_, _, counted) = found.unwrap_or_else(|| panic!("{method} {template} isn't counted")).0;
            assert_eq!(counted, status, "{method} {template}");
        }
    }
    assert!(asked > 8, "the document was not read: {asked} endpoints");
    assert_eq!(answers(&server).values().sum::<u64>(), asked);
    assert_eq!(server.app.requests.durations().map(|(_, times)| times.count()).sum::<u64>(), asked);
}

#[tokio::test]
async fn no_path_and_no_method_of_a_clients_making_becomes_a_label() {
    let (server, client) = Server::start().await;
    for path in ["/nowhere", "/nowhere/else", "/eyJhbGciOiJFZERTQSJ9.e30.c2ln"] {
        client.get(path).await;
    }
    client.delete("eyJhbGciOiJFZERTQSJ9.e30.c2ln").await;
    for method in ["BREW", "eyJhbGciOiJFZERTQSJ9.e30.c2ln"] {
        let request = client.request(method.parse().unwrap(), "/healthz").body(Body::empty()).unwrap();
        client.send(request).await;
    }
    let wanted = [
        (("/healthz".to_owned(), "other", 405), 2),
        ((format!("{TOKENS}/{{token}}"), "DELETE", 404), 1),
        (("none".to_owned(), "GET", 404), 3),
    ];
    assert_eq!(answers(&server), wanted.into());
}

#[tokio::test]
async fn tokens_that_were_handed_out_and_revoked_count_once() {
    let (server, client) = Server::start().await;
    let (first, second) = (client.issue("agent-1").await, client.issue("agent-1").await);
    client.issue("agent-2").await;
    assert_eq!(client.create(&serde_json::json!({})).await.status, 400);
    assert_eq!(server.app.vitals().tokens_issued, 3);

    for _ in 0..2 {
        assert_eq!(client.delete(&token_of(&first)).await.status, 204);
    }
    assert_eq!(client.form("/oauth/revoke", &format!("token={}", token_of(&second))).await.status, 200);
    assert_eq!(client.form("/oauth/revoke", "token=never-issued").await.status, 200);
    let vitals = server.app.vitals();
    assert_eq!((vitals.tokens_revoked, vitals.revoked_tokens), (2, 2));
}

#[tokio::test]
async fn a_look_at_the_database_makes_its_age_young() {
    let (server, _) = Server::start().await;
    let started = std::time::Instant::now();
    assert!(server.app.vitals().revocations_age >= started.elapsed());
    server.app.refresh().await.unwrap();
    let age = server.app.vitals().revocations_age;
    assert!(age <= started.elapsed(), "{age:?}");
    assert!(server.app.vitals().database_writable);
}

#[tokio::test]
async fn the_signing_keys_time_is_that_of_the_last_rotation() {
    let (server, _) = Server::start().await;
    assert_eq!(server.app.vitals().signing_key_active_since, noon());
    server.clock.advance(Duration::from_secs(3600));
    server.app.rotate_signing_keys(true).await.unwrap();
    assert_eq!(server.app.vitals().signing_key_active_since, noon().after(Duration::from_secs(3600)));
}

#[tokio::test]
async fn records_past_their_retention_are_counted_until_they_are_gone() {
    // One more than are removed at once.
    const RECORDS: usize = 501;
    let (server, _) = Server::start().await;
    let key = server.app.create_api_key("test", &"default".parse().unwrap(), false).await.unwrap().0;
    let project = server.app.store.projects().await.unwrap().remove(0);
    let mut issued = JoinSet::new();
    for _ in 0..RECORDS {
        let request = TokenRequest::parse(&request_for("a"), noon(), &server.app.settings.limits).unwrap();
        let (app, key, project) = (server.app.clone(), key.id.clone(), project.clone());
        issued.spawn(async move { app.issue(&project, &key, request).await.unwrap() });
    }
    assert_eq!(issued.join_all().await.len(), RECORDS);
    let batches = server.app.vitals().writing.batch_sizes.count();
    assert!((1..=501).contains(&batches), "{batches}");

    server.clock.advance(Duration::from_secs(31 * 86_400));
    assert!(server.app.prune().await.unwrap(), "there is more");
    assert_eq!(server.app.vitals().records_to_remove, 501);
    assert!(!server.app.prune().await.unwrap(), "that is all");
    assert_eq!(server.app.vitals().records_to_remove, 0);
}
