//! Lists: their order, their pages, and who is in them.

use hallpass::store::{Status, Store};
use hallpass::token::TokenId;

use crate::database::Database;
use crate::draft::{DEFAULT, at, draft, ids, query, start};

pub(crate) async fn tokens_are_listed_newest_first(database: &Database) {
    let store = database.open().await;
    // Neither the id, nor the expiry, nor the time that the token claims decides: the order of issue does.
    let first = draft(9).expires(at(900)).issue(&*store).await;
    let second = draft(1).expires(at(100)).issue(&*store).await;
    let third = draft(5).expires(at(500)).issue(&*store).await;
    assert_eq!(ids(&*store, &query(Status::Active, None)).await, [third, second, first]);
    assert_eq!(ids(&*store, &query(Status::All, Some("agent-1"))).await, [third, second, first]);
}

pub(crate) async fn pages_follow_each_other_and_say_whether_another_follows(database: &Database) {
    let store = database.open().await;
    let mut newest_first = Vec::new();
    for number in 0..5 {
        newest_first.insert(0, draft(number).issue(&*store).await);
    }
    for of_agent in [None, Some("agent-1")] {
        for (limit, offset, has_next) in
            [(2, 0, true), (2, 2, true), (2, 4, false), (4, 1, false), (4, 0, true), (5, 0, false)]
        {
            let mut query = query(Status::Active, of_agent);
            (query.limit, query.offset) = (limit, offset as u64);
            let page = store.list(&query).await.unwrap();
            let expected: Vec<_> = newest_first.iter().copied().skip(offset).take(limit as usize).collect();
            let listed: Vec<_> = page.tokens.iter().map(|token| token.jti).collect();
            assert_eq!((listed, page.has_next), (expected, has_next), "{of_agent:?} {limit} {offset}");
        }
    }
}

pub(crate) async fn a_page_past_the_end_is_empty(database: &Database) {
    let store = database.open().await;
    draft(1).issue(&*store).await;
    for offset in [1, 1000, u64::MAX] {
        let mut query = query(Status::All, None);
        query.offset = offset;
        let page = store.list(&query).await.unwrap();
        assert!(page.tokens.is_empty() && !page.has_next, "{offset}");
    }
}

pub(crate) async fn an_agents_list_holds_each_of_its_tokens_once(database: &Database) {
    let store = database.open().await;
    let of_one = draft(1).agents(&["a"]).issue(&*store).await;
    let of_two = draft(2).agents(&["b", "a"]).issue(&*store).await;
    let twice = draft(3).agents(&["a", "b", "a"]).issue(&*store).await;
    let of_other = draft(4).agents(&["c"]).issue(&*store).await;

    assert_eq!(ids(&*store, &query(Status::Active, Some("a"))).await, [twice, of_two, of_one]);
    assert_eq!(ids(&*store, &query(Status::Active, Some("b"))).await, [twice, of_two]);
    assert_eq!(ids(&*store, &query(Status::Active, Some("c"))).await, [of_other]);
    assert!(ids(&*store, &query(Status::Active, Some("d"))).await.is_empty());
    assert_eq!(ids(&*store, &query(Status::Active, None)).await, [of_other, twice, of_two, of_one]);
}

pub(crate) async fn agents_with_like_names_are_told_apart(database: &Database) {
    let store = database.open().await;
    let names = ["agent-1", "agent-10", "AGENT-1", "agent_1", "agent%", "1", "1.0", "true"];
    let mut issued = Vec::new();
    for (number, name) in (0..).zip(names) {
        issued.push((name, draft(number).agents(&[name]).issue(&*store).await));
    }
    for (name, jti) in issued {
        assert_eq!(ids(&*store, &query(Status::Active, Some(name))).await, [jti], "{name}");
    }
}

/// Tokens in every state, looked at 600 s after the start.
struct States {
    live: TokenId,
    expired: TokenId,
    revoked: TokenId,
    revoked_then_expired: TokenId,
}

async fn states(store: &dyn Store) -> States {
    let states = States {
        live: draft(1).expires(at(900)).issue(store).await,
        expired: draft(2).expires(at(300)).issue(store).await,
        revoked: draft(3).expires(at(900)).issue(store).await,
        revoked_then_expired: draft(4).expires(at(300)).issue(store).await,
    };
    for jti in [states.revoked, states.revoked_then_expired] {
        assert!(store.revoke(DEFAULT, jti, at(100)).await.unwrap());
    }
    states
}

async fn assert_states(database: &Database, of_agent: Option<&str>) {
    let store = database.open().await;
    let States { live, expired, revoked, revoked_then_expired } = states(&*store).await;
    for (status, expected) in [
        (Status::Active, vec![live]),
        (Status::Expired, vec![expired]),
        (Status::Revoked, vec![revoked_then_expired, revoked]),
        (Status::All, vec![revoked_then_expired, revoked, expired, live]),
    ] {
        let mut query = query(status, of_agent);
        query.now = at(600);
        assert_eq!(ids(&*store, &query).await, expected, "{status:?}");
    }
}

pub(crate) async fn each_status_lists_its_own(database: &Database) {
    assert_states(database, None).await;
}

pub(crate) async fn statuses_count_in_an_agents_list_too(database: &Database) {
    assert_states(database, Some("agent-1")).await;
}

pub(crate) async fn pages_pass_over_what_has_another_status(database: &Database) {
    let store = database.open().await;
    let mut live = Vec::new();
    for number in 0..12 {
        let jti = draft(number).expires(at(if number % 3 == 0 { 10 } else { 900 })).issue(&*store).await;
        match number % 3 {
            1 => assert!(store.revoke(DEFAULT, jti, at(1)).await.unwrap()),
            2 => live.insert(0, jti),
            _ => {}
        }
    }
    let mut query = query(Status::Active, Some("agent-1"));
    (query.now, query.limit, query.offset) = (at(600), 3, 1);
    let page = store.list(&query).await.unwrap();
    let listed: Vec<_> = page.tokens.iter().map(|token| token.jti).collect();
    assert_eq!((listed.as_slice(), page.has_next), (&live[1..], false));
}

pub(crate) async fn projects_see_only_their_own_tokens(database: &Database) {
    let store = database.open().await;
    let other = store.ensure_project("other", start()).await.unwrap().id;
    let ours = draft(1).issue(&*store).await;
    let theirs = draft(2).project(other).issue(&*store).await;
    for of_agent in [None, Some("agent-1")] {
        let mut query = query(Status::All, of_agent);
        assert_eq!(ids(&*store, &query).await, [ours]);
        query.project_id = other;
        assert_eq!(ids(&*store, &query).await, [theirs]);
        query.project_id = other + 1;
        assert!(ids(&*store, &query).await.is_empty());
    }
}

pub(crate) async fn a_clock_that_jumps_back_changes_no_order_and_loses_nothing(database: &Database) {
    let store = database.open().await;
    let before = draft(1).made(at(3600)).expires(at(3900)).issue(&*store).await;
    // The clock is set back by an hour.
    let after = draft(2).made(at(0)).expires(at(300)).issue(&*store).await;
    let later = draft(3).made(at(1)).expires(at(301)).issue(&*store).await;
    for of_agent in [None, Some("agent-1")] {
        assert_eq!(ids(&*store, &query(Status::Active, of_agent)).await, [later, after, before]);
    }
    // It is set right again: what is over by then is over, and nothing has vanished.
    let mut query = query(Status::All, None);
    query.now = at(3602);
    assert_eq!(ids(&*store, &query).await, [later, after, before]);
    query.status = Status::Active;
    assert_eq!(ids(&*store, &query).await, [before]);
}

pub(crate) async fn a_clock_set_back_makes_live_again_what_was_over(database: &Database) {
    let store = database.open().await;
    let short = draft(1).expires(at(100)).issue(&*store).await;
    let long = draft(2).expires(at(1000)).issue(&*store).await;
    for (now, live) in [(600, vec![long]), (2000, vec![]), (590, vec![long]), (10, vec![long, short])] {
        for of_agent in [None, Some("agent-1")] {
            let mut query = query(Status::Active, of_agent);
            query.now = at(now);
            assert_eq!(ids(&*store, &query).await, live, "{now}");
        }
    }
}

/// Tokens come and go in any order; each look sees those that are live just then.
pub(crate) async fn live_tokens_are_right_as_time_goes_on(database: &Database) {
    let store = database.open().await;
    let mut issued = Vec::new();
    for turn in 0..60_u16 {
        let now = u64::from(turn) * 7;
        // Lifetimes from 10 to 205 s, neither rising nor falling.
        let ends = now + 10 + u64::from(turn * 37 % 40) * 5;
        issued.insert(0, (ends, draft(turn).made(at(now)).expires(at(ends)).issue(&*store).await));
        let mut query = query(Status::Active, Some("agent-1"));
        query.now = at(now);
        let live: Vec<_> = issued.iter().filter(|(ends, _)| now < ends + 5).map(|(_, jti)| *jti).collect();
        assert_eq!(ids(&*store, &query).await, live, "at {now} s");
    }
    let mut query = query(Status::Active, None);
    query.now = at(10_000);
    assert!(ids(&*store, &query).await.is_empty());
}
