//! Removing records that are past their retention.

use std::time::Duration;

use hallpass::store::{Status, Store};

use crate::database::Database;
use crate::draft::{DEFAULT, at, draft, ids, query};

/// Removes all that expired before the cutoff, in batches of that size; the sizes that they had.
async fn prune(store: &dyn Store, cutoff_seconds: u64, limit: u32) -> Vec<u64> {
    let mut batches = Vec::new();
    loop {
        match store.prune(at(cutoff_seconds), limit).await.unwrap() {
            0 => return batches,
            removed => batches.push(removed),
        }
    }
}

pub(crate) async fn only_what_expired_before_the_cutoff_is_removed(database: &Database) {
    let store = database.open().await;
    let before = draft(1).expires(at(100).before(Duration::from_millis(1))).issue(&*store).await;
    let at_cutoff = draft(2).expires(at(100)).issue(&*store).await;
    let after = draft(3).expires(at(101)).issue(&*store).await;
    assert_eq!(prune(&*store, 100, 500).await, [1]);
    assert_eq!(store.find(before).await.unwrap(), None);
    assert_eq!(ids(&*store, &query(Status::All, None)).await, [after, at_cutoff]);
    assert!(!store.revoke(DEFAULT, before, at(0)).await.unwrap(), "what is removed is unknown");
}

pub(crate) async fn a_batch_has_at_most_its_limit(database: &Database) {
    let store = database.open().await;
    for number in 0..7 {
        draft(number).expires(at(u64::from(number))).issue(&*store).await;
    }
    assert_eq!(prune(&*store, 6, 2).await, [2, 2, 2]);
    assert_eq!(ids(&*store, &query(Status::All, None)).await.len(), 1);
}

pub(crate) async fn what_expired_before_the_cutoff_is_counted_up_to_a_bound(database: &Database) {
    let store = database.open().await;
    assert_eq!(store.count_expired(at(6), 10).await.unwrap(), 0);
    for number in 0..7 {
        draft(number).expires(at(u64::from(number))).issue(&*store).await;
    }
    for (cutoff, most, count) in [(0, 10, 0), (6, 10, 6), (7, 10, 7), (7, 7, 7), (7, 3, 3)] {
        assert_eq!(store.count_expired(at(cutoff), most).await.unwrap(), count, "{cutoff} {most}");
    }
}

pub(crate) async fn lists_are_right_after_pruning(database: &Database) {
    let store = database.open().await;
    let mut kept = Vec::new();
    for number in 0..10 {
        let expires = at(if number % 2 == 0 { 10 } else { 1000 });
        let agents: &[_] = if number % 3 == 0 { &["a", "b", "a"] } else { &["a"] };
        let jti = draft(number).agents(agents).expires(expires).issue(&*store).await;
        if number % 2 == 1 {
            kept.insert(0, (number, jti));
        }
    }
    prune(&*store, 500, 3).await;

    let all: Vec<_> = kept.iter().map(|(_, jti)| *jti).collect();
    assert_eq!(ids(&*store, &query(Status::All, None)).await, all);
    assert_eq!(ids(&*store, &query(Status::All, Some("a"))).await, all);
    let of_b: Vec<_> = kept.iter().filter(|(number, _)| number % 3 == 0).map(|(_, jti)| *jti).collect();
    assert_eq!(ids(&*store, &query(Status::All, Some("b"))).await, of_b);
    let mut page = query(Status::All, Some("a"));
    (page.limit, page.offset) = (3, 2);
    assert_eq!(ids(&*store, &page).await, all[2..]);
    assert!(!store.list(&page).await.unwrap().has_next, "what is removed fills no page");
}

pub(crate) async fn a_revoked_token_stays_until_its_cutoff_too(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).expires(at(100)).issue(&*store).await;
    store.revoke(DEFAULT, jti, at(1)).await.unwrap();
    assert!(prune(&*store, 100, 500).await.is_empty());
    assert_eq!(ids(&*store, &query(Status::Revoked, Some("agent-1"))).await, [jti]);
    assert_eq!(prune(&*store, 101, 500).await, [1]);
    assert!(ids(&*store, &query(Status::Revoked, Some("agent-1"))).await.is_empty());
}

/// The place of a removed token may be taken by another, which must inherit nothing from it.
pub(crate) async fn a_token_issued_after_the_newest_was_removed_is_in_its_own_lists_alone(
    database: &Database,
) {
    let store = database.open().await;
    let older = draft(1).agents(&["a"]).expires(at(1000)).issue(&*store).await;
    draft(2).agents(&["b"]).expires(at(10)).issue(&*store).await;
    prune(&*store, 500, 500).await;
    let newer = draft(3).agents(&["c"]).expires(at(1000)).issue(&*store).await;

    assert_eq!(ids(&*store, &query(Status::All, None)).await, [newer, older]);
    assert_eq!(ids(&*store, &query(Status::All, Some("a"))).await, [older]);
    assert!(ids(&*store, &query(Status::All, Some("b"))).await.is_empty());
    assert_eq!(ids(&*store, &query(Status::All, Some("c"))).await, [newer]);
}
