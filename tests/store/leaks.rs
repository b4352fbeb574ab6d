//! Revoking many tokens at once: the answer to a leak.

use hallpass::store::{RevokeFilter, Status, Store};
use hallpass::token::TokenId;

use crate::database::Database;
use crate::draft::{DEFAULT, agent, at, draft, ids, key_id, origin, query, start};

/// Revokes what fits, which must be that many; returns what is still live in the default project.
async fn revoke(store: &dyn Store, filter: RevokeFilter, expected: u64) -> Vec<TokenId> {
    assert_eq!(store.revoke_where(&filter, start()).await.unwrap(), expected, "{filter:?}");
    assert_eq!(store.revoke_where(&filter, start()).await.unwrap(), 0, "nothing is left of {filter:?}");
    ids(store, &query(Status::Active, None)).await
}

pub(crate) async fn without_a_condition_every_live_token_is_revoked(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    draft(1).issue(&*store).await;
    let theirs = draft(2).project(other).api_key("key_b").issue(&*store).await;
    assert!(revoke(&*store, RevokeFilter::default(), 2).await.is_empty());
    assert_eq!(store.find(theirs).await.unwrap().unwrap().revoked_at, Some(start()));
}

pub(crate) async fn each_condition_revokes_only_what_fits(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    let of_project = draft(1).project(other).issue(&*store).await;
    let of_agent = draft(2).agents(&["agent-1", "leaky"]).issue(&*store).await;
    let of_origin = draft(3).hostname("https://LEAKY.example.com:443/app").issue(&*store).await;
    let of_key = draft(4).api_key("key_b").issue(&*store).await;
    let rest = draft(5).issue(&*store).await;

    let filter = RevokeFilter { project_id: Some(other), ..Default::default() };
    assert_eq!(revoke(&*store, filter, 1).await, [rest, of_key, of_origin, of_agent]);
    assert!(store.find(of_project).await.unwrap().unwrap().revoked_at.is_some());

    let filter = RevokeFilter { agent: Some(agent("leaky")), ..Default::default() };
    assert_eq!(revoke(&*store, filter, 1).await, [rest, of_key, of_origin]);

    let filter = RevokeFilter { origin: Some(origin("https://leaky.example.com")), ..Default::default() };
    assert_eq!(revoke(&*store, filter, 1).await, [rest, of_key]);

    let filter = RevokeFilter { api_key: Some(key_id("key_b")), ..Default::default() };
    assert_eq!(revoke(&*store, filter, 1).await, [rest]);

    let filter = RevokeFilter { agent: Some(agent("unknown")), ..Default::default() };
    assert_eq!(revoke(&*store, filter, 0).await, [rest]);
}

pub(crate) async fn conditions_hold_together(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    let like = |number| draft(number).agents(&["a"]).hostname("https://a.example").api_key("key_a");
    let jti = like(1).issue(&*store).await;
    let near = [
        like(2).agents(&["b"]).issue(&*store).await,
        like(3).hostname("https://b.example").issue(&*store).await,
        like(4).api_key("key_b").issue(&*store).await,
    ];
    let foreign = like(5).project(other).issue(&*store).await;

    let all_four = RevokeFilter {
        project_id: Some(DEFAULT),
        agent: Some(agent("a")),
        origin: Some(origin("https://a.example")),
        api_key: Some(key_id("key_a")),
    };
    let left = revoke(&*store, all_four, 1).await;
    assert_eq!(left, near.iter().rev().copied().collect::<Vec<_>>());
    assert!(store.find(jti).await.unwrap().unwrap().revoked_at.is_some());
    assert!(store.find(foreign).await.unwrap().unwrap().revoked_at.is_none());

    let two = RevokeFilter { agent: Some(agent("a")), api_key: Some(key_id("key_a")), ..Default::default() };
    assert_eq!(revoke(&*store, two, 2).await, [near[2], near[0]], "without a project, in every project");
}

pub(crate) async fn a_token_that_names_an_agent_twice_is_revoked_and_counted_once(database: &Database) {
    let store = database.open().await;
    draft(1).agents(&["a", "b", "a"]).issue(&*store).await;
    let filter = RevokeFilter { agent: Some(agent("a")), ..Default::default() };
    assert!(revoke(&*store, filter, 1).await.is_empty());
}

pub(crate) async fn what_is_over_or_revoked_is_neither_touched_nor_counted(database: &Database) {
    let store = database.open().await;
    let over = draft(1).expires(at(10)).issue(&*store).await;
    let revoked = draft(2).expires(at(900)).issue(&*store).await;
    let live = draft(3).expires(at(900)).issue(&*store).await;
    store.revoke(DEFAULT, revoked, at(1)).await.unwrap();

    assert_eq!(store.revoke_where(&RevokeFilter::default(), at(100)).await.unwrap(), 1);
    let revoked_at = async |jti| store.find(jti).await.unwrap().unwrap().revoked_at;
    assert_eq!(
        [revoked_at(over).await, revoked_at(revoked).await, revoked_at(live).await],
        [None, Some(at(1)), Some(at(100))]
    );
}
