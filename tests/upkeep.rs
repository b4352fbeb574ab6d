//! What happens without a request: keys turn, records go, changes by other processes are noticed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hallpass::app::{App, AppError, Settings};
use hallpass::clock::{ManualClock, Timestamp};
use hallpass::keys::{Algorithm, MasterKeySource};
use hallpass::store::{ListQuery, SqliteStore, Status, Store};
use hallpass::token::{AgentId, Limits, TokenRequest};
use serde_json::json;

const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> Settings {
    Settings {
        issuer: "https://tokens.example.com".to_owned(),
        audience: "letta".to_owned(),
        limits: Limits { default_ttl: Duration::from_secs(300), max_ttl: DAY },
        max_token_bytes: 8192,
        algorithm: Algorithm::EdDSA,
        rotate_every: DAY * 90,
        retention: DAY * 30,
        max_staleness: DAY,
        lists_per_minute: 0,
    }
}

/// A process with the database open: a server or a command.
async fn process(dir: &Path, clock: &Arc<ManualClock>, settings: Settings) -> Result<App, AppError> {
    let path = dir.join("hallpass.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, false).await.unwrap());
    App::open(store, clock.clone(), settings, &MasterKeySource::beside(&path), None).await
}

async fn start() -> (tempfile::TempDir, Arc<ManualClock>, App) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_769_860_800_000)));
    let app = process(dir.path(), &clock, settings()).await.unwrap();
    (dir, clock, app)
}

async fn issue(app: &App) -> String {
    let key = app.create_api_key("test", &"default".parse().unwrap(), false).await.unwrap().0;
    let body = json!({"hostname": "https://a.example", "policy": [{"type": "agent", "id": "a", "access": ["read_agent"]}]});
    let request = TokenRequest::parse(&body, app.now(), &app.settings.limits).unwrap();
    let project = app.store.projects().await.unwrap().remove(0);
    app.issue(&project, &key.id, request).await.unwrap().token
}

fn states(app: &App) -> Vec<&'static str> {
    let mut states: Vec<_> = app.ring().keys().iter().map(|key| key.state.as_str()).collect();
    states.sort_unstable();
    states
}

#[tokio::test]
async fn a_key_that_has_signed_for_long_enough_hands_over_to_the_next() {
    let (_dir, clock, app) = start().await;
    let token = issue(&app).await;
    let next =
        app.ring().keys().iter().find(|key| key.state.as_str() == "next").unwrap().signing.kid().to_owned();

    clock.advance(DAY * 90 - Duration::from_millis(1));
    app.tend_signing_keys().await.unwrap();
    assert_eq!(states(&app), ["active", "next"], "not before its time");

    clock.advance(Duration::from_millis(1));
    app.tend_signing_keys().await.unwrap();
    assert_eq!(states(&app), ["active", "next", "retired"]);
    assert_eq!(app.ring().active().kid(), next, "the key that verifiers know already");
    assert_ne!(issue(&app).await.split('.').next(), token.split('.').next());
    app.tend_signing_keys().await.unwrap();
    assert_eq!(states(&app), ["active", "next", "retired"], "once");
}

#[tokio::test]
async fn a_retired_key_is_destroyed_once_no_token_of_it_can_live() {
    let (_dir, clock, app) = start().await;
    app.rotate_signing_keys(true).await.unwrap();
    clock.advance(DAY);
    app.tend_signing_keys().await.unwrap();
    assert_eq!(states(&app), ["active", "next", "retired"]);
    clock.advance(Duration::from_secs(125));
    app.tend_signing_keys().await.unwrap();
    assert_eq!(states(&app), ["active", "next"]);
    assert_eq!(app.store.signing_keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_adopts_the_configured_algorithm_and_a_command_does_not() {
    let (dir, clock, server) = start().await;
    let token = issue(&server).await;
    let other = Settings { algorithm: Algorithm::ES256, ..settings() };

    let command = process(dir.path(), &clock, other.clone()).await.unwrap();
    assert_eq!(command.ring().active().algorithm(), Algorithm::EdDSA);

    let restarted = process(dir.path(), &clock, other).await.unwrap();
    restarted.adopt_algorithm().await.unwrap();
    assert_eq!(restarted.ring().active().algorithm(), Algorithm::ES256);
    assert!(restarted.ring().verify(&token, restarted.now()).is_ok(), "tokens signed before stay good");
    restarted.adopt_algorithm().await.unwrap();
    assert_eq!(states(&restarted), ["active", "next", "retired"], "once");
}

#[tokio::test]
async fn a_server_notices_what_a_command_changes() {
    let (dir, clock, server) = start().await;
    let command = process(dir.path(), &clock, settings()).await.unwrap();
    assert!(!server.has_api_keys());

    let (key, _) = command.create_api_key("backend", &"default".parse().unwrap(), true).await.unwrap();
    server.refresh().await.unwrap();
    let seen = server.authenticate(&key.secret).unwrap();
    assert!(seen.gateway && seen.id == key.id);

    let agents = [AgentId::parse("agent-1").unwrap()];
    command.store.set_project_agents("default", Some(&agents)).await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(server.authenticate(&key.secret).unwrap().project.agents.as_deref(), Some(&agents[..]));

    command.rotate_signing_keys(true).await.unwrap();
    server.refresh().await.unwrap();
    assert_eq!(server.ring().active().kid(), command.ring().active().kid());

    command.revoke_api_key(&key.id, false).await.unwrap();
    server.refresh().await.unwrap();
    assert!(server.authenticate(&key.secret).is_none());
}

#[tokio::test]
async fn the_last_use_of_a_key_survives_a_reload_and_is_written_once() {
    let (_dir, clock, app) = start().await;
    let (key, _) = app.create_api_key("backend", &"default".parse().unwrap(), false).await.unwrap();
    app.refresh().await.unwrap();
    clock.advance(Duration::from_secs(9));
    let used_at = app.now();
    app.authenticate(&key.secret).unwrap();
    app.create_api_key("another", &"default".parse().unwrap(), false).await.unwrap();
    app.refresh().await.unwrap();
    let noted = async || app.store.api_keys().await.unwrap().remove(0).last_used_at;
    assert_eq!(noted().await, None, "no write for a request");
    app.note_api_key_uses().await.unwrap();
    assert_eq!(noted().await, Some(used_at));
}

#[tokio::test]
async fn records_go_once_their_retention_is_over() {
    let (_dir, clock, app) = start().await;
    issue(&app).await;
    let kept = async || {
        let query = ListQuery {
            project_id: 1,
            agent: None,
            status: Status::All,
            now: app.now(),
            limit: 10,
            offset: 0,
        };
        app.list(&query).await.unwrap().tokens.len()
    };
    // Past its leeway, and past what clocks may differ by.
    clock.advance(Duration::from_secs(300 + 64) + DAY * 30);
    assert!(!app.prune().await.unwrap());
    assert_eq!(kept().await, 1);
    clock.advance(Duration::from_secs(1));
    assert!(!app.prune().await.unwrap());
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn processes_that_start_at_once_on_a_new_database_agree() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_769_860_800_000)));
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let (dir, clock) = (dir.path().to_owned(), clock.clone());
            tokio::spawn(async move { process(&dir, &clock, settings()).await })
        })
        .collect();
    let mut kids = Vec::new();
    for start in starts {
        kids.push(start.await.unwrap().unwrap().ring().active().kid().to_owned());
    }
    kids.dedup();
    assert_eq!(kids.len(), 1, "one ring, whoever made it");
}

#[tokio::test]
async fn a_token_issued_after_all_others_were_removed_is_listed() {
    let (_dir, clock, app) = start().await;
    let live = async || {
        let query = ListQuery {
            project_id: 1,
            agent: None,
            status: Status::Active,
            now: app.now(),
            limit: 10,
            offset: 0,
        };
        app.list(&query).await.unwrap().tokens.len()
    };
    for _ in 0..3 {
        issue(&app).await;
    }
    clock.advance(DAY * 31);
    assert_eq!(live().await, 0);
    app.prune().await.unwrap();
    issue(&app).await;
    assert_eq!(live().await, 1);
    clock.set(app.now().before(DAY * 31));
    issue(&app).await;
    assert_eq!(live().await, 2, "whatever the clock says");
}

#[tokio::test]
async fn a_key_that_is_not_known_yet_is_looked_for() {
    let (dir, clock, app) = start().await;
    let other = process(dir.path(), &clock, settings()).await.unwrap();
    // Twice: the next key was known to both.
    for _ in 0..2 {
        app.rotate_signing_keys(true).await.unwrap();
    }
    let token = issue(&app).await;
    assert!(other.ring().verify(&token, other.now()).is_err(), "it was not told");
    assert!(other.judge(&token).await.is_ok());
}
