//! Many at once, closing, and opening again.

use std::collections::HashSet;
use std::task::{Context, Poll, Waker};

use hallpass::store::{Status, StoreError};

use crate::database::Database;
use crate::draft::{DEFAULT, api_key, at, draft, ids, query, start};

pub(crate) async fn tokens_issued_at_the_same_time_are_all_kept(database: &Database) {
    let store = database.open().await;
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let jti = draft(number).agents(&["agent-1", "agent-2"]).issue(&*store).await;
                assert!(store.find(jti).await.unwrap().is_some(), "found as soon as it is issued");
                jti
            })
        })
        .collect();
    let mut issued = HashSet::new();
    for task in tasks {
        issued.insert(task.await.unwrap());
    }
    assert_eq!(issued.len(), 200);
    for of_agent in [None, Some("agent-2")] {
        let listed = ids(&*store, &query(Status::Active, of_agent)).await;
        assert_eq!(listed.len(), 200, "each once");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), issued);
    }
}

pub(crate) async fn a_token_revoked_by_many_at_once_is_revoked_once(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).issue(&*store).await;
    let tasks: Vec<_> = (0..50)
        .map(|second| {
            let store = store.clone();
            tokio::spawn(async move { store.revoke(DEFAULT, jti, at(second)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    let revoked_at = store.find(jti).await.unwrap().unwrap().revoked_at;
    assert!(revoked_at.is_some());
    assert!(store.revoke(DEFAULT, jti, at(60)).await.unwrap());
    assert_eq!(store.find(jti).await.unwrap().unwrap().revoked_at, revoked_at);
}

/// A list made while tokens are issued holds all that were issued before it, in order, without gaps.
pub(crate) async fn reads_go_on_beside_writes(database: &Database) {
    let store = database.open().await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                draft(number).issue(&*store).await;
            }
        })
    };
    let mut seen = 0;
    while !writer.is_finished() {
        let listed = ids(&*store, &query(Status::Active, Some("agent-1"))).await;
        assert!(listed.len() >= seen);
        seen = listed.len();
        let expected: Vec<_> = (0..).map(|number| draft(number).jti()).take(seen).collect();
        assert!(listed.iter().rev().eq(&expected));
    }
    writer.await.unwrap();
    assert_eq!(ids(&*store, &query(Status::Active, None)).await.len(), 200);
}

pub(crate) async fn closing_finishes_what_is_queued_and_reopening_finds_it(database: &Database) {
    let store = database.open().await;
    let records: Vec<_> = (0..300).map(|number| draft(number).record()).collect();
    let issued: HashSet<_> = records.iter().map(|record| record.jti).collect();
    // Polled once, a write has begun; a quick one is done.
    let mut context = Context::from_waker(Waker::noop());
    let mut queued = Vec::new();
    for mut write in records.into_iter().map(|record| store.issue(record)) {
        match write.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => assert!(outcome.unwrap()),
            Poll::Pending => queued.push(write),
        }
    }
    assert!(!queued.is_empty());
    store.close().await;
    for write in queued {
        assert!(write.await.unwrap(), "what was queued before closing is done");
    }

    let reopened = database.open().await;
    let found: HashSet<_> = ids(&*reopened, &query(Status::Active, None)).await.into_iter().collect();
    assert_eq!(found, issued);
}

pub(crate) async fn a_closed_store_takes_no_writes(database: &Database) {
    let store = database.open().await;
    let jti = draft(1).issue(&*store).await;
    store.close().await;
    assert!(matches!(store.issue(draft(2).record()).await, Err(StoreError::Closed)));
    assert!(matches!(store.revoke(DEFAULT, jti, start()).await, Err(StoreError::Closed)));
    assert_eq!(ids(&*database.open().await, &query(Status::Active, None)).await, [jti]);
}

/// As a command does beside a running server.
pub(crate) async fn two_openings_see_each_others_changes(database: &Database) {
    let (server, command) = (database.open().await, database.open().await);
    let before = server.versions().await.unwrap();
    let jti = draft(1).issue(&*server).await;
    assert!(command.revoke(DEFAULT, jti, at(1)).await.unwrap());
    assert_eq!(server.find(jti).await.unwrap().unwrap().revoked_at, Some(at(1)));
    command.create_api_key(&api_key("key_a", start())).await.unwrap();
    assert_ne!(server.versions().await.unwrap(), before);
    command.close().await;
    draft(2).issue(&*server).await;
    assert_eq!(ids(&*database.open().await, &query(Status::All, None)).await.len(), 2);
}

pub(crate) async fn a_probe_finds_writing_to_work(database: &Database) {
    let store = database.open().await;
    assert!(store.writes_work(), "until something says otherwise");
    store.probe().await.unwrap();
    assert!(store.writes_work());
}
