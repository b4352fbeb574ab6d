//! Which headers pass: for client tokens those of short lists, for API keys all but those that concern
//! one connection or name the caller.

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// What the SDKs say of themselves.
const SDK_PREFIX: &str = "x-stainless-";
const SDK_VERSION: HeaderName = HeaderName::from_static("x-stainless-package-version");

/// Stands for an SDK whose version isn't known. Without one, Letta's server answers a browser in an
/// older form, which shows secrets in plain text.
const SOME_VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const BARE_PASSWORD: HeaderName = HeaderName::from_static("x-bare-password");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Request headers of a client token's holder that pass.
const FROM_CLIENTS: [HeaderName; 3] = [ACCEPT, USER_AGENT, TRACE_PARENT];

/// Headers of answers that a client token's holder gets.
const TO_CLIENTS: [HeaderName; 5] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CACHE_CONTROL, RETRY_AFTER];

/// Headers that concern one connection (RFC 9110, section 7.6.1).
const OF_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// What the body of a request to the agent server is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sends {
    Nothing,
    Json,
    AsSent,
}

/// The request headers that pass with a client token; of those that are there twice, the first counts. Encodings
/// are asked for only where the answer passes as it is.
pub(super) fn from_client(given: &HeaderMap, sends: Sends, reads_answer: bool) -> HeaderMap {
    let passes = |name: &HeaderName| {
        FROM_CLIENTS.contains(name)
            || (name == ACCEPT_ENCODING && !reads_answer)
            || (name == CONTENT_TYPE && sends == Sends::AsSent)
            || name.as_str().starts_with(SDK_PREFIX)
    };
    let mut headers = HeaderMap::with_capacity(given.len() + 3);
    for (name, value) in given.iter().filter(|(name, _)| passes(name)) {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if !headers.get(SDK_VERSION).is_some_and(is_version) {
        headers.insert(SDK_VERSION, SOME_VERSION);
    }
    if sends == Sends::Json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers
}

fn is_version(value: &HeaderValue) -> bool {
    let text = value.as_bytes();
    text.first().is_some_and(u8::is_ascii_digit)
        && text.contains(&b'.')
        && text.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+'))
}

/// The answer's headers that a client token's holder gets. An answer has few, so each is held against the list;
/// of those that are there twice, the first counts.
pub(super) fn to_client(given: HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    // A name comes with its first value alone.
    for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name?, value))) {
        if TO_CLIENTS.contains(&name) {
            headers.insert(name, value);
        }
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

/// An API key's request without what concerns the connection, and without its credentials.
pub(super) fn from_key(mut headers: HeaderMap) -> HeaderMap {
    drop_of_connection(&mut headers);
    for name in [AUTHORIZATION, BARE_PASSWORD, HOST, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers
}

/// The answer to an API key without what concerns the connection, and without permissions for
/// browsers, in which an API key has no place.
pub(super) fn to_key(mut headers: HeaderMap) -> HeaderMap {
    drop_of_connection(&mut headers);
    let cors: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in cors {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    headers
}

fn drop_of_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_of_a_client_passes_but_what_is_listed() {
        let given = map(&[
            ("accept", "*/*"),
            ("accept-encoding", "gzip"),
            ("authorization", "Bearer x"),
            ("x-bare-password", "password x"),
            ("user_id", "user-1"),
            ("cookie", "a=b"),
            ("x-stainless-lang", "js"),
            ("x-forwarded-for", "1.2.3.4"),
            ("content-type", "text/plain"),
        ]);
        assert_eq!(
            names(&from_client(&given, Sends::Nothing, true)),
            ["accept", "x-stainless-lang", "x-stainless-package-version"]
        );
        let as_sent = from_client(&given, Sends::AsSent, false);
        assert_eq!(
            (&as_sent["content-type"], &as_sent["accept-encoding"]),
            (&"text/plain".parse().unwrap(), &"gzip".parse().unwrap())
        );
    }

    #[test]
    fn an_sdk_version_that_is_none_is_replaced() {
        for (given, sent) in
            [("", "1.0.0"), ("x", "1.0.0"), ("1.12.1", "1.12.1"), ("2.0.0-rc.1", "2.0.0-rc.1")]
        {
            let headers = from_client(&map(&[("x-stainless-package-version", given)]), Sends::Nothing, true);
            assert_eq!(headers["x-stainless-package-version"], sent, "{given}");
        }
    }

    #[test]
    fn of_a_header_that_a_client_sends_twice_the_first_counts() {
        let mut given = map(&[("accept", "application/json"), ("x-stainless-package-version", "1.12.1")]);
        given.append(ACCEPT, HeaderValue::from_static("text/event-stream"));
        given.append(SDK_VERSION, HeaderValue::from_static(""));
        let headers = from_client(&given, Sends::Nothing, true);
        assert_eq!(headers.get_all(ACCEPT).iter().collect::<Vec<_>>(), ["application/json"]);
        assert_eq!(headers.get_all(SDK_VERSION).iter().collect::<Vec<_>>(), ["1.12.1"]);
    }

    #[test]
    fn an_sdk_version_that_is_there_twice_is_no_way_round() {
        let mut headers = map(&[("x-stainless-package-version", "")]);
        headers.append(SDK_VERSION, HeaderValue::from_static("1.12.1"));
        assert_eq!(from_client(&headers, Sends::Nothing, true)[SDK_VERSION], "1.0.0");
    }

    #[test]
    fn a_header_named_by_connection_stays_behind() {
        let given =
            map(&[("connection", "close, x-secret"), ("x-secret", "1"), ("x-kept", "1"), ("te", "trailers")]);
        assert_eq!(names(&from_key(given)), ["x-kept"]);
    }

    #[test]
    fn an_answer_allows_no_browser_by_itself() {
        let given =
            map(&[("access-control-allow-origin", "*"), ("set-cookie", "a"), ("content-type", "text/html")]);
        assert_eq!(names(&to_key(given.clone())), ["content-type", "set-cookie"]);
        assert_eq!(names(&to_client(given)), ["content-type", "x-content-type-options"]);
    }

    #[test]
    fn of_a_header_that_an_answer_has_twice_the_first_counts() {
        let mut given = map(&[("content-type", "text/plain"), ("set-cookie", "a")]);
        given.append(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        given.append("set-cookie", HeaderValue::from_static("b"));
        let headers = to_client(given);
        assert_eq!(headers.get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/plain"]);
        assert_eq!(names(&headers), ["content-type", "x-content-type-options"]);
    }
}
