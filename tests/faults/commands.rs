//! Commands beside a running server, which notices what they do within a second.

use std::time::Duration;

use crate::home::Home;
use crate::http::{Answer, Client};
use crate::ledger::id_of;
use crate::server::Server;
use crate::until;

/// A second is what is promised; a busy machine gets as much again for the test's own requests.
const NOTICED: Duration = Duration::from_secs(2);

fn mint_with(server: &Server, key: &str) -> Answer {
    Client::new(server.address()).with_key(key).mint().unwrap()
}

#[test]
fn a_new_api_key_works_within_a_second() {
    let home = Home::new();
    let server = home.serve();
    let key = home.run(&["api-key", "create", "--name", "backend"])["key"].as_str().unwrap().to_owned();
    until("the key works", NOTICED, || mint_with(&server, &key).status == 201);
}

#[test]
fn a_revoked_api_key_is_refused_within_a_second_and_its_tokens_too() {
    let home = Home::new();
    let key = home.run(&["api-key", "create", "--name", "backend"]);
    let (id, key) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let server = home.serve();
    let answer = mint_with(&server, key);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let theirs = answer.json()["token"].as_str().unwrap().to_owned();
    let ours = server.mint();

    assert_eq!(home.run(&["api-key", "revoke", id])["revokedTokens"], 1);
    until("its token is refused", NOTICED, || !server.is_active(&theirs));
    assert!(server.is_active(&ours));
    until("the key is refused", NOTICED, || mint_with(&server, key).status == 401);
}

#[test]
fn a_projects_new_list_of_agents_counts_within_a_second() {
    let home = Home::new();
    let server = home.serve();
    let set = |arguments: &[&str]| {
        let output =
            home.hallpass(["project", "agents", "default"].iter().chain(arguments)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    set(&["--allow", "agent-2"]);
    until("the agent is refused", NOTICED, || server.try_mint().status == 403);
    set(&["--any"]);
    until("any agent is allowed", NOTICED, || server.try_mint().status == 201);
}

#[test]
fn a_token_revoked_by_a_command_is_inactive() {
    let home = Home::new();
    let server = home.serve();
    let [by_token, by_id, kept] = [server.mint(), server.mint(), server.mint()];
    assert_eq!(home.run(&["token", "revoke", &by_token])["revoked"], 1);
    assert_eq!(home.run(&["token", "revoke", &id_of(&by_id)])["revoked"], 1);
    until("both are refused", NOTICED, || !server.is_active(&by_token) && !server.is_active(&by_id));
    assert!(server.is_active(&kept));
    assert_eq!(home.run(&["token", "revoke", "--api-key", "static"])["revoked"], 1);
    until("the last is refused", NOTICED, || !server.is_active(&kept));
}

#[test]
fn a_rotation_is_published_within_a_second_and_old_tokens_stay_good() {
    let home = Home::new();
    let server = home.serve();
    let old = server.mint();
    let kid_of = |token: &str| token.split('.').next().unwrap().to_owned();
    let before = server.get("/.well-known/jwks.json");
    home.run(&["signing-key", "rotate", "--force"]);
    until("another JWKS", NOTICED, || server.get("/.well-known/jwks.json").body != before.body);

    let after = server.get("/.well-known/jwks.json");
    assert_ne!(after.header("etag"), before.header("etag"));
    for key in before.json()["keys"].as_array().unwrap() {
        assert!(after.json()["keys"].as_array().unwrap().contains(key), "what was published still is");
    }
    let new = server.mint();
    assert_ne!(kid_of(&new), kid_of(&old));
    assert!(server.is_active(&old) && server.is_active(&new));
    assert!(home.run_refused(&["signing-key", "rotate"]).contains("--force"), "twice within five minutes");
}

#[test]
fn without_an_api_key_it_starts_says_how_to_make_one_and_takes_it_within_a_second() {
    let home = Home::new();
    let server = Server::start(home.hallpass(["serve"]));
    assert_eq!(server.logged("there is no API key yet")["level"], "WARN");
    let readiness = server.get("/readyz");
    readiness.assert_unavailable();
    assert!(readiness.body.contains("hallpass api-key create"), "{}", readiness.body);
    assert_eq!(server.try_mint().status, 401);
    assert_eq!(server.get("/healthz").status, 200);

    let key = home.run(&["api-key", "create", "--name", "first"])["key"].as_str().unwrap().to_owned();
    until("readiness", NOTICED, || server.is_ready());
    assert_eq!(mint_with(&server, &key).status, 201);
}
