//! One of the servers has a bad line to the database.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::home::Home;
use crate::lag::PROMISED;
use crate::proxy::{Proxy, Weather};

/// Tokens between two events.
const SOME: usize = 150;

/// One way; an answer takes twice that.
const LATENCY: Duration = Duration::from_millis(25);

#[test]
fn a_bad_line_to_the_database_loses_nothing_and_keeps_the_promises() {
    let cluster = Cluster::new();
    let line = Proxy::to(cluster.port());
    let homes = vec![Home::at(Cluster::url_at(line.port())), Home::of(&cluster), Home::of(&cluster)];
    let fleet = Fleet::start(homes);
    fleet.work(SOME);

    // Late, but in time for what is promised.
    line.set(Weather::Slow(LATENCY));
    fleet.work(SOME);
    fleet.wait_for_checks(20);
    line.set(Weather::Clear);

    // New connections work at once: a moment's loss excuses nothing.
    for _ in 0..5 {
        line.reset();
        fleet.work_for(2 * PROMISED);
    }

    for weather in [Weather::Down, Weather::Silent] {
        fleet.roster.disturb();
        line.set(weather);
        fleet.wait_for_refusals();
        // Slowly: a client that asks this server waits for its refusal.
        fleet.work(SOME / 10);
        line.set(Weather::Clear);
        fleet.recover();
        fleet.work(SOME);
        fleet.wait_for_checks(20);
    }
    fleet.assert_nothing_lost(&cluster);
}
