//! The admin listener: `GET /metrics` and nothing else.

use crate::workspace::{Server, Workspace};

/// An answer of the admin listener: its head and its body.
fn ask(server: &Server, method: &str, path: &str, accept: &str) -> (String, String) {
    server.admin_request(method, path, &[("accept", accept)])
}

fn scrape(server: &Server) -> String {
    let (head, body) = ask(server, "GET", "/metrics", "*/*");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body
}

#[test]
fn what_the_server_does_is_in_its_metrics() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (_, key) = workspace.api_key("default");
    server.wait_for(&key);
    let token = server.issue(&key);
    server.issue(&key);
    let path = format!("/v1/client-side-access-tokens/{token}");
    assert_eq!(server.request("DELETE", &path, &key, "").0, 204);

    let metrics = scrape(&server);
    let route = "/v1/client-side-access-tokens";
    for sample in [
        "hallpass_tokens_issued_total 2",
        "hallpass_tokens_revoked_total 1",
        &format!("hallpass_requests_total{{route=\"{route}\",method=\"POST\",status=\"201\"}} 2"),
        &format!("hallpass_requests_total{{route=\"{route}/{{token}}\",method=\"DELETE\",status=\"204\"}} 1"),
        &format!("hallpass_request_duration_seconds_count{{route=\"{route}/{{token}}\"}} 1"),
        &format!("hallpass_request_duration_seconds_bucket{{route=\"{route}/{{token}}\",le=\"+Inf\"}} 1"),
        "hallpass_batch_size_bucket{le=\"1.0\"} 3",
        "hallpass_batch_size_sum 3",
        "hallpass_batch_duration_seconds_count 3",
        "hallpass_write_queue_length 0",
        "hallpass_database_writable 1",
        "hallpass_revoked_tokens 1",
        "hallpass_records_to_remove 0",
        &format!("hallpass_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
    }
    let value = |name: &str| -> f64 {
        let sample = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        sample.unwrap_or_else(|| panic!("{name}\n{metrics}")).parse().unwrap()
    };
    assert!((0.0..5.0).contains(&value("hallpass_revocations_age_seconds")), "{metrics}");
    assert!(value("hallpass_signing_key_active_since_seconds") > 1.7e9, "{metrics}");
    let jti = token.split('.').nth(1).unwrap();
    for secret in [key.as_str(), &token, jti] {
        assert!(!metrics.contains(secret), "{}", metrics.replace(secret, "[THE SECRET]"));
    }
}

#[test]
fn each_metric_is_described_once_and_before_its_samples() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    assert_eq!(server.request("GET", "/healthz", "", "").0, 200);
    let metrics = scrape(&server);
    let mut described = Vec::new();
    for line in metrics.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => {
                let name = rest.split(' ').next().unwrap();
                assert!(!described.contains(&name), "{name} is described twice");
                described.push(name);
            }
            None if line.starts_with("# HELP ") => {}
            None => {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(described.last().unwrap()).unwrap_or_else(|| panic!("{line}"));
                assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
            }
        }
    }
    assert!(described.len() > 12, "{metrics}");
}

#[test]
fn openmetrics_is_spoken_to_who_asks_for_it() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    let (head, body) = ask(&server, "GET", "/metrics", "text/plain");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    assert!(
        body.contains("# TYPE hallpass_tokens_issued_total counter\n") && !body.contains("# EOF"),
        "{body}"
    );

    let (head, body) = ask(&server, "GET", "/metrics", "application/openmetrics-text;version=1.0.0");
    let wanted = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(head.contains(wanted), "{head}");
    assert!(
        body.contains("# TYPE hallpass_tokens_issued counter\n") && body.ends_with("\n# EOF\n"),
        "{body}"
    );
}

#[test]
fn the_admin_listener_has_metrics_only_and_the_other_has_none() {
    let workspace = Workspace::new();
    let server = workspace.serve(&[]);
    for path in ["/", "/healthz", "/readyz", "/metrics/", "/v1/client-side-access-tokens", "/docs"] {
        let (head, body) = ask(&server, "GET", path, "*/*");
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
        assert_eq!(body, "This address serves `/metrics` only.\n", "{path}");
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let (head, _) = ask(&server, method, "/metrics", "*/*");
        assert!(
            head.starts_with("HTTP/1.1 405 ") && head.contains("allow: GET,HEAD\r\n"),
            "{method}: {head}"
        );
    }
    let (head, body) = ask(&server, "HEAD", "/metrics", "*/*");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}{body}");
    assert_eq!(server.request("GET", "/metrics", "", "").0, 404);
}

#[test]
fn an_admin_port_in_use_is_told_with_the_setting() {
    let (one, two) = (Workspace::new(), Workspace::new());
    let server = one.serve(&[]);
    let address = server.admin_address();
    let variables =
        [("HALLPASS_SERVER__LISTEN", "127.0.0.1:0"), ("HALLPASS_SERVER__ADMIN_LISTEN", address.as_str())];
    let refused = two.run_with(&["serve"], &variables, "").expect_code(1);
    assert!(refused.stderr.contains(&format!("cannot listen on `{address}`")), "{refused:?}");
    assert!(refused.stderr.contains("`server.admin_listen`"), "{refused:?}");
}
