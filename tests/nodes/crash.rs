//! Transaction numbers that a crash takes back.

use crate::cluster::{Cluster, Session};
use crate::home::Home;
use crate::http::Client;
use crate::lag::PROMISED;
use crate::ledger::id_of;
use crate::until;

/// Transactions that are undone. Their numbers reach the disk late, or never if there is a crash.
const UNDO: &str = "DO $$ BEGIN FOR i IN 1..2000 LOOP \
                        INSERT INTO scratch VALUES (i); ROLLBACK; \
                    END LOOP; END $$";

/// After a crash, numbers that never reached the disk are given out again: to a revocation, perhaps,
/// which a server that has seen later ones must not take for an old one.
#[test]
fn a_revocation_with_a_number_from_before_a_crash_is_not_missed() {
    let mut cluster = Cluster::with(&["wal_writer_delay=10s"]);
    let home = Home::of(&cluster);
    let server = home.serve();
    let token = server.mint();
    let mut session = cluster.session();
    session.execute("CREATE TABLE scratch (i int)");
    session.execute(UNDO);
    // The first look may have begun before.
    for _ in 0..2 {
        wait_for_a_look(&mut session);
    }
    let lost = session.number("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    // What happens next, the server sees only once it has all happened.
    server.signal("STOP");
    cluster.kill();
    cluster.start();

    let mut session = cluster.session();
    session.execute(&format!(
        "INSERT INTO revocations (project_id, token_id, jti, expires_at, revoked_at) \
         SELECT project_id, id, jti, expires_at, 1 FROM tokens WHERE jti = '{}'",
        id_of(&token)
    ));
    let given_again = session.number("SELECT xid::text::bigint FROM revocations");
    assert!(given_again < lost, "the crash took back no numbers: {given_again}, {lost}");
    // Until later numbers than the server has seen are given out.
    session.execute(UNDO);
    session.execute(UNDO);
    session.close();
    server.signal("CONT");
    let mut client = Client::new(server.address());
    // It first has to notice that its connections are gone.
    until("the server refuses it", 3 * PROMISED, || {
        client.introspect(&token).unwrap().body == r#"{"active":false}"#
    });
}

/// Waits until the server has made the last query of a look.
fn wait_for_a_look(session: &mut Session) {
    let now = session.texts("SELECT extract(epoch FROM clock_timestamp())::text").remove(0);
    let last = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hallpass' \
         AND query LIKE '%FROM versions%' AND query_start > to_timestamp({now})"
    );
    until("the server looks", 3 * PROMISED, || session.number(&last) > 0);
}
