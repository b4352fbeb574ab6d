//! API keys and the projects that they belong to.

use std::collections::HashSet;

use hallpass::keys::{ApiKeyHash, Project};
use hallpass::store::{ApiKeyRecord, Status, Store, StoredApiKey};

use crate::database::Database;
use crate::draft::{DEFAULT, agent, api_key, at, draft, ids, key_id, query, start};

async fn only_key(store: &dyn Store) -> StoredApiKey {
    let mut keys = store.api_keys().await.unwrap();
    assert_eq!(keys.len(), 1);
    keys.remove(0)
}

pub(crate) async fn keys_come_back_as_they_were_made_oldest_first(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    let newer = ApiKeyRecord { project_id: other, gateway: true, ..api_key("key_newer", at(20)) };
    let older = api_key("key_older", at(10));
    store.create_api_key(&newer).await.unwrap();
    store.create_api_key(&older).await.unwrap();
    store.revoke_api_key(&older.id, false, at(30)).await.unwrap();

    let keys = store.api_keys().await.unwrap();
    assert_eq!(keys.len(), 2, "revoked ones too");
    for (key, made) in keys.iter().zip([&older, &newer]) {
        assert_eq!(key.record.id, made.id);
        assert_eq!(key.record.project_id, made.project_id);
        assert_eq!(key.record.name, made.name);
        assert_eq!(key.record.hash, made.hash);
        assert_eq!(key.record.gateway, made.gateway);
        assert_eq!(key.record.created_at, made.created_at);
        assert_eq!(key.record.seal, made.seal);
        assert_eq!(key.last_used_at, None);
    }
    assert_eq!([keys[0].revoked_at, keys[1].revoked_at], [Some(at(30)), None]);
}

pub(crate) async fn a_key_id_and_a_hash_are_taken_once(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let same_id = ApiKeyRecord { hash: ApiKeyHash::of("another"), ..api_key("key_a", at(1)) };
    let same_hash = ApiKeyRecord { hash: ApiKeyHash::of("key_a"), ..api_key("key_b", at(1)) };
    assert!(store.create_api_key(&same_id).await.is_err());
    assert!(store.create_api_key(&same_hash).await.is_err());
    assert_eq!(only_key(&*store).await.record.created_at, start());
    store.create_api_key(&api_key("key_c", at(2))).await.unwrap();
}

pub(crate) async fn revoking_a_key_revokes_the_live_tokens_it_issued(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let over = draft(1).expires(at(10)).issue(&*store).await;
    let earlier = draft(2).expires(at(900)).issue(&*store).await;
    store.revoke(DEFAULT, earlier, at(1)).await.unwrap();
    let live = [draft(3), draft(4).agents(&["b"])].map(|token| token.expires(at(900)));
    for token in &live {
        token.clone().issue(&*store).await;
    }
    let others = draft(5).api_key("key_b").expires(at(900)).issue(&*store).await;

    assert_eq!(store.revoke_api_key(&key_id("key_a"), false, at(100)).await.unwrap(), Some(2));
    let revoked_at = async |jti| store.find(jti).await.unwrap().unwrap().revoked_at;
    for token in &live {
        assert_eq!(revoked_at(token.jti()).await, Some(at(100)));
    }
    assert_eq!(
        [revoked_at(over).await, revoked_at(earlier).await, revoked_at(others).await],
        [None, Some(at(1)), None]
    );
}

/// A server that hasn't noticed the revocation yet must not issue past it.
pub(crate) async fn a_revoked_key_issues_nothing(database: &Database) {
    let store = database.open().await;
    for key in ["key_a", "key_b"] {
        store.create_api_key(&api_key(key, start())).await.unwrap();
    }
    store.revoke_api_key(&key_id("key_b"), true, at(1)).await.unwrap();
    // Together, so that they share transactions: each is judged by its own key. `static` is the key
    // of the environment, which no database holds.
    let tasks: Vec<_> = (0..90)
        .map(|number| {
            let key = ["key_a", "key_b", "static"][usize::from(number % 3)];
            let token = draft(number).api_key(key).agents(&["agent-1", key]);
            let store = store.clone();
            tokio::spawn(async move { (token.jti(), key, store.issue(token.record()).await.unwrap()) })
        })
        .collect();
    let mut kept = HashSet::new();
    for task in tasks {
        let (jti, key, issued) = task.await.unwrap();
        assert_eq!(issued, key != "key_b", "{key}");
        assert_eq!(store.find(jti).await.unwrap().is_some(), issued);
        if issued {
            kept.insert(jti);
        }
    }
    for of_agent in [None, Some("agent-1")] {
        let listed = ids(&*store, &query(Status::All, of_agent)).await;
        assert_eq!((listed.len(), listed.into_iter().collect()), (60, kept.clone()));
    }
    for (key, count) in [("key_a", 30), ("key_b", 0), ("static", 30)] {
        let listed = store.list(&query(Status::All, Some(key))).await.unwrap().tokens;
        assert_eq!(listed.len(), count);
        assert!(listed.iter().all(|token| token.api_key_id == key));
    }
}

pub(crate) async fn a_keys_tokens_may_be_kept(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let jti = draft(1).issue(&*store).await;
    assert_eq!(store.revoke_api_key(&key_id("key_a"), true, at(1)).await.unwrap(), Some(0));
    assert_eq!(only_key(&*store).await.revoked_at, Some(at(1)));
    assert_eq!(ids(&*store, &query(Status::Active, None)).await, [jti]);
}

pub(crate) async fn revoking_a_key_again_keeps_its_time_and_takes_the_tokens_that_were_kept(
    database: &Database,
) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let jti = draft(1).issue(&*store).await;
    store.revoke_api_key(&key_id("key_a"), true, at(1)).await.unwrap();
    assert_eq!(store.revoke_api_key(&key_id("key_a"), false, at(2)).await.unwrap(), Some(1));
    assert_eq!(only_key(&*store).await.revoked_at, Some(at(1)));
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, Some(at(2)));
}

pub(crate) async fn revoking_an_unknown_key_says_so(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).api_key("key_gone").issue(&*store).await;
    assert_eq!(store.revoke_api_key(&key_id("key_gone"), false, start()).await.unwrap(), None);
    assert_eq!(ids(&*store, &query(Status::Active, None)).await, [jti], "nothing was done");
    // And nothing is left open that would hold up the next write.
    draft(2).issue(&*store).await;
}

pub(crate) async fn uses_are_noted_and_never_go_back(database: &Database) {
    let store = database.open().await;
    for id in ["key_a", "key_b", "key_c"] {
        store.create_api_key(&api_key(id, start())).await.unwrap();
    }
    store.note_api_key_uses(&[(key_id("key_a"), at(50)), (key_id("key_b"), at(60))]).await.unwrap();
    store.note_api_key_uses(&[(key_id("key_a"), at(40)), (key_id("key_b"), at(70))]).await.unwrap();
    let used: Vec<_> = store.api_keys().await.unwrap().iter().map(|key| key.last_used_at).collect();
    assert_eq!(used, [Some(at(50)), Some(at(70)), None]);
}

pub(crate) async fn uses_of_unknown_keys_are_ignored(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    store.note_api_key_uses(&[]).await.unwrap();
    store.note_api_key_uses(&[(key_id("static"), at(1)), (key_id("key_a"), at(2))]).await.unwrap();
    assert_eq!(only_key(&*store).await.last_used_at, Some(at(2)));
}

pub(crate) async fn there_is_a_default_project_that_may_issue_for_any_agent(database: &Database) {
    let store = database.open().await;
    let default = Project { id: DEFAULT, name: "default".to_owned(), agents: None };
    assert_eq!(store.projects().await.unwrap(), [default]);
}

pub(crate) async fn a_project_is_made_once(database: &Database) {
    let store = database.open().await;
    let made = store.ensure_project("other", start()).await.unwrap();
    assert_eq!((made.name.as_str(), &made.agents), ("other", &None));
    store.set_project_agents("other", Some(&[agent("a")])).await.unwrap();
    let found = store.ensure_project("other", at(1)).await.unwrap();
    assert_eq!((found.id, found.agents), (made.id, Some(vec![agent("a")])));
    let names: Vec<_> = store.projects().await.unwrap().into_iter().map(|project| project.name).collect();
    assert_eq!(names, ["default", "other"]);
}

pub(crate) async fn a_projects_list_of_agents_is_set_and_taken_away(database: &Database) {
    let store = database.open().await;
    let agents = async || store.projects().await.unwrap().remove(0).agents;
    for list in [Some(vec![agent("a"), agent("b\"\\")]), Some(vec![]), None] {
        assert!(store.set_project_agents("default", list.as_deref()).await.unwrap());
        assert_eq!(agents().await, list);
    }
    assert!(!store.set_project_agents("unknown", None).await.unwrap());
    assert_eq!(store.projects().await.unwrap().len(), 1);
}

pub(crate) async fn a_key_needs_a_project(database: &Database) {
    let store = database.open().await;
    let stray = ApiKeyRecord { project_id: 999, ..api_key("key_a", start()) };
    assert!(store.create_api_key(&stray).await.is_err());
    assert!(store.api_keys().await.unwrap().is_empty());
}
