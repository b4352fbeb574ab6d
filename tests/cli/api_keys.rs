//! `hallpass api-key`

use crate::workspace::Workspace;

#[test]
fn a_key_is_the_only_thing_on_standard_output() {
    let made = Workspace::new().run(&["api-key", "create", "--name", "web"]).expect_code(0);
    let key = made.stdout.trim_end();
    assert!(hallpass::keys::has_key_form(key), "{made:?}");
    assert!(made.stderr.contains("(web) of project `default`. It is shown this once"), "{made:?}");
    assert!(!made.stderr.contains(key), "{made:?}");
}

#[test]
fn a_key_in_json_says_what_it_is() {
    let made = Workspace::new().json(&[
        "api-key",
        "create",
        "--name",
        "ops",
        "--project",
        "staging",
        "--gateway",
        "--json",
    ]);
    assert!(made["id"].as_str().unwrap().starts_with("key_"), "{made}");
    assert!(hallpass::keys::has_key_form(made["key"].as_str().unwrap()), "{made}");
    assert_eq!(
        (&made["name"], &made["project"], &made["gateway"]),
        (&"ops".into(), &"staging".into(), &true.into())
    );
}

#[test]
fn the_list_shows_every_key_and_no_secret() {
    let workspace = Workspace::new();
    let (id, key) = workspace.api_key("default");
    let (staging_id, staging_key) = workspace.api_key("staging");
    workspace.ok(&["api-key", "revoke", &staging_id]);

    let table = workspace.ok(&["api-key", "list"]);
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "NAME", "PROJECT", "GATEWAY", "CREATED", "LAST", "USED", "REVOKED"]);
    assert_eq!(lines[1][..4], [id.as_str(), "test", "default", "no"]);
    assert_eq!(lines[1][5..], ["-", "-"]);
    assert_eq!(lines[2][..4], [staging_id.as_str(), "test", "staging", "no"]);
    assert!(lines[2][6].ends_with('Z'), "{table}");

    let listed = workspace.json(&["api-key", "list", "--json"]);
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["project"], "default");
    assert!(listed[0]["revokedAt"].is_null() && listed[1]["revokedAt"].is_string(), "{listed}");
    for secret in [key, staging_key] {
        assert!(!table.contains(&secret) && !listed.to_string().contains(&secret));
    }
}

#[test]
fn revoking_a_key_revokes_the_tokens_it_issued_and_no_others() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (id, key) = workspace.api_key("default");
    server.wait_for(&key);
    let issued = server.issue(&key);
    let by_hand = workspace.token(&[]);

    let said = workspace.ok(&["api-key", "revoke", &id]);
    assert_eq!(said, format!("revoked API key `{id}`, and 1 live token\n"));
    workspace.run(&["token", "verify", &issued]).expect_code(1);
    workspace.run(&["token", "verify", &by_hand]).expect_code(0);
}

#[test]
fn a_revoked_keys_tokens_can_be_kept() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (id, key) = workspace.api_key("default");
    server.wait_for(&key);
    let issued = server.issue(&key);

    let said = workspace.ok(&["api-key", "revoke", &id, "--keep-tokens"]);
    assert_eq!(said, format!("revoked API key `{id}`, its tokens were kept\n"));
    workspace.run(&["token", "verify", &issued]).expect_code(0);
}

#[test]
fn revoking_tells_in_json_how_many_tokens_went() {
    let workspace = Workspace::new();
    let (id, _) = workspace.api_key("default");
    let revoked = workspace.json(&["api-key", "revoke", &id, "--json"]);
    assert_eq!(revoked, serde_json::json!({"id": id, "revokedTokens": 0}));
}

#[test]
fn an_unknown_key_is_refused_with_where_to_look() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let refusal = workspace.refusal(1, &["api-key", "revoke", "key_0000000000"]);
    assert_eq!(refusal, "error: there is no API key `key_0000000000`; `hallpass api-key list` shows them\n");
}

#[test]
fn the_static_key_is_revoked_where_it_stands() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    let refusal = workspace.refusal(1, &["api-key", "revoke", "static"]);
    assert!(refusal.contains("take `HALLPASS_API_KEY` away and restart"), "{refusal}");
}

#[test]
fn a_name_has_one_to_a_hundred_characters() {
    let workspace = Workspace::new();
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        let refusal = workspace.refusal(1, &["api-key", "create", "--name", name]);
        assert!(refusal.contains("`--name` must have 1 to 100 characters"), "{refusal}");
    }
    workspace.ok(&["api-key", "create", "--name", &"é".repeat(100)]);
}

#[test]
fn a_projects_name_is_made_of_letters_digits_and_three_signs() {
    let workspace = Workspace::new();
    for project in ["a b", "a/b", "é", ""] {
        let refusal = workspace.refusal(2, &["api-key", "create", "--name", "x", "--project", project]);
        assert!(refusal.contains("must be 1 to 64 letters, digits, `.`, `_` or `-`"), "{refusal}");
    }
}
