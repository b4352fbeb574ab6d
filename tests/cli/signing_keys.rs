//! `hallpass signing-key`

use crate::workspace::{Workspace, wait_until};

fn states(workspace: &Workspace) -> Vec<(String, String)> {
    let listed = workspace.json(&["signing-key", "list", "--json"]);
    let text = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(|key| (text(key, "state"), text(key, "kid"))).collect()
}

#[test]
fn a_new_ring_signs_with_one_key_and_publishes_the_next() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let table = workspace.ok(&["signing-key", "list"]);
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["KID", "ALGORITHM", "STATE", "CREATED", "SIGNS", "SINCE", "ENDS"]);
    assert_eq!(lines[1][1..3], ["EdDSA", "active"]);
    assert_eq!(lines[2][1..3], ["EdDSA", "next"]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn rotating_promotes_the_next_key_and_keeps_the_old_one_for_verifying() {
    let workspace = Workspace::new();
    let token = workspace.token(&[]);
    let before = states(&workspace);
    let rotated = workspace.json(&["signing-key", "rotate", "--force", "--json"]);
    assert!(
        rotated.as_array().unwrap().iter().any(|key| key["state"] == "retired" && key["endsAt"].is_string())
    );

    let after = states(&workspace);
    let kid = |states: &[(String, String)], state| {
        states.iter().find(|(name, _)| name == state).map(|(_, kid)| kid.clone()).unwrap()
    };
    assert_eq!(kid(&after, "active"), kid(&before, "next"));
    assert_eq!(kid(&after, "retired"), kid(&before, "active"));
    assert!(!before.iter().any(|(_, known)| *known == kid(&after, "next")));
    workspace.run(&["token", "verify", &token]).expect_code(0);
    workspace.run(&["token", "verify", &workspace.token(&[])]).expect_code(0);
}

#[test]
fn a_rotation_that_verifiers_could_miss_needs_force() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let before = states(&workspace);
    let refusal = workspace.refusal(1, &["signing-key", "rotate"]);
    assert!(refusal.contains("the next key was published") && refusal.contains("`--force`"), "{refusal}");
    assert_eq!(states(&workspace), before);
}

#[test]
fn the_tokens_of_a_destroyed_key_are_refused_and_those_of_the_others_are_not() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (leaked, kid) = (workspace.token(&[]), states(&workspace)[0].1.clone());
    let refusal = workspace.refusal(1, &["signing-key", "destroy", &kid]);
    assert!(
        refusal.contains("the key signs") && refusal.contains("`hallpass signing-key rotate"),
        "{refusal}"
    );
    workspace.ok(&["signing-key", "rotate", "--force"]);
    let other = workspace.token(&[]);

    let rest = workspace.json(&["signing-key", "destroy", &kid, "--json"]);
    assert!(rest.as_array().unwrap().iter().all(|key| key["kid"] != kid.as_str()), "{rest}");
    workspace.run(&["token", "verify", &leaked]).expect_code(1);
    workspace.run(&["token", "verify", &other]).expect_code(0);
    let refusal = workspace.refusal(1, &["signing-key", "destroy", &kid]);
    assert!(refusal.contains(&format!("no signing key has the id `{kid}`")), "{refusal}");

    // One key in 64 has an id that begins so.
    for arguments in [["-hyphen", "--json"], ["--json", "-hyphen"]] {
        let refusal = workspace.refusal(1, &[&["signing-key", "destroy"], &arguments[..]].concat());
        assert!(refusal.contains("no signing key has the id `-hyphen`"), "{refusal}");
    }

    let published = || server.request("GET", "/.well-known/jwks.json", "", "").1;
    wait_until("the server's key set is without it", || !published().contains(&kid));
}

#[test]
fn another_algorithm_signs_from_the_servers_next_start_and_old_tokens_stay_good() {
    let workspace = Workspace::new();
    let algorithm = |token: &str| {
        let said: serde_json::Value =
            serde_json::from_str(&workspace.ok(&["token", "inspect", token])).unwrap();
        said["header"]["alg"].as_str().unwrap().to_owned()
    };
    let before = workspace.token(&[]);
    workspace.write("hallpass.toml", "[signing]\nalgorithm = \"ES256\"\n");
    let by_command = workspace.token(&[]);
    let _server = workspace.serve(&[]);
    let after = workspace.token(&[]);
    let tokens = [&before, &by_command, &after];
    assert_eq!(tokens.map(|token| algorithm(token)), ["EdDSA", "EdDSA", "ES256"]);
    for token in tokens {
        workspace.run(&["token", "verify", token]).expect_code(0);
    }
}

#[test]
fn no_private_key_is_shown() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let master = std::fs::read_to_string(workspace.path().join("hallpass.master-key")).unwrap();
    for arguments in [&["signing-key", "list"][..], &["signing-key", "list", "--json"]] {
        let outcome = workspace.run(arguments).expect_code(0);
        assert!(!outcome.stdout.contains(master.trim()), "{outcome:?}");
        assert!(!outcome.stdout.contains("sealed") && !outcome.stdout.contains("private"), "{outcome:?}");
    }
}
