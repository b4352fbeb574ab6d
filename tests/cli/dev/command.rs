//! The command itself.

use std::fs;
use std::time::Duration;

use super::{AGENT, KEY, PAGE, status};
use crate::workspace::Workspace;

#[test]
fn it_starts_without_anything_and_leaves_nothing_behind() {
    let workspace = Workspace::new();
    let server = workspace.dev(&[]);
    let token = server.token();
    assert_eq!(server.read(&token).0, 200);
    drop(server);
    assert_eq!(fs::read_dir(workspace.path()).unwrap().count(), 0);
}

#[test]
fn its_screen_has_what_a_first_token_takes() {
    let server = Workspace::new().dev(&["--origin", "http://localhost:3000"]);
    let screen = server.screen();
    let base = server.address.replace("127.0.0.1", "localhost");
    for part in [
        &*format!("http://{base}"),
        KEY,
        "http://localhost:3000",
        "curl ",
        "new Letta(",
        "Letta(api_key=",
        "/dev/log",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains('\x1b'), "no colours where nobody sees them: {screen:?}");
}

#[test]
fn the_curl_of_its_screen_makes_a_token_for_an_agent_that_answers() {
    let workspace = Workspace::new();
    let server = workspace.dev(&[]);
    let screen = server.screen();
    let from = screen.find("curl ").unwrap();
    let command = &screen[from..from + screen[from..].find("\n\n").unwrap()];
    let mut shell = workspace.program("sh");
    shell.args(["-c", &format!("{} --silent --fail", command.trim_end())]);
    let made = crate::workspace::outcome_of(shell, "").expect_ok();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let agent = super::text(&made["policy"]["data"][0], "id");
    let (status, answer) =
        server.page(&super::text(&made, "token"), "GET", &format!("/v1/agents/{agent}/messages"), "");
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn no_configuration_reaches_it() {
    let workspace = Workspace::new();
    workspace.write("hallpass.toml", "this is [ no TOML");
    workspace.write("other.toml", "");
    let refusal = workspace.refusal(1, &["dev", "--config", "other.toml"]);
    assert!(refusal.contains("reads no configuration"), "{refusal}");
    // Neither the file, which is broken, nor variables: a server would stop at each.
    let outcome = workspace.run_with(
        &["dev", "--port", "0", "--host", "10.255.255.254", "--not-only-loopback"],
        &[("HALLPASS_SERVER__LISTEN", "no address"), ("HALLPASS_API_KEY", "short")],
        "",
    );
    assert!(outcome.stderr.contains("cannot listen on `10.255.255.254:0`"), "{outcome:?}");
    drop(workspace.dev(&[]));
}

#[test]
fn an_address_that_others_reach_is_wanted_twice() {
    let workspace = Workspace::new();
    let refusal = workspace.refusal(1, &["dev", "--port", "0", "--host", "0.0.0.0"]);
    assert!(refusal.contains("--not-only-loopback"), "{refusal}");
    let server = workspace.dev(&["--host", "0.0.0.0", "--not-only-loopback"]);
    let token = server.token();
    assert_eq!(server.read(&token).0, 200);
}

#[test]
fn a_request_by_another_name_is_refused_everywhere() {
    let server = Workspace::new().dev(&[]);
    let token = server.token();
    for (path, credential) in [
        (format!("/v1/agents/{AGENT}/messages"), token.as_str()),
        ("/v1/client-side-access-tokens".to_owned(), KEY),
        ("/dev/log".to_owned(), KEY),
        ("/healthz".to_owned(), ""),
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: rebound.example.com\r\nauthorization: Bearer {credential}\r\norigin: {PAGE}\r\nconnection: close\r\n\r\n"
        );
        let (head, body) = server.raw(&request);
        assert_eq!(status(&head), 403, "{path}: {body}");
        assert!(body.contains("host_not_local"), "{body}");
    }
}

#[test]
fn the_server_takes_the_development_key_nowhere() {
    let workspace = Workspace::new();
    let outcome = workspace.run_with(&["serve"], &[("HALLPASS_API_KEY", KEY)], "").expect_code(1);
    assert!(outcome.stderr.contains("everybody knows"), "{outcome:?}");
    assert!(!outcome.stderr.contains(KEY), "{outcome:?}");
    workspace.write("key", KEY);
    workspace.run_with(&["serve"], &[("HALLPASS_API_KEY_FILE", "key")], "").expect_code(1);
    let server = workspace.serve(&[]);
    assert_eq!(server.request("GET", "/v1/client-side-access-tokens", KEY, "").0, 401);
}

#[test]
fn with_a_real_agent_server_the_key_issues_tokens_and_passes_no_gateway() {
    let workspace = Workspace::new();
    // Nobody listens there: what passes is 502.
    let server = workspace.dev(&["--upstream", "http://127.0.0.1:9"]);
    let token = server.token();
    assert_eq!(server.read(&token).0, 502);
    assert_eq!(server.request("GET", "/v1/agents/", KEY, "").0, 401);
    assert!(server.screen().contains("http://127.0.0.1:9"), "{}", server.log());
    let played = workspace.dev(&[]);
    assert_eq!(played.request("GET", "/v1/agents/", KEY, "").0, 200);
}

#[test]
fn what_is_no_upstream_is_told() {
    let workspace = Workspace::new();
    for (arguments, rule) in [
        (&["--upstream", "http://localhost:8283/v1"][..], "it has a path"),
        (&["--upstream", "http://127.0.0.1:9", "--upstream-token-file", "missing"], "cannot read `missing`"),
        (&["--upstream-token-file", "x"], "--upstream"),
        (&["--origin", "localhost:5173"], "absolute"),
    ] {
        let outcome = workspace.run(&[&["dev", "--port", "0"], arguments].concat());
        assert!(outcome.code != Some(0) && outcome.stderr.contains(rule), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn a_signal_ends_it_at_once_whatever_is_open() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Workspace::new().dev(&[]);
        let token = server.token();
        let request = format!(
            "POST /v1/agents/{AGENT}/messages/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             origin: {PAGE}\r\ncontent-type: application/json\r\ncontent-length: 72\r\n\r\n\
             {{\"messages\":[{{\"role\":\"user\",\"content\":\"[words 500] [slow 1000]\"}}]}}       "
        );
        let stream = server.open(&request);
        let (code, took) = server.stop(signal);
        drop(stream);
        assert_eq!(code, Some(0));
        // Far less than a server that lets streams finish takes.
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
