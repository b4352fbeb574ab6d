//! The ring of signing keys, which is replaced as a whole.

use hallpass::keys::SealedKey;
use hallpass::store::Store;

use crate::database::Database;
use crate::draft::at;

/// A key as the store sees it; what is sealed is its owner's affair.
pub(crate) fn sealed(kid: &str, created_seconds: u64) -> SealedKey {
    SealedKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        state: "active".to_owned(),
        created_at: at(created_seconds),
        activated_at: Some(at(created_seconds + 1)),
        ends_at: None,
        sealed: vec![0, 1, 2, 0xff, 0],
    }
}

async fn version(store: &dyn Store) -> i64 {
    store.versions().await.unwrap().signing_keys
}

async fn kids(store: &dyn Store) -> Vec<String> {
    store.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect()
}

pub(crate) async fn a_new_database_has_none(database: &Database) {
    assert!(database.open().await.signing_keys().await.unwrap().is_empty());
}

pub(crate) async fn a_ring_comes_back_as_it_was_put(database: &Database) {
    let store = database.open().await;
    let ring = [
        SealedKey { ends_at: Some(at(9)), state: "retired".to_owned(), ..sealed("one", 1) },
        SealedKey { algorithm: "RS256".to_owned(), ..sealed("two", 2) },
        SealedKey { activated_at: None, state: "next".to_owned(), ..sealed("three", 3) },
    ];
    assert!(store.replace_signing_keys(version(&*store).await, &ring).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap(), ring);
    store.close().await;
    assert_eq!(database.open().await.signing_keys().await.unwrap(), ring);
}

pub(crate) async fn a_ring_replaces_the_whole_one_before(database: &Database) {
    let store = database.open().await;
    for ring in [&[sealed("one", 1), sealed("two", 2)][..], &[sealed("two", 2), sealed("three", 3)], &[]] {
        assert!(store.replace_signing_keys(version(&*store).await, ring).await.unwrap());
        assert_eq!(store.signing_keys().await.unwrap(), ring);
    }
}

pub(crate) async fn a_ring_read_before_another_change_replaces_nothing(database: &Database) {
    let store = database.open().await;
    let read_at = version(&*store).await;
    assert!(store.replace_signing_keys(read_at, &[sealed("winner", 1)]).await.unwrap());
    for stale in [read_at, read_at + 2] {
        assert!(!store.replace_signing_keys(stale, &[sealed("loser", 1)]).await.unwrap());
    }
    assert_eq!(kids(&*store).await, ["winner"]);
    // A refusal leaves nothing open that would hold up the next write.
    assert!(store.replace_signing_keys(version(&*store).await, &[sealed("next", 1)]).await.unwrap());
}

pub(crate) async fn of_racing_replacements_one_wins(database: &Database) {
    // Two openings, as two processes have.
    let stores = [database.open().await, database.open().await];
    for round in 0..10 {
        let read_at = version(&*stores[0]).await;
        let racers = stores.clone().into_iter().enumerate().map(|(racer, store)| {
            let ring = [sealed(&format!("{round}-{racer}"), 1)];
            tokio::spawn(async move { store.replace_signing_keys(read_at, &ring).await.unwrap() })
        });
        let mut winners = Vec::new();
        for (racer, task) in racers.collect::<Vec<_>>().into_iter().enumerate() {
            if task.await.unwrap() {
                winners.push(format!("{round}-{racer}"));
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(kids(&*stores[0]).await, winners);
        assert_eq!(version(&*stores[0]).await, read_at + 1);
    }
}
