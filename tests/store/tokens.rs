//! Issuing, finding and revoking one token.

use std::time::Duration;

use hallpass::store::{RevokeFilter, Status};

use crate::database::Database;
use crate::draft::{DEFAULT, api_key, at, draft, ids, key_id, query, start};

pub(crate) async fn an_issued_token_is_found_as_it_was_given(database: &Database) {
    let store = database.open().await;
    let record = draft(1).agents(&["agent-1", "agent-\"\\2'"]).record();
    assert!(store.issue(record.clone()).await.unwrap());

    let found = store.find(record.jti).await.unwrap().unwrap();
    assert_eq!(found.jti, record.jti);
    assert_eq!(found.project_id, record.project_id);
    assert_eq!(*found.api_key_id, *record.api_key_id.0);
    assert_eq!(found.expires_at, record.expires_at);
    assert_eq!(found.seal, record.seal);
    assert_eq!(found.revoked_at, None);
    assert_eq!((&*found.kid, &found.payload), (&*record.kid, &record.payload));
    assert_eq!(store.list(&query(Status::Active, None)).await.unwrap().tokens, [found]);
}

pub(crate) async fn a_token_that_was_never_issued_is_not_found(database: &Database) {
    let store = database.open().await;
    draft(1).issue(&*store).await;
    assert_eq!(store.find(draft(2).jti()).await.unwrap(), None);
}

pub(crate) async fn an_id_is_issued_once(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).issue(&*store).await;
    let again = draft(1).agents(&["agent-2"]).expires(at(900)).record();
    assert!(store.issue(again).await.is_err());

    assert_eq!(store.find(jti).await.unwrap().unwrap().expires_at, at(300), "the first stands");
    assert!(ids(&*store, &query(Status::All, Some("agent-2"))).await.is_empty(), "nothing was half done");
    let next = draft(2).issue(&*store).await;
    assert_eq!(ids(&*store, &query(Status::All, None)).await, [next, jti], "and writing goes on");
}

pub(crate) async fn a_revoked_token_keeps_the_time_of_its_first_revocation(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).issue(&*store).await;
    assert!(store.revoke(DEFAULT, jti, at(10)).await.unwrap());
    assert!(store.revoke(DEFAULT, jti, at(20)).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, Some(at(10)));
}

/// Should the clock be set back, it stays revoked.
pub(crate) async fn what_is_over_can_be_revoked_too(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).expires(at(300)).issue(&*store).await;
    assert!(store.revoke(DEFAULT, jti, at(1000)).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, Some(at(1000)));
}

pub(crate) async fn revoking_what_was_never_issued_says_so(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).issue(&*store).await;
    assert!(!store.revoke(DEFAULT, draft(2).jti(), start()).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, None);
}

pub(crate) async fn a_project_revokes_only_its_own(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    let jti = draft(1).project(other).issue(&*store).await;
    assert!(!store.revoke(DEFAULT, jti, start()).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, None);
    assert!(store.revoke(other, jti, start()).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, Some(start()));
}

/// Expired is `now >= exp + 5 s`, and `exp` is the whole second at or before the end.
pub(crate) async fn a_token_is_live_for_five_seconds_past_its_whole_second(database: &Database) {
    let store = database.open().await;
    store.create_api_key(&api_key("key_b", start())).await.unwrap();
    let [at_its_start, near_its_end] = [0, 999].map(|millis| at(300).after(Duration::from_millis(millis)));
    let last_live = at(304).after(Duration::from_millis(999));
    let over = at(305);
    let tokens = [
        (1, "key_a", at_its_start),
        (2, "key_a", near_its_end),
        (3, "key_b", at_its_start),
        (4, "key_b", near_its_end),
    ];
    for (number, key, ends) in tokens {
        draft(number).api_key(key).expires(ends).issue(&*store).await;
    }
    let listed = async |status, now| {
        let mut query = query(status, Some("agent-1"));
        query.now = now;
        let of_agent = ids(&*store, &query).await.len();
        query.agent = None;
        assert_eq!(ids(&*store, &query).await.len(), of_agent);
        of_agent
    };

    assert_eq!((listed(Status::Active, last_live).await, listed(Status::Expired, last_live).await), (4, 0));
    assert_eq!((listed(Status::Active, over).await, listed(Status::Expired, over).await), (0, 4));

    assert_eq!(store.revoke_where(&RevokeFilter::default(), over).await.unwrap(), 0);
    assert_eq!(store.revoke_api_key(&key_id("key_b"), false, over).await.unwrap(), Some(0));
    assert_eq!(listed(Status::Revoked, over).await, 0, "what is over isn't revoked with the live ones");

    assert!(store.revoke(DEFAULT, draft(1).jti(), last_live).await.unwrap());
    assert_eq!(listed(Status::Revoked, last_live).await, 1);
    assert_eq!(store.revoke_api_key(&key_id("key_b"), false, last_live).await.unwrap(), Some(2));
    assert_eq!(store.revoke_where(&RevokeFilter::default(), last_live).await.unwrap(), 1);
}

pub(crate) async fn the_last_expiry_is_that_of_all_tokens(database: &Database) {
    let store = database.open().await;
    assert_eq!(store.last_expiry().await.unwrap(), None);
    draft(1).expires(at(900)).issue(&*store).await;
    draft(2).expires(at(300)).issue(&*store).await;
    assert_eq!(store.last_expiry().await.unwrap(), Some(at(900)));
}
