//! Signing keys are rotated while servers sign.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::home::Home;
use crate::http::Client;
use crate::server::Server;
use crate::until;

const ROTATIONS: usize = 6;

/// How soon a server has heard of a rotation.
const NOTICED: Duration = Duration::from_secs(1);

#[test]
fn no_token_fails_to_verify_while_keys_are_rotated() {
    let cluster = Cluster::new();
    let home = Home::of(&cluster);
    let servers: Vec<_> = (0..3).map(|_| home.serve()).collect();
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    let (over, issued) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|first| {
            let (addresses, over, issued) = (addresses.clone(), over.clone(), issued.clone());
            std::thread::spawn(move || {
                let mut kids = HashSet::new();
                while !over.load(Ordering::Relaxed) {
                    kids.insert(issue_on_one_and_verify_on_all(&addresses, first));
                    issued.fetch_add(1, Ordering::Relaxed);
                }
                kids
            })
        })
        .collect();

    for _ in 0..ROTATIONS {
        let before = issued.load(Ordering::Relaxed);
        until("tokens are issued", Duration::from_secs(10), || issued.load(Ordering::Relaxed) > before + 30);
        // A client that failed has said why.
        assert!(clients.iter().all(|client| !client.is_finished()));
        let ring = home.run(&["signing-key", "rotate", "--force"]);
        let published = ring.as_array().unwrap().len();
        until("all servers publish the new ring", NOTICED, || {
            servers.iter().all(|server| kids_of(server.address()).len() == published)
        });
    }
    let before = issued.load(Ordering::Relaxed);
    until("tokens are issued", Duration::from_secs(10), || issued.load(Ordering::Relaxed) > before + 30);
    over.store(true, Ordering::Relaxed);
    for client in clients {
        let kids = client.join().unwrap();
        assert_eq!(kids.len(), ROTATIONS + 1, "each key has signed, on each server");
    }
    for server in servers {
        server.assert_no_panic();
    }
}

/// The key that signed. Each key is published before it signs, so all servers know it.
fn issue_on_one_and_verify_on_all(addresses: &[SocketAddr], one: usize) -> String {
    let answer = Client::new(addresses[one]).mint().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let kid = header["kid"].as_str().unwrap().to_owned();
    for address in addresses {
        let answer = Client::new(*address).introspect(&token).unwrap();
        assert_eq!(answer.json()["active"], true, "signed by {kid}: {}", answer.body);
        assert!(kids_of(*address).contains(&kid), "{kid} has signed and isn't published");
    }
    kid
}

fn kids_of(address: SocketAddr) -> HashSet<String> {
    let jwks = Client::new(address).get("/.well-known/jwks.json").unwrap().json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}
