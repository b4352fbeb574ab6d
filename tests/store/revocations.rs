//! What servers keep in memory of revoked tokens.

use std::collections::BTreeSet;

use hallpass::store::{Revocations, RevokeFilter, Store};
use hallpass::token::TokenId;

use crate::database::Database;
use crate::draft::{DEFAULT, at, draft, start};

fn told(found: &Revocations) -> BTreeSet<TokenId> {
    found.tokens.iter().map(|(jti, _)| *jti).collect()
}

async fn issue_and_revoke(store: &dyn Store, number: u16) -> TokenId {
    let jti = draft(number).issue(store).await;
    assert!(store.revoke(DEFAULT, jti, start()).await.unwrap());
    jti
}

pub(crate) async fn the_first_look_tells_of_every_revoked_token_that_is_not_over(database: &Database) {
    let store = database.open().await;
    let revoked = issue_and_revoke(&*store, 1).await;
    draft(2).issue(&*store).await;
    let over = draft(3).expires(at(10)).issue(&*store).await;
    store.revoke(DEFAULT, over, start()).await.unwrap();

    let found = store.revocations(None, at(60)).await.unwrap();
    assert!(found.whole);
    assert_eq!(found.tokens, [(revoked, at(300))]);
}

pub(crate) async fn a_later_look_tells_of_what_came_after(database: &Database) {
    let (store, other) = (database.open().await, database.open().await);
    let before = issue_and_revoke(&*store, 1).await;
    let first = store.revocations(None, start()).await.unwrap();
    assert_eq!(told(&first), [before].into());

    let [one, two] = [issue_and_revoke(&*store, 2).await, issue_and_revoke(&*other, 3).await];
    let second = store.revocations(Some(first.next), start()).await.unwrap();
    assert!(!second.whole && told(&second).is_superset(&[one, two].into()));

    draft(4).issue(&*other).await;
    assert_eq!(other.revoke_where(&RevokeFilter::default(), start()).await.unwrap(), 1);
    let third = store.revocations(Some(second.next), start()).await.unwrap();
    assert!(third.tokens.iter().any(|(jti, _)| *jti == draft(4).jti()));
}

pub(crate) async fn a_token_revoked_again_is_no_news(database: &Database) {
    let store = database.open().await;
    let jti = issue_and_revoke(&*store, 1).await;
    let first = store.revocations(None, start()).await.unwrap();
    assert!(store.revoke(DEFAULT, jti, at(5)).await.unwrap());
    assert_eq!(told(&store.revocations(None, start()).await.unwrap()), [jti].into());
    let later = store.revocations(Some(first.next), start()).await.unwrap();
    assert!(told(&later).is_subset(&[jti].into()));
}
