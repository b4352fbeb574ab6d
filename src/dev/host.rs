//! Requests that don't mean this machine are refused: a page that has its own name lead to 127.0.0.1 could
//! otherwise read what is answered here (DNS rebinding).

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::request::Parts;

/// Whether a request names this machine, and nothing else, as the one it is for.
pub(super) fn is_loopback(parts: &Parts) -> bool {
    let hosts = parts.headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let mut named = hosts.chain(parts.uri.authority().map(axum::http::uri::Authority::as_str)).peekable();
    named.peek().is_some() && named.all(names_loopback)
}

fn names_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.to_ascii_lowercase();
    if let Some(ip) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return ip.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'));
    }
    host.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4() && ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_this_machine_are_known() {
        for host in [
            "localhost",
            "LOCALHOST:8284",
            "app.localhost:1",
            "127.0.0.1",
            "127.1.2.3:8284",
            "[::1]",
            "[::1]:8284",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(names_loopback(host), "{host}");
        }
    }

    #[test]
    fn whatever_else_a_host_is_it_is_not_this_machine() {
        for host in [
            "",
            ":8284",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "127.0.0.1@example.com",
            "localhost:8284:1",
            "example.com:localhost",
            "evil.com#.localhost",
            "::1",
            "[::2]",
            "2130706433",
            "127.1",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }

    #[test]
    fn every_host_that_is_named_counts() {
        let parts = |uri: &str, hosts: &[&str]| {
            let mut request = axum::http::Request::get(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            request.body(()).unwrap().into_parts().0
        };
        assert!(is_loopback(&parts("/", &["localhost:8284"])));
        assert!(is_loopback(&parts("http://localhost:8284/", &[])));
        assert!(!is_loopback(&parts("/", &[])));
        assert!(!is_loopback(&parts("/", &["localhost", "example.com"])));
        assert!(!is_loopback(&parts("http://example.com/", &["localhost"])));
        assert!(!is_loopback(&parts("http://localhost/", &["example.com"])));
    }
}
