//! `hallpass token`

use serde_json::{Value, json};

use crate::workspace::{Outcome, Workspace, wait_until};

fn inspect(workspace: &Workspace, token: &str) -> Value {
    serde_json::from_str(&workspace.ok(&["token", "inspect", token])).unwrap()
}

fn jti(workspace: &Workspace, token: &str) -> String {
    inspect(workspace, token)["claims"]["jti"].as_str().unwrap().to_owned()
}

fn verify(workspace: &Workspace, token: &str) -> Outcome {
    workspace.run(&["token", "verify", token])
}

/// Which of the tokens are still good.
fn good(workspace: &Workspace, tokens: &[&String]) -> Vec<bool> {
    tokens.iter().map(|token| verify(workspace, token).code == Some(0)).collect()
}

mod create {
    use super::*;

    #[test]
    fn the_token_is_the_only_thing_on_standard_output() {
        let workspace = Workspace::new();
        let made = workspace
            .run(&["token", "create", "--hostname", "https://app.example.com", "--agent", "agent-1"])
            .expect_code(0);
        let token = made.stdout.trim_end();
        assert_eq!(token.split('.').count(), 3, "{made:?}");
        assert!(
            made.stderr.starts_with(&format!("token `{}`, good until ", jti(&workspace, token))),
            "{made:?}"
        );
        assert!(!made.stderr.contains(token), "{made:?}");
    }

    #[test]
    fn the_claims_say_what_was_asked_for() {
        let workspace = Workspace::new();
        workspace.api_key("staging");
        let access = ["--access", "read_agent,write_agent"];
        let arguments =
            [&access[..], &["--agent", "agent-2", "--ttl", "10m", "--project", "staging"]].concat();
        let claims = &inspect(&workspace, &workspace.token(&arguments))["claims"];
        assert_eq!(claims["sub"], "staging");
        assert_eq!(claims["origin"], "https://app.example.com");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
        assert_eq!(
            claims["policy"]["data"],
            json!([
                {"type": "agent", "id": "agent-1", "access": ["read_agent", "write_agent"]},
                {"type": "agent", "id": "agent-2", "access": ["read_agent", "write_agent"]},
            ])
        );
    }

    #[test]
    fn json_holds_the_token_and_its_id() {
        let workspace = Workspace::new();
        let made = workspace.json(&[
            "token",
            "create",
            "--hostname",
            "https://app.example.com",
            "--agent",
            "agent-1",
            "--json",
        ]);
        let token = made["token"].as_str().unwrap();
        assert_eq!(made["jti"], jti(&workspace, token));
        assert_eq!(made["hostname"], "https://app.example.com");
        assert_eq!(made["policy"]["version"], "1");
        assert!(made["expiresAt"].as_str().unwrap().ends_with('Z'), "{made}");
    }

    #[test]
    fn a_mistake_is_told_with_its_rule() {
        let workspace = Workspace::new();
        let base = ["token", "create", "--agent", "agent-1"];
        let hostname = ["--hostname", "https://app.example.com"];
        for (code, arguments, rule) in [
            (2, &["--hostname", "app.example.com"][..], "must be an absolute `http://` or `https://` URL"),
            (2, &[&hostname[..], &["--agent", "a/b"]].concat(), "visible ASCII characters other than `/`"),
            (2, &[&hostname[..], &["--access", "read"]].concat(), "possible values: read_messages"),
            (2, &[&hostname[..], &["--ttl", "1 day"]].concat(), "must be a duration such as `30s`"),
            (1, &[&hostname[..], &["--ttl", "25h"]].concat(), "must be at most 1d ahead"),
            (1, &[&hostname[..], &["--expires-at", "tomorrow"]].concat(), "must be a time such as"),
            (
                1,
                &[&hostname[..], &["--expires-at", "2020-01-01"]].concat(),
                "must be at least a second in the future",
            ),
            (
                1,
                &[&hostname[..], &["--project", "nope"]].concat(),
                "there is no project `nope`; there are `default`",
            ),
        ] {
            let refusal = workspace.refusal(code, &[&base[..], arguments].concat());
            assert!(refusal.contains(rule), "{arguments:?}: {refusal}");
        }
    }
}

mod inspect {
    use super::*;

    #[test]
    fn a_token_is_shown_without_being_verified() {
        let (here, elsewhere) = (Workspace::new(), Workspace::new());
        let token = elsewhere.token(&[]);
        let shown = here.run(&["token", "inspect", &token]).expect_code(0);
        assert!(shown.stderr.contains("not verified") && shown.stderr.contains("expires in "), "{shown:?}");
        let said: Value = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!((&said["header"]["alg"], &said["header"]["typ"]), (&"EdDSA".into(), &"at+jwt".into()));
        assert_eq!(said["claims"]["hostname"], "https://app.example.com");
        assert!(!here.path().join("hallpass.db").exists());
    }

    #[test]
    fn a_token_is_read_from_standard_input() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        for arguments in [&["token", "inspect"][..], &["token", "inspect", "-"]] {
            let shown = workspace.run_with(arguments, &[], &format!("{token}\n")).expect_ok();
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), super::inspect(&workspace, &token));
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let workspace = Workspace::new();
        for (text, rule) in [
            ("abc", "this is not a JWT: it must have three parts separated by dots, got 1"),
            ("a.b.c.d", "got 4"),
            ("*.e30.x", "the header is not base64url"),
            ("e30.eA.x", "the payload is not JSON"),
        ] {
            let refusal = workspace.refusal(1, &["token", "inspect", text]);
            assert!(refusal.contains(rule), "{text}: {refusal}");
        }
    }
}

mod verify {
    use super::*;

    /// The reason in both forms; a refused token is no failure of the command, so standard error is empty.
    fn reason(workspace: &Workspace, token: &str) -> String {
        let said = verify(workspace, token).expect_code(1);
        let said_in_json = workspace.run(&["token", "verify", token, "--json"]).expect_code(1);
        let answer: Value = serde_json::from_str(&said_in_json.stdout).unwrap();
        assert_eq!(answer["active"], false);
        assert_eq!((said.stderr.as_str(), said_in_json.stderr.as_str()), ("", ""));
        let (text, in_json) = (said.stdout, answer["reason"].as_str().unwrap().to_owned());
        // Of an expired token the two may have been asked in different seconds.
        if !in_json.starts_with("it expired") {
            assert_eq!(text, format!("not good: {in_json}\n"));
        }
        in_json
    }

    #[test]
    fn a_good_token_is_shown_with_its_claims() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        let said = verify(&workspace, &token).expect_ok();
        let claims: Value = serde_json::from_str(said.strip_prefix("good\n").unwrap()).unwrap();
        assert_eq!(claims, inspect(&workspace, &token)["claims"]);
        assert_eq!(
            workspace.json(&["token", "verify", &token, "--json"]),
            json!({"active": true, "claims": claims})
        );
    }

    #[test]
    fn a_token_is_read_from_standard_input() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        for arguments in [&["token", "verify"][..], &["token", "verify", "-"]] {
            assert!(
                workspace.run_with(arguments, &[], &format!(" {token}\n")).expect_ok().starts_with("good")
            );
        }
    }

    #[test]
    fn a_token_of_another_server_is_not_good() {
        let (here, elsewhere) = (Workspace::new(), Workspace::new());
        here.token(&[]);
        assert!(reason(&here, &elsewhere.token(&[])).starts_with("it is not a token of this server"));
        assert!(reason(&here, "abc").starts_with("it is not a token of this server"));
    }

    #[test]
    fn a_changed_token_is_not_good() {
        let workspace = Workspace::new();
        let (token, other) = (workspace.token(&[]), workspace.token(&["--access", "write_agent"]));
        let parts: Vec<_> = token.split('.').collect();
        let payload_of_other = other.split('.').nth(1).unwrap();
        let changed = format!("{}.{payload_of_other}.{}", parts[0], parts[2]);
        assert_eq!(reason(&workspace, &changed), "its signature does not fit");
    }

    #[test]
    fn a_token_of_another_issuer_or_audience_is_not_good() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        for (variable, value, expected) in [
            ("HALLPASS_SERVER__PUBLIC_URL", "https://t.example", "its `iss` is not `https://t.example`"),
            ("HALLPASS_TOKENS__AUDIENCE", "other", "its `aud` is not `other`"),
        ] {
            let said =
                workspace.run_with(&["token", "verify", &token], &[(variable, value)], "").expect_code(1);
            assert_eq!(said.stdout, format!("not good: {expected}\n"));
        }
    }

    #[test]
    fn a_revoked_token_is_not_good() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        workspace.ok(&["token", "revoke", &token]);
        assert!(reason(&workspace, &token).starts_with("it was revoked at 2"));
    }

    #[test]
    fn a_token_without_a_record_is_not_good() {
        let (workspace, restored) = (Workspace::new(), Workspace::new());
        workspace.api_key("default");
        for file in ["hallpass.db", "hallpass.master-key"] {
            std::fs::copy(workspace.path().join(file), restored.path().join(file)).unwrap();
        }
        let token = workspace.token(&[]);
        assert_eq!(reason(&restored, &token), "this database holds no record of it");
    }

    #[test]
    fn a_token_is_good_for_five_seconds_past_its_end_and_then_expired_everywhere() {
        let workspace = Workspace::new();
        let token = workspace.token(&["--ttl", "1s"]);
        verify(&workspace, &token).expect_code(0);
        wait_until("the token is over", || verify(&workspace, &token).code == Some(1));

        let why = reason(&workspace, &token);
        let seconds: u64 = why
            .strip_prefix("it expired ")
            .and_then(|rest| rest.strip_suffix(" s ago"))
            .unwrap()
            .parse()
            .unwrap();
        assert!(seconds >= 5, "{why}");
        let shown = workspace.run(&["token", "inspect", &token]).expect_code(0);
        assert!(shown.stderr.contains("expired "), "{shown:?}");
        let listed = |status| {
            workspace.json(&["token", "list", "--status", status, "--json"])["tokens"]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(["active", "expired", "revoked", "all"].map(listed), [0, 1, 0, 1]);
        assert_eq!(workspace.ok(&["token", "revoke", &token]), "revoked 0 live tokens\n");
    }
}

mod list {
    use super::*;

    #[test]
    fn the_newest_token_comes_first_and_no_token_is_shown() {
        let workspace = Workspace::new();
        let (first, second) = (workspace.token(&[]), workspace.token(&["--agent", "agent-2"]));
        let table = workspace.ok(&["token", "list"]);
        let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["JTI", "API", "KEY", "EXPIRES", "REVOKED", "HOSTNAME", "AGENTS"]);
        let (jti_1, jti_2) = (jti(&workspace, &first), jti(&workspace, &second));
        assert_eq!([lines[1][0], lines[2][0]], [jti_2.as_str(), jti_1.as_str()]);
        assert_eq!([lines[1][1], lines[1][3], lines[1][4]], ["cli", "-", "https://app.example.com"]);
        assert_eq!(lines[1][5..], ["agent-1", "agent-2"]);

        let listed = workspace.json(&["token", "list", "--json"]);
        assert_eq!((&listed["tokens"][1]["jti"], &listed["hasNextPage"]), (&jti_1.into(), &false.into()));
        for token in [first, second] {
            assert!(!table.contains(&token) && !listed.to_string().contains(&token));
        }
    }

    #[test]
    fn filters_and_pages_narrow_the_list() {
        let workspace = Workspace::new();
        workspace.api_key("staging");
        workspace.token(&["--project", "staging"]);
        let one = jti(&workspace, &workspace.token(&[]));
        let two = jti(&workspace, &workspace.token(&["--agent", "agent-2"]));
        workspace.ok(&["token", "revoke", &one]);
        let listed = |arguments: &[&str]| -> Vec<String> {
            let list = workspace.json(&[&["token", "list", "--json"], arguments].concat());
            let tokens = list["tokens"].as_array().unwrap().clone();
            tokens.iter().map(|token| token["jti"].as_str().unwrap().to_owned()).collect()
        };
        let both = [two.clone(), one.clone()];
        assert_eq!(listed(&[]), both[..1]);
        assert_eq!(listed(&["--status", "revoked"]), both[1..]);
        assert_eq!(listed(&["--status", "all"]), both);
        assert_eq!(listed(&["--status", "all", "--agent", "agent-2"]), both[..1]);
        assert_eq!(listed(&["--status", "all", "--limit", "1", "--offset", "1"]), both[1..]);
        assert_eq!(listed(&["--project", "staging"]).len(), 1);
        let page = workspace.run(&["token", "list", "--status", "all", "--limit", "1"]).expect_code(0);
        assert_eq!(page.stderr, "there are more; see `--offset` and `--limit`\n");
    }

    #[test]
    fn a_mistake_is_told_with_its_rule() {
        let workspace = Workspace::new();
        workspace.api_key("default");
        let refusal = workspace.refusal(1, &["token", "list", "--project", "nope"]);
        assert_eq!(refusal, "error: there is no project `nope`; there are `default`\n");
        let refusal = workspace.refusal(2, &["token", "list", "--status", "live"]);
        assert!(refusal.contains("possible values: active, expired, revoked, all"), "{refusal}");
    }
}

mod revoke {
    use super::*;

    #[test]
    fn one_token_goes_by_itself_by_its_id_or_from_standard_input() {
        let workspace = Workspace::new();
        let tokens = [workspace.token(&[]), workspace.token(&[]), workspace.token(&[]), workspace.token(&[])];
        let [by_token, by_jti, by_input, left] = &tokens;
        assert_eq!(workspace.ok(&["token", "revoke", by_token]), "revoked 1 live token\n");
        assert_eq!(
            workspace.json(&["token", "revoke", &jti(&workspace, by_jti), "--json"]),
            json!({"revoked": 1})
        );
        workspace.run_with(&["token", "revoke", "-"], &[], by_input).expect_code(0);
        assert_eq!(good(&workspace, &[by_token, by_jti, by_input, left]), [false, false, false, true]);
        assert_eq!(workspace.ok(&["token", "revoke", by_token]), "revoked 0 live tokens\n");
    }

    #[test]
    fn all_of_an_agent_go_together() {
        let workspace = Workspace::new();
        let (one, both) = (workspace.token(&[]), workspace.token(&["--agent", "agent-2"]));
        assert_eq!(workspace.ok(&["token", "revoke", "--agent", "agent-2"]), "revoked 1 live token\n");
        assert_eq!(good(&workspace, &[&one, &both]), [true, false]);
    }

    #[test]
    fn all_of_an_origin_go_together_however_it_is_written() {
        let workspace = Workspace::new();
        let here = workspace.token(&[]);
        let there = workspace
            .ok(&["token", "create", "--hostname", "http://localhost:5173", "--agent", "agent-1"])
            .trim()
            .to_owned();
        let arguments = ["token", "revoke", "--hostname", "HTTPS://APP.example.com:443"];
        assert_eq!(workspace.ok(&arguments), "revoked 1 live token\n");
        assert_eq!(good(&workspace, &[&here, &there]), [false, true]);
    }

    #[test]
    fn all_of_an_api_key_go_together() {
        let workspace = Workspace::new();
        let server = workspace.serve(&[("HALLPASS_API_KEY", "a-static-key-for-tests")]);
        let (id, key) = workspace.api_key("default");
        server.wait_for(&key);
        let by_key = server.issue(&key);
        let by_static_key = server.issue("a-static-key-for-tests");
        let by_hand = workspace.token(&[]);
        assert_eq!(workspace.ok(&["token", "revoke", "--api-key", &id]), "revoked 1 live token\n");
        assert_eq!(good(&workspace, &[&by_key, &by_static_key, &by_hand]), [false, true, true]);
        assert_eq!(workspace.ok(&["token", "revoke", "--api-key", "static"]), "revoked 1 live token\n");
        assert_eq!(good(&workspace, &[&by_static_key, &by_hand]), [false, true]);
    }

    #[test]
    fn all_of_a_project_or_all_there_are_go_together() {
        let workspace = Workspace::new();
        workspace.api_key("staging");
        let (default, staging) = (workspace.token(&[]), workspace.token(&["--project", "staging"]));
        assert_eq!(
            workspace.ok(&["token", "revoke", "--all", "--project", "staging"]),
            "revoked 1 live token\n"
        );
        assert_eq!(good(&workspace, &[&default, &staging]), [true, false]);
        let another = workspace.token(&["--project", "staging"]);
        assert_eq!(workspace.json(&["token", "revoke", "--all", "--json"]), json!({"revoked": 2}));
        assert_eq!(good(&workspace, &[&default, &another]), [false, false]);
    }

    #[test]
    fn conditions_hold_together() {
        let workspace = Workspace::new();
        workspace.api_key("staging");
        let tokens = [
            workspace.token(&["--agent", "agent-2"]),
            workspace.token(&[]),
            workspace.token(&["--agent", "agent-2", "--project", "staging"]),
        ];
        let conditions =
            ["--agent", "agent-2", "--hostname", "https://app.example.com", "--project", "default"];
        assert_eq!(workspace.ok(&[&["token", "revoke"], &conditions[..]].concat()), "revoked 1 live token\n");
        assert_eq!(good(&workspace, &[&tokens[0], &tokens[1], &tokens[2]]), [false, true, true]);
    }

    #[test]
    fn nothing_goes_without_a_condition_or_by_contradicting_ones() {
        let workspace = Workspace::new();
        let token = workspace.token(&[]);
        for arguments in [
            &[][..],
            &["--project", "default"],
            &["--all", "--agent", "agent-1"],
            &[&token, "--all"],
            &[&token, "--project", "default"],
        ] {
            workspace.refusal(2, &[&["token", "revoke"], arguments].concat());
        }
        assert_eq!(good(&workspace, &[&token]), [true]);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let workspace = Workspace::new();
        workspace.api_key("default");
        for (arguments, rule) in [
            (&["abc"][..], "this is neither a token nor a `jti`"),
            (&["019393a0-0000-7000-8000-000000000000"], "this database holds no record of token `019393a0-"),
            (&["--all", "--project", "nope"], "there is no project `nope`; there are `default`"),
        ] {
            let refusal = workspace.refusal(1, &[&["token", "revoke"], arguments].concat());
            assert!(refusal.contains(rule), "{refusal}");
        }
    }
}
