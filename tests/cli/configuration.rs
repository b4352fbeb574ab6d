//! `hallpass config`, and where settings come from.

use crate::workspace::Workspace;

const STATIC_KEY: &str = "a-static-key-for-tests";
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const UPSTREAM_TOKEN: &str = "the-upstreams-password";
const SECRETS: [(&str, &str); 4] = [
    ("HALLPASS_API_KEY", STATIC_KEY),
    ("HALLPASS_MASTER_KEY", MASTER_KEY),
    ("HALLPASS_GATEWAY__UPSTREAM", "http://127.0.0.1:8283"),
    ("HALLPASS_GATEWAY__UPSTREAM_TOKEN", UPSTREAM_TOKEN),
];

#[test]
fn what_is_shown_is_a_configuration_file_with_the_settings_in_force() {
    let workspace = Workspace::new();
    let tokens = "[tokens]\naudience = \"from the file\"\nmax_ttl = \"2h\"\n";
    let routes =
        "[[gateway.routes]]\nmethod = \"GET\"\npath = \"/v1/things/{agent}\"\naccess = \"read_agent\"\n";
    workspace.write("hallpass.toml", &format!("{tokens}{routes}"));
    let variables = [("HALLPASS_TOKENS__AUDIENCE", "from the environment")];
    let shown = workspace.run_with(&["config", "show"], &variables, "").expect_ok();
    assert!(
        shown.starts_with("# file: `hallpass.toml`\n# set by the environment: HALLPASS_TOKENS__AUDIENCE\n")
    );
    assert!(
        shown.contains("audience = \"from the environment\"") && shown.contains("max_ttl = \"2h\""),
        "{shown}"
    );

    workspace.write("shown.toml", &shown);
    let again = workspace.ok(&["config", "show", "--config", "shown.toml"]);
    let settings = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(settings(&again), settings(&shown));
}

#[test]
fn secrets_are_masked() {
    let workspace = Workspace::new();
    for arguments in [&["config", "show"][..], &["config", "check"]] {
        let shown = workspace.run_with(arguments, &SECRETS, "").expect_code(0);
        for secret in [STATIC_KEY, MASTER_KEY, &MASTER_KEY[..12], UPSTREAM_TOKEN] {
            assert!(!shown.stdout.contains(secret) && !shown.stderr.contains(secret), "{shown:?}");
        }
    }
    let shown = workspace.run_with(&["config", "show"], &SECRETS, "").expect_ok();
    let unset = workspace.ok(&["config", "show"]);
    for secret in ["static API key", "master key", "gateway.upstream_token"] {
        assert!(shown.contains(&format!("# {secret}: [set]\n")), "{shown}");
        assert!(unset.contains(&format!("# {secret}: [not set]\n")), "{unset}");
    }
}

#[test]
fn a_right_configuration_is_said_to_be_right() {
    let workspace = Workspace::new();
    assert_eq!(workspace.ok(&["config", "check"]), "the configuration is right (file: none, variables: 0)\n");
    workspace.write("other.toml", "");
    let said = workspace.run_with(
        &["config", "check", "--config", "other.toml"],
        &[("HALLPASS_TOKENS__MAX_TTL", "1h")],
        "",
    );
    assert_eq!(said.expect_ok(), "the configuration is right (file: `other.toml`, variables: 1)\n");
}

#[test]
fn a_mistake_is_told_with_its_source_its_key_and_the_reason() {
    let workspace = Workspace::new();
    for (toml, variables, said) in [
        (
            "[server]\nlissten = \"127.0.0.1:1\"\n",
            &[][..],
            "hallpass.toml: `server.lissten`: unknown field `lissten`, expected one of `listen`, `admin_listen`, `public_url`, `trusted_proxies`",
        ),
        (
            "[tokens]\nmax_ttl = \"1 day\"\n",
            &[],
            "hallpass.toml: `tokens.max_ttl`: must be a duration such as `30s`, `5m`, `24h` or `30d`, got `1 day`",
        ),
        (
            "",
            &[("HALLPASS_SERVER__LISTEN", "8284")],
            "environment variable `HALLPASS_SERVER__LISTEN`: invalid socket address syntax",
        ),
        (
            "[[gateway.routes]]\nmethod = \"BREW\"\npath = \"/v1/tea/{agent}\"\n",
            &[],
            "hallpass.toml: `gateway.routes[0].method`: unknown variant `BREW`, expected one of `GET`",
        ),
        (
            "",
            &[(
                "HALLPASS_GATEWAY__ROUTES",
                "[{method = 'GET', path = '/v1/things/{agent}', access = 'all'}]",
            )],
            "environment variable `HALLPASS_GATEWAY__ROUTES`: `gateway.routes[0].access`: must be one of `read_messages`",
        ),
        (
            "",
            &[("HALLPASS_GATEWAY__UPSTREAM", "http://127.0.0.1:8283/")],
            "environment variable `HALLPASS_GATEWAY__UPSTREAM`: must be a scheme, a host and a port such as \
             `http://127.0.0.1:8283`: it ends in `/`",
        ),
        (
            "[forward_auth]\nproxy = \"nginx\"\n",
            &[],
            "hallpass.toml: `forward_auth.proxy`: nobody may ask: set `server.trusted_proxies`",
        ),
        (
            "",
            &[("HALLPASS_MASTER_KEY_FILE", "/nonexistent")],
            "environment variable `HALLPASS_MASTER_KEY_FILE`: the file that it names cannot be read",
        ),
    ] {
        workspace.write("hallpass.toml", toml);
        for command in [&["config", "check"][..], &["config", "show"], &["serve"], &["api-key", "list"]] {
            let refusal = workspace.run_with(command, variables, "").expect_code(1).stderr;
            assert!(refusal.starts_with("error: the configuration is not usable: "), "{refusal}");
            assert!(refusal.contains(said), "{refusal}");
        }
    }
    assert!(!workspace.path().join("hallpass.db").exists());
}

#[test]
fn a_broken_secret_is_refused_without_showing_it() {
    let workspace = Workspace::new();
    for (variable, value, rule) in [
        ("HALLPASS_API_KEY", "short-secret", "must have at least 16 characters"),
        ("HALLPASS_MASTER_KEY", "bm90IDMyIGJ5dGVz", "must be 32 bytes in base64"),
    ] {
        let refused = workspace.run_with(&["config", "check"], &[(variable, value)], "").expect_code(1);
        assert!(refused.stderr.contains(rule) && refused.stderr.contains(variable), "{refused:?}");
        assert!(!refused.stdout.contains(value) && !refused.stderr.contains(value), "{refused:?}");
    }
}

#[test]
fn a_missing_file_is_an_error_only_when_it_is_named() {
    let workspace = Workspace::new();
    workspace.ok(&["config", "check"]);
    let refusal = workspace.refusal(1, &["config", "check", "--config", "nowhere.toml"]);
    assert!(refusal.contains("nowhere.toml: cannot be read"), "{refusal}");
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let workspace = Workspace::new();
    let variables = [("HALLPASS_SERVICE_HOST", "10.0.0.1")];
    let said = workspace.run_with(&["config", "check"], &variables, "").expect_code(0);
    assert!(
        said.stderr.starts_with("warning: `HALLPASS_SERVICE_HOST` is not a setting and is ignored"),
        "{said:?}"
    );
    assert!(workspace.serve(&variables).log().contains("`HALLPASS_SERVICE_HOST` is not a setting"));
}

#[test]
fn secrets_are_read_from_files() {
    let workspace = Workspace::new();
    workspace.write("api-key", &format!("{STATIC_KEY}\n"));
    workspace.write("master-key", &format!("{MASTER_KEY}\n"));
    let variables = [("HALLPASS_API_KEY_FILE", "api-key"), ("HALLPASS_MASTER_KEY_FILE", "master-key")];
    let server = workspace.serve(&variables);
    server.issue(STATIC_KEY);
    assert!(!workspace.path().join("hallpass.master-key").exists());
}

#[test]
fn another_master_key_stops_every_command_and_harms_nothing() {
    let workspace = Workspace::new();
    let token = workspace.token(&[]);
    let other = [("HALLPASS_MASTER_KEY", MASTER_KEY)];
    for command in [&["token", "list"][..], &["signing-key", "rotate", "--force"], &["serve"]] {
        let refused = workspace.run_with(command, &other, "").expect_code(1);
        assert!(refused.stderr.contains("the master key does not open signing key"), "{refused:?}");
        assert!(!refused.stderr.contains(MASTER_KEY), "{refused:?}");
    }
    workspace.run(&["token", "verify", &token]).expect_code(0);
}

#[test]
fn a_missing_master_key_file_is_never_replaced() {
    let workspace = Workspace::new();
    workspace.api_key("default");
    std::fs::remove_file(workspace.path().join("hallpass.master-key")).unwrap();
    let refusal = workspace.refusal(1, &["api-key", "list"]);
    assert!(refusal.contains("the master key file `hallpass.master-key` is missing"), "{refusal}");
    assert!(!workspace.path().join("hallpass.master-key").exists());
}
