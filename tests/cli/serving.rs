//! Commands beside a running server.

use crate::workspace::{Workspace, wait_until};

#[test]
fn the_healthcheck_tells_up_from_ready() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let ask = |more: &[&str]| workspace.run(&[&["healthcheck", "--address", &server.address], more].concat());
    assert_eq!(ask(&[]).expect_ok(), "healthy\n");
    let not_ready = ask(&["--ready"]).expect_code(1);
    assert_eq!(not_ready.stderr, format!("error: `{}/readyz` answers 503\n", server.address));

    workspace.api_key("default");
    wait_until("the server is ready", || ask(&["--ready"]).code == Some(0));
}

#[test]
fn the_healthcheck_asks_where_the_configuration_says() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let address = server.address.clone();
    let variables = [("HALLPASS_SERVER__LISTEN", address.as_str())];
    workspace.run_with(&["healthcheck"], &variables, "").expect_code(0);
    drop(server);
    let refused = workspace.run_with(&["healthcheck"], &variables, "").expect_code(1);
    assert!(refused.stderr.starts_with(&format!("error: cannot ask `{address}`")), "{refused:?}");
}

#[test]
fn the_server_says_how_to_make_the_first_key_and_takes_it_at_once() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    assert!(
        server.log().contains("make one with `hallpass api-key create --name my-backend`"),
        "{}",
        server.log()
    );
    let (_, key) = workspace.api_key("default");
    server.wait_for(&key);
}

#[test]
fn the_server_notices_what_commands_change() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (id, key) = workspace.api_key("default");
    server.wait_for(&key);
    let list = "/v1/client-side-access-tokens";
    let listed = || server.request("GET", list, &key, "").1;
    server.issue(&key);

    workspace.ok(&["token", "revoke", "--all"]);
    assert_eq!(listed(), r#"{"tokens":[],"hasNextPage":false}"#);
    let before = server.request("GET", "/.well-known/jwks.json", "", "").1;
    workspace.ok(&["signing-key", "rotate", "--force"]);
    wait_until("the new ring", || server.request("GET", "/.well-known/jwks.json", "", "").1 != before);
    workspace.ok(&["project", "agents", "default", "--allow", "agent-2"]);
    let body = r#"{"hostname": "https://a.example", "policy": [{"type": "agent", "id": "agent-1", "access": ["read_agent"]}]}"#;
    wait_until("the list of agents", || server.request("POST", list, &key, body).0 == 403);
    workspace.ok(&["api-key", "revoke", &id]);
    wait_until("the revoked key", || server.request("GET", list, &key, "").0 == 401);
}

#[test]
fn a_second_server_on_the_same_database_refuses_to_start() {
    let workspace = Workspace::new();
    let _server = workspace.serve(&[]);
    let refused =
        workspace.run_with(&["serve"], &[("HALLPASS_SERVER__LISTEN", "127.0.0.1:0")], "").expect_code(1);
    assert!(refused.stderr.contains("another server is using `hallpass.db`"), "{refused:?}");
}

#[test]
fn a_port_in_use_is_told_with_the_setting() {
    let (one, two) = (Workspace::new(), Workspace::new());
    let server = one.serve(&[]);
    let variables = [("HALLPASS_SERVER__LISTEN", server.address.as_str())];
    let refused = two.run_with(&["serve"], &variables, "").expect_code(1);
    assert!(refused.stderr.contains(&format!("cannot listen on `{}`", server.address)), "{refused:?}");
    assert!(refused.stderr.contains("`server.listen`"), "{refused:?}");
}

#[test]
fn the_log_holds_no_secret_even_when_everything_is_logged() {
    let workspace = Workspace::new();
    let static_key = "a-static-key-for-tests";
    let server = workspace.serve(&[("HALLPASS_TELEMETRY__LOG", "trace"), ("HALLPASS_API_KEY", static_key)]);
    let (_, key) = workspace.api_key("default");
    server.wait_for(&key);
    let token = server.issue(&key);
    server.issue(static_key);
    assert_eq!(server.request("DELETE", &format!("/v1/client-side-access-tokens/{token}"), &key, "").0, 204);
    server.request("GET", &format!("/v1/client-side-access-tokens?agentId={token}"), &key, "");
    wait_until("the requests are logged", || server.log().contains("\"method\":\"DELETE\""));

    let master = std::fs::read_to_string(workspace.path().join("hallpass.master-key")).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    for secret in [key.as_str(), static_key, &token, signature, master.trim()] {
        let log = server.log();
        let place = log.lines().find(|line| line.contains(secret));
        assert!(place.is_none(), "{}", place.unwrap_or_default().replace(secret, "[THE SECRET]"));
    }
}
