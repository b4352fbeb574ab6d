//! Revocations whose transactions are overtaken.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::Client;
use crate::lag::PROMISED;
use crate::ledger::id_of;
use crate::until;

/// How often a server looks for revocations.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

#[test]
fn a_revocation_that_was_overtaken_by_others_is_not_missed() {
    let cluster = Cluster::new();
    let home = Home::of(&cluster);
    let (one, other) = (home.serve(), home.serve());
    let [written_early, written_late] = [one.mint(), one.mint()];
    let insert = |token: &str| {
        format!(
            "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
             SELECT project_id, id, jti, expires_at, 1 FROM tokens WHERE jti = '{}'",
            id_of(token)
        )
    };
    let mut early = cluster.session();
    early.execute("BEGIN");
    early.execute(&insert(&written_early));
    // Its number is as old, its row is not.
    let mut late = cluster.session();
    late.execute("BEGIN");
    late.number("SELECT pg_current_xact_id()::text::bigint");

    // Others overtake them, in several looks, told and untold.
    let began = Instant::now();
    let mut client = Client::new(one.address());
    while began.elapsed() < 6 * LOOKS_EVERY {
        let overtaking = one.mint();
        assert_eq!(client.delete(&overtaking).unwrap().status, 204);
        until("the other server has seen it", PROMISED, || !other.is_active(&overtaking));
    }
    late.execute(&insert(&written_late));
    for token in [&written_early, &written_late] {
        assert!(one.is_active(token) && other.is_active(token), "nothing is committed yet");
    }

    for (mut session, token) in [(early, written_early), (late, written_late)] {
        session.execute("COMMIT");
        let committed = Instant::now();
        until("all refuse it", PROMISED, || !one.is_active(&token) && !other.is_active(&token));
        println!("refused {:?} after the commit", committed.elapsed());
        session.close();
    }
}
