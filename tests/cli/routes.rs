//! `hallpass routes`, and `hallpass token verify` with a path: the permission table, and decisions by it.

use serde_json::{Value, json};

use crate::workspace::{Outcome, Workspace};

const AGENT: &str = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
const RUN: &str = "run-4e4e28ba-2fa1-4d2b-883f-b9a761bde3fb";

/// A token for reading `AGENT`'s messages, in a file.
fn with_token(configuration: &str) -> (Workspace, String) {
    let workspace = Workspace::new();
    workspace.write("hallpass.toml", configuration);
    let arguments = ["token", "create", "--hostname", "https://app.example.com", "--access", "read_messages"];
    let token = workspace.ok(&[&arguments[..], &["--agent", AGENT]].concat()).trim().to_owned();
    (workspace, token)
}

fn ask(workspace: &Workspace, token: &str, arguments: &[&str]) -> Outcome {
    workspace.run_with(&[&["token", "verify"], arguments].concat(), &[], token)
}

fn ask_json(workspace: &Workspace, token: &str, code: i32, arguments: &[&str]) -> Value {
    let outcome = ask(workspace, token, &[arguments, &["--json"]].concat()).expect_code(code);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn the_table_is_printed_without_a_database() {
    let workspace = Workspace::new();
    let table = workspace.ok(&["routes"]);
    assert!(table.starts_with("METHOD  PATH "), "{table}");
    assert!(table.contains("PATCH   /v1/agents/{agent} "), "{table}");
    let rows = workspace.json(&["routes", "--json"]);
    assert_eq!(rows.as_array().unwrap().len(), table.lines().count() - 1);
    let runs =
        rows.as_array().unwrap().iter().find(|row| row["path"] == "/v1/runs/?agent_id={agent}").unwrap();
    assert_eq!((&runs["method"], &runs["access"]), (&json!("GET"), &json!("read_messages")));
    assert!(runs["query"].as_array().unwrap().contains(&json!("statuses*")), "{runs}");
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 0);
}

#[test]
fn the_table_follows_the_configuration() {
    let workspace = Workspace::new();
    workspace.write(
        "hallpass.toml",
        "[gateway]\npreset = \"none\"\n[[gateway.routes]]\nmethod = \"PUT\"\npath = \"/bots/{agent}\"\n\
         access = \"write_agent\"\nquery = [\"lang\"]\n",
    );
    let rows = workspace.json(&["routes", "--json"]);
    let row = json!({"method": "PUT", "path": "/bots/{agent}", "access": "write_agent", "query": ["lang"], "also": ""});
    assert_eq!(rows, json!([row]));
}

#[test]
fn a_table_that_cannot_be_made_is_told_with_its_key() {
    let workspace = Workspace::new();
    workspace.write(
        "hallpass.toml",
        "[[gateway.routes]]\nmethod = \"GET\"\npath = \"/x/{agent}\"\naccess = \"read\"\n",
    );
    let refusal = workspace.refusal(1, &["routes"]);
    assert!(refusal.contains("gateway.routes[0].access") && refusal.contains("`read_messages`"), "{refusal}");
}

#[test]
fn what_a_token_may_ask_for_is_allowed_with_what_is_sent() {
    let (workspace, token) = with_token("");
    let path = format!("/v1/agents/{AGENT}/messages/?limit=1&include_err=true");
    let answer = ask_json(&workspace, &token, 0, &["--path", &path]);
    assert_eq!(
        answer,
        json!({
            "active": true, "allowed": true, "agent": AGENT, "access": "read_messages", "method": "GET",
            "route": "/v1/agents/{agent}/messages", "sent": format!("/v1/agents/{AGENT}/messages?limit=1"),
            "dropped": ["include_err"], "also": "leaves `system_message` entries out of the answer",
        })
    );
}

#[test]
fn what_a_token_may_not_ask_for_is_denied_with_the_reason() {
    let (workspace, token) = with_token("");
    let messages = format!("/v1/agents/{AGENT}/messages");
    let run = format!("/v1/runs/{RUN}");
    for (arguments, reason) in [
        (&["--method", "POST", "--path", &messages][..], "access_missing"),
        (&["--path", "/v1/tools"], "route_not_allowed"),
        (&["--path", "/v1/agents/agent-1"], "id_not_valid"),
        (&["--path", "/v1//tools"], "target_not_valid"),
        (&["--path", "/v1/runs"], "query_not_valid"),
        (&["--path", &messages, "--origin", "https://evil.example"], "origin_mismatch"),
        (&["--path", &run, "--owner", "agent-x"], "not_granted"),
    ] {
        let answer = ask_json(&workspace, &token, 1, arguments);
        assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(false), &json!(reason)), "{arguments:?}");
        let said = ask(&workspace, &token, arguments).expect_code(1).stdout;
        assert!(said.starts_with("denied: ") && said.contains(reason), "{said}");
    }
}

#[test]
fn what_only_the_agent_server_knows_is_said_to_be_open() {
    let (workspace, token) = with_token("");
    let path = format!("/v1/runs/{RUN}");
    let answer = ask_json(&workspace, &token, 1, &["--path", &path]);
    assert_eq!((&answer["allowed"], &answer["reason"]), (&Value::Null, &json!("owner_unknown")));
    let known = ask(&workspace, &token, &["--path", &path, "--owner", AGENT]).expect_ok();
    assert!(known.contains(&format!("GET {path}\n")), "{known}");
}

#[test]
fn a_token_that_is_not_good_may_ask_for_nothing() {
    let (workspace, token) = with_token("");
    workspace.ok(&["token", "revoke", &token]);
    let answer = ask_json(&workspace, &token, 1, &["--path", "/v1/health"]);
    assert_eq!(answer["active"], json!(false));
    assert!(answer["reason"].as_str().unwrap().starts_with("it was revoked"), "{answer}");
}

#[test]
fn decisions_follow_the_configuration() {
    let row = "[[gateway.routes]]\nmethod = \"GET\"\npath = \"/v1/tools\"\naccess = \"any\"\n";
    let (workspace, token) = with_token(row);
    let said = ask(&workspace, &token, &["--path", "/v1/tools/"]).expect_ok();
    assert_eq!(said, "allowed to any token\nthe agent server gets: GET /v1/tools\n");
}

#[test]
fn where_a_request_comes_from_is_asked_only_of_a_request() {
    let workspace = Workspace::new();
    for (option, value) in [("--origin", "https://app.example.com"), ("--owner", AGENT)] {
        let refusal = workspace.refusal(2, &["token", "verify", "x", option, value]);
        assert!(refusal.contains("--path"), "{refusal}");
    }
}
