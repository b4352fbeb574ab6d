//! Servers that start at the same time on an empty database.

use std::collections::HashSet;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::Client;

const SERVERS: usize = 10;

#[test]
fn ten_servers_that_start_at_once_make_one_schema_and_one_ring() {
    let cluster = Cluster::new();
    let home = Arc::new(Home::of(&cluster));
    let starting: Vec<_> = (0..SERVERS)
        .map(|_| {
            let home = home.clone();
            std::thread::spawn(move || home.serve())
        })
        .collect();
    let servers: Vec<_> = starting.into_iter().map(|starting| starting.join().unwrap()).collect();

    let logged = |message| servers.iter().map(|server| server.count_logged(message)).sum::<usize>();
    let mut session = cluster.session();
    let steps = session.number("SELECT count(*) FROM hallpass_schema");
    assert!(steps > 0);
    assert_eq!(i64::try_from(logged("schema step applied")).unwrap(), steps);
    assert_eq!(logged("signing keys made"), 1);
    assert_eq!(session.number("SELECT count(*) FROM projects"), 1);

    let rings: HashSet<_> = servers.iter().map(|server| server.get("/.well-known/jwks.json").body).collect();
    assert_eq!(rings.len(), 1, "{rings:?}");
    for server in &servers {
        assert!(server.is_ready());
        let token = server.mint();
        for other in &servers {
            assert!(other.is_active(&token));
        }
    }
    let listed = |address| Client::new(address).list("active").unwrap().unwrap();
    let expected = listed(servers[0].address());
    assert_eq!(expected.len(), SERVERS);
    for server in servers {
        assert_eq!(listed(server.address()), expected);
        server.stop();
    }
}
