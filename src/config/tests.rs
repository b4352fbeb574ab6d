//! The settings of enforcement, by way of a file and of the environment.

use std::fs;

use super::read::tests::{read, refusal};

const UPSTREAM: &str = "gateway.upstream = 'http://letta'\n";

#[test]
fn settings_of_every_kind_come_from_the_file_or_the_environment() {
    let toml = r#"
        server.trusted_proxies = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
        [gateway]
        upstream = "https://letta.internal:8443"
        upstream_token = "a-password"
        preset = "none"
        require_origin = false
        max_body = "1MiB"
        max_steps = 7
        agent_fields = ["metadata", "tags"]
        system_messages = true
        answer_timeout = "30s"
        idle_timeout = "60s"
        [[gateway.routes]]
        method = "GET"
        path = "/v1/things/{agent}"
        access = "read_agent"
        query = ["limit"]
        [[gateway.routes]]
        method = "POST"
        path = "/v1/things?agent_id={agent}"
        access = "write_agent"
        [forward_auth]
        proxy = "envoy"
        allow_unchecked = true
        [limits]
        messages_per_minute = 0
        open_streams = 10000
        lists_per_minute = 1000000
    "#;
    let environment = [
        ("HALLPASS_SERVER__TRUSTED_PROXIES", r#"["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]"#),
        ("HALLPASS_GATEWAY__UPSTREAM", "https://letta.internal:8443"),
        ("HALLPASS_GATEWAY__UPSTREAM_TOKEN", "a-password"),
        ("HALLPASS_GATEWAY__PRESET", "none"),
        ("HALLPASS_GATEWAY__REQUIRE_ORIGIN", "false"),
        ("HALLPASS_GATEWAY__MAX_BODY", "1MiB"),
        ("HALLPASS_GATEWAY__MAX_STEPS", "7"),
        ("HALLPASS_GATEWAY__AGENT_FIELDS", r#"["metadata", "tags"]"#),
        ("HALLPASS_GATEWAY__SYSTEM_MESSAGES", "true"),
        ("HALLPASS_GATEWAY__ANSWER_TIMEOUT", "30s"),
        ("HALLPASS_GATEWAY__IDLE_TIMEOUT", "60s"),
        (
            "HALLPASS_GATEWAY__ROUTES",
            "[{method = 'GET', path = '/v1/things/{agent}', access = 'read_agent', query = ['limit']},
              {method = 'POST', path = '/v1/things?agent_id={agent}', access = 'write_agent'}]",
        ),
        ("HALLPASS_FORWARD_AUTH__PROXY", "envoy"),
        ("HALLPASS_FORWARD_AUTH__ALLOW_UNCHECKED", "true"),
        ("HALLPASS_LIMITS__MESSAGES_PER_MINUTE", "0"),
        ("HALLPASS_LIMITS__OPEN_STREAMS", "10000"),
        ("HALLPASS_LIMITS__LISTS_PER_MINUTE", "1000000"),
    ];
    let from_file = read(toml, &[]).unwrap().config;
    assert_eq!(from_file, read("", &environment).unwrap().config);
    assert_eq!(from_file.server.trusted_proxies.len(), 3);
    assert_eq!(from_file.gateway.upstream_token.as_ref().unwrap().expose(), "a-password");
    let access = from_file.gateway.access();
    assert!(!access.require_origin && access.system_messages, "{access:?}");
    assert_eq!((access.max_steps, access.agent_fields.len(), access.changes.len()), (7, 2, 2));
}

#[test]
fn the_environments_list_replaces_the_files() {
    let toml = "server.trusted_proxies = ['10.0.0.0/8', '127.0.0.1/32']";
    let loaded = read(toml, &[("HALLPASS_SERVER__TRUSTED_PROXIES", "['10.1.0.0/16']")]).unwrap();
    assert_eq!(loaded.config.server.trusted_proxies, ["10.1.0.0/16".parse().unwrap()]);
    let loaded = read(toml, &[("HALLPASS_SERVER__TRUSTED_PROXIES", "[]")]).unwrap();
    assert!(loaded.config.server.trusted_proxies.is_empty());
}

#[test]
fn a_range_includes_both_its_ends_and_nothing_beyond() {
    for (key, ends, beyond) in [
        ("gateway.max_body", ["'1KiB'", "'64MiB'"], ["'1023B'", "'65MiB'"]),
        ("gateway.max_steps", ["1", "1000"], ["0", "1001"]),
        ("gateway.answer_timeout", ["'1s'", "'1h'"], ["'999ms'", "'61m'"]),
        ("gateway.idle_timeout", ["'60s'", "'1h'"], ["'59s'", "'61m'"]),
        ("limits.messages_per_minute", ["0", "1000000"], ["-1", "1000001"]),
        ("limits.open_streams", ["0", "10000"], ["-1", "10001"]),
        ("limits.lists_per_minute", ["0", "1000000"], ["-1", "1000001"]),
    ] {
        for value in ends {
            read(&format!("{key} = {value}"), &[]).unwrap();
        }
        for value in beyond {
            let refusal = refusal(&format!("{key} = {value}"), &[]);
            let rule = if value == "-1" { "integer `-1`, expected u32" } else { "must be between `" };
            assert!(refusal.contains(&format!("`{key}`: ")) && refusal.contains(rule), "{refusal}");
        }
    }
}

#[test]
fn settings_that_make_no_sense_together_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ca = format!("gateway.upstream_ca = '{}'\n", file.path().display());
    for (toml, key, rule) in [
        (
            "gateway.upstream_token = 'x'",
            "gateway.upstream_token",
            "`gateway.upstream` names, which is not set",
        ),
        (&ca, "gateway.upstream_ca", "`gateway.upstream` names, which is not set"),
        (&format!("{ca}{UPSTREAM}"), "gateway.upstream_ca", "make it `https://`"),
        ("gateway.upstream = 'http://127.0.0.1:8284'", "gateway.upstream", "this is Hallpass itself"),
        ("gateway.upstream = 'http://localhost:9284'", "gateway.upstream", "this is Hallpass itself"),
        ("forward_auth.allow_unchecked = true", "forward_auth.allow_unchecked", "set `forward_auth.proxy`"),
        ("forward_auth.proxy = 'nginx'", "forward_auth.proxy", "set `server.trusted_proxies`"),
    ] {
        let refusal = refusal(toml, &[]);
        assert!(refusal.contains(&format!("`{key}`: ")) && refusal.contains(rule), "{refusal}");
    }
    read(&format!("{ca}gateway.upstream = 'https://letta'"), &[]).unwrap();
}

#[test]
fn a_file_of_authorities_must_be_readable() {
    for path in ["/nonexistent/ca.pem", "/"] {
        let toml = format!("gateway.upstream = 'https://letta'\ngateway.upstream_ca = '{path}'");
        let refusal = refusal(&toml, &[]);
        assert!(refusal.contains(&format!("`gateway.upstream_ca`: `{path}` cannot be read: ")), "{refusal}");
    }
}

#[test]
fn a_network_is_an_address_and_the_length_of_its_prefix() {
    for (text, rule) in [
        ("10.0.0.1", "`10.0.0.1/32` for one address, got `10.0.0.1`"),
        ("10.0.0.0/33", "must be networks such as `10.0.0.0/8`"),
        ("proxy.internal", "must be networks such as `10.0.0.0/8`"),
        ("10.1.2.3/8", "an address within the network `10.0.0.0/8`"),
    ] {
        let refusal = refusal(&format!("server.trusted_proxies = ['{text}']"), &[]);
        assert!(refusal.contains("`server.trusted_proxies`: ") && refusal.contains(rule), "{refusal}");
    }
}

#[test]
fn an_error_in_a_list_names_the_lists_source_and_the_entry() {
    let routes =
        "[{method = 'GET', path = '/a/{agent}', access = 'read_agent'}, {method = 'BREW', path = '/b'}]";
    let wanted = "`gateway.routes[1].method`: unknown variant `BREW`, expected one of `GET`";
    let in_file = refusal(&format!("gateway.routes = {routes}"), &[]);
    assert!(in_file.contains(wanted), "{in_file}");
    let in_environment = refusal("", &[("HALLPASS_GATEWAY__ROUTES", routes)]);
    let start = format!("environment variable `HALLPASS_GATEWAY__ROUTES`: {wanted}");
    assert!(in_environment.starts_with(&start), "{in_environment}");
}

#[test]
fn what_the_permission_table_refuses_is_told_at_its_setting() {
    for (toml, wanted) in [
        ("gateway.agent_fields = ['tools']", "`gateway.agent_fields`: may hold `metadata`"),
        (
            "[[gateway.routes]]\nmethod = 'GET'\npath = '/v1/things/{agent}'\naccess = 'any'",
            "`gateway.routes[0].access`: is `any`, which goes with paths that name no agent",
        ),
        (
            "[[gateway.routes]]\nmethod = 'GET'\npath = '/v1/nowhere'\nremove = true",
            "`gateway.routes[0]`: takes away `GET /v1/nowhere`, which is not in the table",
        ),
    ] {
        let refusal = refusal(toml, &[]);
        assert!(refusal.contains(wanted), "{refusal}");
    }
    let fields = ("HALLPASS_GATEWAY__AGENT_FIELDS", "['tools']");
    let by_variable = refusal("", &[fields]);
    assert!(
        by_variable.starts_with(&format!("environment variable `{}`: may hold", fields.0)),
        "{by_variable}"
    );
}

#[test]
fn a_variable_that_is_not_of_its_settings_kind_is_refused() {
    for (variable, value, rule) in [
        ("HALLPASS_GATEWAY__ROUTES", "GET /v1/things", "must be a list, as in TOML: "),
        ("HALLPASS_GATEWAY__ROUTES", "{method = 'GET'}", "must be a list, as in TOML: `[…]`"),
        ("HALLPASS_GATEWAY__ROUTES", "[]\nmax_steps = 1", "must be a list, as in TOML: "),
        ("HALLPASS_GATEWAY__AGENT_FIELDS", "metadata", "must be a list, as in TOML: "),
        ("HALLPASS_GATEWAY__MAX_STEPS", "many", "invalid type: string \"many\", expected u32"),
        ("HALLPASS_GATEWAY__REQUIRE_ORIGIN", "no", "invalid type: string \"no\", expected a boolean"),
    ] {
        let refusal = refusal("", &[(variable, value)]);
        assert!(refusal.starts_with(&format!("environment variable `{variable}`: {rule}")), "{refusal}");
    }
    let in_file = refusal("gateway.max_steps = '7'", &[]);
    assert!(in_file.contains("invalid type: string \"7\", expected u32"), "{in_file}");
}

#[test]
fn what_may_be_a_secret_may_stand_in_a_file_of_its_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "from-a-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let token = |toml: &str, environment: &[(&str, &str)]| {
        let config = read(toml, environment).unwrap().config;
        config.gateway.upstream_token.unwrap().expose().to_owned()
    };
    let (plain, named) = ("gateway.upstream_token = 'x'", format!("gateway.upstream_token_file = '{path}'"));
    let variable = ("HALLPASS_GATEWAY__UPSTREAM_TOKEN_FILE", path);
    assert_eq!(token(&format!("{UPSTREAM}{named}"), &[]), "from-a-file");
    assert_eq!(token(UPSTREAM, &[variable]), "from-a-file");
    // The environment wins, whichever of the two ways it and the configuration file use.
    assert_eq!(token(&format!("{UPSTREAM}{plain}"), &[variable]), "from-a-file");
    let plain_variable = ("HALLPASS_GATEWAY__UPSTREAM_TOKEN", "from-a-variable");
    assert_eq!(token(&format!("{UPSTREAM}{named}"), &[plain_variable]), "from-a-variable");
}

#[test]
fn the_databases_url_may_stand_in_a_file_of_its_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "postgres://u:p@h/db\n").unwrap();
    let path = file.path().to_str().unwrap();
    let named = format!("database.url_file = '{path}'\ndatabase.direct_url_file = '{path}'");
    let database = read(&named, &[]).unwrap().config.database;
    assert_eq!(
        (database.url.to_string().as_str(), database.direct_url),
        ("postgres://u:***@h/db", Some(database.url))
    );
    // The container image sets the one, so who names a file means the file.
    let variables = [("HALLPASS_DATABASE__URL", "sqlite:x"), ("HALLPASS_DATABASE__URL_FILE", path)];
    assert_eq!(read("", &variables).unwrap().config.database.url.to_string(), "postgres://u:***@h/db");
}

#[test]
fn a_secret_that_is_given_twice_in_one_place_is_refused() {
    let wanted = "`gateway.upstream_token` is given as well; set one of the two";
    let toml = "gateway.upstream_token = 's3cret'\ngateway.upstream_token_file = 's3cret-file'";
    let in_file = refusal(toml, &[]);
    assert!(in_file.ends_with(&format!("`gateway.upstream_token_file`: {wanted}")), "{in_file}");
    let variables = [
        ("HALLPASS_GATEWAY__UPSTREAM_TOKEN", "s3cret"),
        ("HALLPASS_GATEWAY__UPSTREAM_TOKEN_FILE", "s3cret-file"),
    ];
    let variable = "environment variable `HALLPASS_GATEWAY__UPSTREAM_TOKEN_FILE`";
    assert_eq!(refusal("", &variables), format!("{variable}: {wanted}"));
}

#[test]
fn the_upstreams_secret_is_never_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "53 cret").unwrap();
    let path = file.path().to_str().unwrap();
    let ascii = "must consist of visible ASCII characters";
    for (setting, rule) in [
        ("upstream_token = '53 cret'", ascii),
        ("upstream_token = '53crét'", ascii),
        ("upstream_token = \"53\\ncret\"", ascii),
        (&format!("upstream_token_file = '{path}'"), ascii),
        ("upstream_token = ''", "must not be empty"),
        ("upstream_token = 53", "must be a text, in quotes"),
        ("upstream_token = ['53cret']", "must be a text, in quotes"),
        ("upstream_token.cret = '53'", "must be a text, in quotes"),
        ("upstream_token = '53cret", "line 2: "),
        ("upstream_token_file = '53cret'", "the file that it names cannot be read"),
        ("upstream_token_file = 53", "must be the path of a file"),
    ] {
        let refusal = refusal(&format!("{UPSTREAM}gateway.{setting}"), &[]);
        // The name of the configuration file is anything.
        let (_, said) = refusal.split_once(": ").unwrap();
        assert!(said.contains(rule), "{setting}: {said}");
        assert!(!said.contains("53") && !said.contains("cret"), "{said}");
    }
    let by_file = refusal(UPSTREAM, &[("HALLPASS_GATEWAY__UPSTREAM_TOKEN_FILE", path)]);
    let variable = "environment variable `HALLPASS_GATEWAY__UPSTREAM_TOKEN_FILE`";
    assert!(by_file.starts_with(&format!("{variable}: {ascii}")) && !by_file.contains("cret"), "{by_file}");
}

#[test]
fn the_upstreams_secret_is_neither_written_nor_printed() {
    let loaded = read(&format!("{UPSTREAM}gateway.upstream_token = 's3cret'"), &[]).unwrap();
    assert!(!format!("{loaded:?}").contains("s3cret"));
    let written = toml::to_string(&loaded.config).unwrap();
    assert!(written.contains("upstream = \"http://letta\"") && !written.contains("s3cret"), "{written}");
}
