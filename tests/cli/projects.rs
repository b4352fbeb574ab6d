//! `hallpass project`

use serde_json::json;

use crate::workspace::Workspace;

#[test]
fn the_list_shows_projects_and_their_agents() {
    let workspace = Workspace::new();
    workspace.api_key("staging");
    workspace.ok(&["project", "agents", "staging", "--allow", "agent-1", "--allow", "agent-2"]);
    assert_eq!(
        workspace.ok(&["project", "list"]),
        "NAME     AGENTS\ndefault  any\nstaging  agent-1, agent-2\n"
    );
    assert_eq!(
        workspace.json(&["project", "list", "--json"]),
        json!([{"name": "default", "agents": null}, {"name": "staging", "agents": ["agent-1", "agent-2"]}])
    );
}

#[test]
fn tokens_are_made_only_for_the_agents_of_the_list() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let said = workspace.ok(&["project", "agents", "default", "--allow", "agent-2"]);
    assert_eq!(said, "keys of project `default` may issue tokens for 1 agent\n");
    workspace.refusal(1, &["token", "create", "--hostname", "https://a.example", "--agent", "agent-1"]);
    workspace.ok(&["token", "create", "--hostname", "https://a.example", "--agent", "agent-2"]);

    workspace.ok(&["project", "agents", "default", "--any"]);
    workspace.ok(&["token", "create", "--hostname", "https://a.example", "--agent", "agent-1"]);
}

#[test]
fn an_unknown_project_is_told_with_those_there_are() {
    let workspace = Workspace::new();
    workspace.api_key("staging");
    let refusal = workspace.refusal(1, &["project", "agents", "stagin", "--any"]);
    assert_eq!(refusal, "error: there is no project `stagin`; there are `default`, `staging`\n");
}

#[test]
fn what_is_allowed_must_be_said() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let refusal = workspace.refusal(2, &["project", "agents", "default"]);
    assert!(refusal.contains("--allow <AGENT_ID>"), "{refusal}");
    workspace.refusal(2, &["project", "agents", "default", "--any", "--allow", "agent-1"]);
    let refusal = workspace.refusal(2, &["project", "agents", "default", "--allow", "a/b"]);
    assert!(refusal.contains("visible ASCII characters other than `/`"), "{refusal}");
}
