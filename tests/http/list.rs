//! `GET /v1/client-side-access-tokens`

use std::time::Duration;

use hallpass::app::Settings;
use serde_json::{Value, json};

use crate::client::{Server, TOKENS, claims, noon, settings, token_of};

fn tokens(list: &Value) -> Vec<String> {
    list["tokens"].as_array().unwrap().iter().map(token_of).collect()
}

#[tokio::test]
async fn a_list_shows_the_very_tokens_that_were_issued() {
    let (_server, client) = Server::start().await;
    let issued = client.issue("agent-1").await;
    let answer = client.get(TOKENS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json(), json!({"tokens": [issued], "hasNextPage": false}));
}

#[tokio::test]
async fn with_es256_a_list_shows_another_signature_over_the_same_token() {
    let (server, client) =
        Server::start_with(Settings { algorithm: "ES256".parse().unwrap(), ..settings() }).await;
    let issued = token_of(&client.issue("agent-1").await);
    let listed = tokens(&client.get(TOKENS).await.json()).remove(0);
    assert_ne!(listed, issued);
    assert_eq!(claims(&listed), claims(&issued));
    assert!(server.app.ring().verify(&listed, server.app.now()).is_ok());
}

#[tokio::test]
async fn the_newest_comes_first_and_pages_follow_each_other() {
    let (_server, client) = Server::start().await;
    let mut issued = Vec::new();
    for _ in 0..12 {
        issued.insert(0, token_of(&client.issue("agent-1").await));
    }
    let first = client.get(TOKENS).await.json();
    assert_eq!((tokens(&first), &first["hasNextPage"]), (issued[..10].to_vec(), &json!(true)));
    let rest = client.get(&format!("{TOKENS}?offset=10")).await.json();
    assert_eq!((tokens(&rest), &rest["hasNextPage"]), (issued[10..].to_vec(), &json!(false)));
    let middle = client.get(&format!("{TOKENS}?limit=3&offset=4")).await.json();
    assert_eq!((tokens(&middle), &middle["hasNextPage"]), (issued[4..7].to_vec(), &json!(true)));
    let exact = client.get(&format!("{TOKENS}?limit=12")).await.json();
    assert_eq!(exact["hasNextPage"], json!(false));
    let beyond = client.get(&format!("{TOKENS}?offset=9223372036854775807")).await.json();
    assert_eq!(beyond, json!({"tokens": [], "hasNextPage": false}));
}

#[tokio::test]
async fn a_list_of_an_agent_holds_the_tokens_that_grant_it() {
    let (_server, client) = Server::start().await;
    let one = token_of(&client.issue("agent-1").await);
    let two = token_of(&client.issue("agent-2").await);
    let grant = |id: &str| json!({"type": "agent", "id": id, "access": ["read_agent"]});
    let body = json!({"hostname": "https://a.example", "policy": [grant("agent-1"), grant("agent-2"), grant("agent-1")]});
    let both = token_of(&client.create(&body).await.json());
    let of = async |agent: &str| tokens(&client.get(&format!("{TOKENS}?agentId={agent}")).await.json());
    assert_eq!(of("agent-1").await, [both.clone(), one]);
    assert_eq!(of("agent-2").await, [both, two]);
    assert!(of("agent").await.is_empty());
}

#[tokio::test]
async fn projects_never_see_each_others_tokens() {
    let (server, client) = Server::start().await;
    let other = server.client_of("other").await;
    let mine = token_of(&client.issue("agent-1").await);
    let theirs = token_of(&other.issue("agent-1").await);
    assert_eq!(claims(&theirs)["sub"], "other");
    for path in [TOKENS.to_owned(), format!("{TOKENS}?agentId=agent-1"), format!("{TOKENS}?status=all")] {
        assert_eq!(tokens(&client.get(&path).await.json()), std::slice::from_ref(&mine));
        assert_eq!(tokens(&other.get(&path).await.json()), std::slice::from_ref(&theirs));
    }
}

#[tokio::test]
async fn the_status_chooses_and_only_live_tokens_are_signed_again() {
    let (server, client) = Server::start().await;
    let expired = token_of(&client.issue("agent-1").await);
    server.clock.set(noon().after(Duration::from_secs(305)));
    let revoked = token_of(&client.issue("agent-1").await);
    assert_eq!(client.delete(&revoked).await.status, 204);
    let live = token_of(&client.issue("agent-1").await);

    let of = async |status: &str| tokens(&client.get(&format!("{TOKENS}?status={status}")).await.json());
    let jti = |token: &str| claims(token)["jti"].as_str().unwrap().to_owned();
    assert_eq!(of("active").await, std::slice::from_ref(&live));
    assert_eq!(of("expired").await, [jti(&expired)]);
    assert_eq!(of("revoked").await, [jti(&revoked)]);
    assert_eq!(of("all").await, [live.clone(), jti(&revoked), jti(&expired)]);
    assert_eq!(tokens(&client.get(TOKENS).await.json()), [live]);
}

#[tokio::test]
async fn a_token_is_listed_until_five_seconds_past_its_exp() {
    let (server, client) = Server::start().await;
    let token = token_of(&client.issue("agent-1").await);
    server.clock.set(noon().after(Duration::from_millis(304_999)));
    assert_eq!(tokens(&client.get(TOKENS).await.json()), std::slice::from_ref(&token));
    assert!(client.is_active(&token).await);
    server.clock.set(noon().after(Duration::from_secs(305)));
    assert!(tokens(&client.get(TOKENS).await.json()).is_empty());
    assert!(!client.is_active(&token).await);
}

#[tokio::test]
async fn a_clock_that_jumps_back_loses_nothing() {
    let (server, client) = Server::start().await;
    let first = token_of(&client.issue("agent-1").await);
    server.clock.set(noon().before(Duration::from_secs(3600)));
    let second = token_of(&client.issue("agent-1").await);
    assert_eq!(tokens(&client.get(TOKENS).await.json()), [second.clone(), first.clone()], "order of issue");
    assert!(client.is_active(&first).await && client.is_active(&second).await);
    assert_eq!(client.delete(&first).await.status, 204);
    assert!(!client.is_active(&first).await);
}

#[tokio::test]
async fn after_a_rotation_live_tokens_are_still_listed_whole() {
    let (server, client) = Server::start().await;
    let before = token_of(&client.issue("agent-1").await);
    server.app.rotate_signing_keys(true).await.unwrap();
    let after = token_of(&client.issue("agent-1").await);
    assert_ne!(before.split('.').next(), after.split('.').next());
    assert_eq!(tokens(&client.get(TOKENS).await.json()), [after, before]);
}

#[tokio::test]
async fn numbers_may_be_written_as_the_sdks_write_them() {
    let (_server, client) = Server::start().await;
    for query in [
        "limit=10.0&offset=0.0",
        "limit=1000&offset=0",
        "limit=1",
        "unknown=1&x-project=2",
        "agentId=agent%2D1",
    ] {
        assert_eq!(client.get(&format!("{TOKENS}?{query}")).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn wrong_queries_are_refused_and_named_together() {
    let (_server, client) = Server::start().await;
    for (query, fields) in [
        ("limit=0", &["limit"][..]),
        ("limit=1001", &["limit"]),
        ("limit=-1", &["limit"]),
        ("limit=10.5", &["limit"]),
        ("limit=", &["limit"]),
        ("limit=1e3", &["limit"]),
        ("limit=99999999999999999999", &["limit"]),
        ("offset=-1", &["offset"]),
        ("offset=9223372036854775808", &["offset"]),
        ("agentId=", &["agentId"]),
        ("agentId=a%2Fb", &["agentId"]),
        ("status=live", &["status"]),
        ("limit=1&limit=2", &["limit"]),
        ("agentId=a&agentId=b", &["agentId"]),
        ("limit=x&offset=y&status=z", &["limit", "offset", "status"]),
    ] {
        let answer = client.get(&format!("{TOKENS}?{query}")).await;
        answer.problem(400, "invalid-request", "Invalid request");
        assert_eq!(answer.fields(), fields, "{query}");
    }
}

#[tokio::test]
async fn a_list_needs_an_api_key() {
    let (server, _client) = Server::start().await;
    server.stranger().get(TOKENS).await.problem(401, "invalid-api-key", "Invalid API key");
}

/// Runs a statement on the database as someone would who can write to it.
async fn tamper(server: &Server, sql: &'static str) {
    use sqlx::{ConnectOptions, Executor};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(server.database());
    let changed = options.connect().await.unwrap().execute(sql).await.unwrap().rows_affected();
    assert_eq!(changed, 1, "{sql}");
}

#[tokio::test]
async fn what_was_written_into_the_database_is_not_signed() {
    let (server, client) = Server::start().await;
    let jti = claims(&token_of(&client.issue("agent-1").await))["jti"].as_str().unwrap().to_owned();
    // The `sub` of the claims becomes that of another project.
    tamper(
        &server,
        r#"UPDATE tokens SET payload = replace(payload, '"sub":"default"', '"sub":"another"')
           WHERE instr(payload, '"sub":"default"') > 0"#,
    )
    .await;
    assert_eq!(tokens(&client.get(TOKENS).await.json()), [jti]);
}

#[tokio::test]
async fn a_record_moved_to_another_time_is_not_signed() {
    let (server, client) = Server::start().await;
    let jti = claims(&token_of(&client.issue("agent-1").await))["jti"].as_str().unwrap().to_owned();
    tamper(&server, "UPDATE tokens SET expires_at = expires_at + 86400000").await;
    tamper(&server, "UPDATE token_agents SET expires_at = expires_at + 86400000").await;
    assert_eq!(tokens(&client.get(TOKENS).await.json()), [jti]);
}

#[tokio::test]
async fn an_api_key_written_into_the_database_opens_nothing() {
    let (server, client) = Server::start().await;
    tamper(&server, "UPDATE api_keys SET gateway = 1").await;
    tamper(&server, "UPDATE versions SET version = version + 1 WHERE name = 'api_keys'").await;
    server.app.refresh().await.unwrap();
    client.get(TOKENS).await.problem(401, "invalid-api-key", "Invalid API key");
}

#[tokio::test]
async fn an_api_key_that_lists_too_often_waits_and_no_other_does() {
    let (server, client) = Server::start_with(Settings { lists_per_minute: 2, ..settings() }).await;
    for _ in 0..2 {
        assert_eq!(client.get(TOKENS).await.status, 200);
    }
    let answer = client.get(TOKENS).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["reason"]), (429, &json!("too_many_lists")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("`limits.lists_per_minute`"), "{body}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait} s");

    assert_eq!(server.client_of("default").await.get(TOKENS).await.status, 200, "another key");
    client.issue("agent-1").await;
    // A mistake is told as such, and counts for nothing.
    client.get(&format!("{TOKENS}?limit=0")).await.problem(400, "invalid-request", "Invalid request");
}
