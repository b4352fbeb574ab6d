//! Servers and their database are killed and restarted under load.

use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::home::Home;

/// Tokens between two events.
const SOME: usize = 150;

#[test]
fn nothing_acknowledged_is_lost_whoever_is_killed() {
    let mut cluster = Cluster::new();
    let mut fleet = Fleet::start((0..3).map(|_| Home::of(&cluster)).collect());
    fleet.work(SOME);

    // A server.
    fleet.kill(0);
    fleet.work(SOME);
    fleet.restart(0);
    fleet.work(SOME);
    fleet.wait_for_checks(20);

    // The database is restarted by its operator.
    fleet.roster.disturb();
    cluster.stop();
    fleet.wait_for_refusals();
    cluster.start();
    fleet.recover();
    fleet.work(SOME);

    // The database is killed, and with it a server.
    fleet.roster.disturb();
    cluster.kill();
    fleet.kill(1);
    fleet.wait_for_refusals();
    cluster.start();
    fleet.restart(1);
    fleet.recover();
    fleet.work(SOME);
    fleet.wait_for_checks(20);

    // Servers are replaced one after another.
    for seat in 0..3 {
        fleet.stop(seat);
        fleet.restart(seat);
    }
    fleet.work(SOME);

    // The database is killed and back at once, in the middle of commits, more than once.
    for _ in 0..3 {
        fleet.roster.disturb();
        cluster.kill();
        cluster.start();
        fleet.recover();
        fleet.work(SOME);
    }

    // One of its processes crashes; it ends all others and recovers by itself.
    fleet.roster.disturb();
    cluster.crash_a_session();
    fleet.recover();
    fleet.work(SOME);
    fleet.assert_nothing_lost(&cluster);
}
