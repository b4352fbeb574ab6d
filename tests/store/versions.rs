//! The counters by which a server learns that another process changed something.

use hallpass::store::{RevokeFilter, Store, Versions};

use crate::database::Database;
use crate::draft::{DEFAULT, agent, api_key, at, draft, ids, key_id, query, start};
use crate::signing_keys::sealed;

/// Which counters have moved since; none ever goes back.
async fn moved(store: &dyn Store, since: &mut Versions) -> (bool, bool) {
    let now = store.versions().await.unwrap();
    assert!(now.api_keys >= since.api_keys && now.signing_keys >= since.signing_keys);
    let moved = (now.api_keys != since.api_keys, now.signing_keys != since.signing_keys);
    *since = now;
    moved
}

const NOTHING: (bool, bool) = (false, false);
const API_KEYS: (bool, bool) = (true, false);
const SIGNING_KEYS: (bool, bool) = (false, true);

pub(crate) async fn changes_of_api_keys_and_projects_move_their_version_alone(database: &Database) {
    let store = database.open().await;
    let mut seen = store.versions().await.unwrap();
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    assert_eq!(moved(&*store, &mut seen).await, API_KEYS);
    store.set_project_agents("default", Some(&[agent("a")])).await.unwrap();
    assert_eq!(moved(&*store, &mut seen).await, API_KEYS);
    store.revoke_api_key(&key_id("key_a"), true, at(1)).await.unwrap();
    assert_eq!(moved(&*store, &mut seen).await, API_KEYS);
}

pub(crate) async fn changes_of_signing_keys_move_their_version_alone(database: &Database) {
    let store = database.open().await;
    let mut seen = store.versions().await.unwrap();
    store.replace_signing_keys(seen.signing_keys, &[sealed("one", 1)]).await.unwrap();
    assert_eq!(moved(&*store, &mut seen).await, SIGNING_KEYS);
}

/// Or every server would read all its keys again whenever a token is issued.
pub(crate) async fn tokens_and_uses_move_no_version(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let mut seen = store.versions().await.unwrap();
    let jti = draft(1).issue(&*store).await;
    draft(2).issue(&*store).await;
    store.revoke(DEFAULT, jti, at(1)).await.unwrap();
    store.revoke_where(&RevokeFilter::default(), at(1)).await.unwrap();
    store.prune(at(1000), 500).await.unwrap();
    store.note_api_key_uses(&[(key_id("key_a"), at(1))]).await.unwrap();
    store.probe().await.unwrap();
    assert!(ids(&*store, &query(hallpass::store::Status::All, None)).await.is_empty());
    assert_eq!(moved(&*store, &mut seen).await, NOTHING);
}

pub(crate) async fn what_changed_nothing_moves_no_version(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_a", start())).await.unwrap();
    let mut seen = store.versions().await.unwrap();
    assert!(!store.replace_signing_keys(seen.signing_keys + 1, &[]).await.unwrap());
    assert_eq!(moved(&*store, &mut seen).await, NOTHING, "a stale ring");
    assert!(store.create_api_key(&api_key("key_a", at(1))).await.is_err());
    assert_eq!(moved(&*store, &mut seen).await, NOTHING, "a key that exists");
    assert_eq!(store.revoke_api_key(&key_id("unknown"), false, at(1)).await.unwrap(), None);
    assert_eq!(moved(&*store, &mut seen).await, NOTHING, "an unknown key");
    assert!(!store.set_project_agents("unknown", None).await.unwrap());
    assert_eq!(moved(&*store, &mut seen).await, NOTHING, "an unknown project");
}
