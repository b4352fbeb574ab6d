//! Servers that reach the database through pgbouncer.

use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::home::Home;
use crate::lag::{PROMISED, lag};
use crate::pooler::Pooler;

const TOKENS: usize = 500;

#[test]
fn through_a_pooler_of_sessions_everything_works() {
    let cluster = Cluster::new();
    let pooler = Pooler::start(&cluster, "session", 50);
    works(&cluster, || Home::at(pooler.url()));
}

/// Connections are shared by the transaction, and there are fewer of them than servers want.
#[test]
fn through_a_pooler_of_transactions_everything_works_with_a_direct_url_beside_it() {
    let cluster = Cluster::new();
    let pooler = Pooler::start(&cluster, "transaction", 4);
    works(&cluster, || Home::at(pooler.url()).with("HALLPASS_DATABASE__DIRECT_URL", cluster.url()));
}

#[test]
fn a_pooler_of_transactions_is_refused_without_a_direct_url() {
    let cluster = Cluster::new();
    let pooler = Pooler::start(&cluster, "transaction", 4);
    let refusal = Home::at(pooler.url()).serve_refused();
    assert!(refusal.contains("database.direct_url") && refusal.contains("transaction"), "{refusal}");
    let also = Home::at(pooler.url()).with("HALLPASS_DATABASE__DIRECT_URL", pooler.url()).serve_refused();
    assert!(also.contains("database.direct_url"), "{also}");
}

fn works(cluster: &Cluster, home: impl Fn() -> Home) {
    let fleet = Fleet::start(vec![home(), home()]);
    fleet.work(TOKENS);
    fleet.assert_nothing_lost(cluster);
    let (one, other) = (home().serve(), home().serve());
    let worst = lag(one.address(), other.address(), 60, "pooled");
    assert!(worst < PROMISED, "{worst:?}");
    one.stop();
    other.stop();
}
