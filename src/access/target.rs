//! A request's target, read once and strictly: what is odd is refused, never guessed, so that what is
//! decided on is what the agent server gets.

use std::borrow::Cow;
use std::fmt;

use crate::token::quote;

/// No route has nearly as many; a target of slashes alone shall cost nothing.
const MOST_SEGMENTS: usize = 32;
const MOST_PAIRS: usize = 100;

/// A path and query in normal form. It is written (`Display`) without a slash at its end, and reads
/// back as itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Decoded; each of `[A-Za-z0-9._~-]+`, none a dot segment. A slash at the end is gone.
    pub segments: Vec<Cow<'a, str>>,
    /// Decoded pairs, in order.
    pub query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// What is wrong with a target, for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(pub String);

impl<'a> Target<'a> {
    /// Reads a target in origin form (RFC 9112, section 3.2.1): `/path?query`.
    pub fn parse(raw: &'a str) -> Result<Self, BadTarget> {
        let Some(after_slash) = raw.strip_prefix('/') else {
            return bad(format!("the target must begin with `/`, got {}", quote(raw)));
        };
        if !all(raw, may_stand) {
            let is_odd = |c: &char| !u8::try_from(*c).is_ok_and(may_stand);
            let odd = raw.chars().find(is_odd).unwrap_or_default();
            return bad(format!(
                "the target must consist of visible ASCII characters without `#`, `\\` and `;`, got {odd:?}; in a \
                 query they are percent-encoded"
            ));
        }
        let (path, query) = after_slash.split_once('?').unwrap_or((after_slash, ""));
        let mut pairs = Vec::new();
        read_pairs(query, &mut pairs)?;
        Ok(Self { segments: read_segments(path)?, query: pairs })
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.segments, false, self.query.iter()))
    }
}

/// The target of these segments and pairs, with a slash at the path's end or without.
pub(super) fn written<'q>(
    segments: &[Cow<'_, str>],
    slash: bool,
    query: impl Iterator<Item = &'q (Cow<'q, str>, Cow<'q, str>)>,
) -> String {
    let mut text = String::with_capacity(128);
    for segment in segments {
        text.push('/');
        text.push_str(segment);
    }
    if slash || segments.is_empty() {
        text.push('/');
    }
    for (index, (key, value)) in query.enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        encode(key, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// Why a path may not have this segment, decoded; `None` if it may.
pub(super) fn broken_segment_rule(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("two slashes with nothing between them"),
        "." | ".." => Some("a `.` or `..` as a segment"),
        _ if !all(segment, is_plain) => {
            Some("a character other than letters, digits, `.`, `_`, `~` and `-` in a segment")
        }
        _ => None,
    }
}

fn bad<T>(problem: String) -> Result<T, BadTarget> {
    Err(BadTarget(problem))
}

/// The path's segments; `path` begins after the first slash.
fn read_segments(path: &str) -> Result<Vec<Cow<'_, str>>, BadTarget> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut rest = Some(path.strip_suffix('/').unwrap_or(path));
    let mut segments = Vec::with_capacity(8);
    while let Some(path) = rest {
        if segments.len() == MOST_SEGMENTS {
            return bad(format!("the path must have at most {MOST_SEGMENTS} segments, got more"));
        }
        // One look at each byte tells that a segment is plain and where it ends, and most are.
        let plain = path.bytes().position(|byte| !PLAIN[usize::from(byte)]).unwrap_or(path.len());
        let end =
            path[plain..].bytes().position(|byte| byte == b'/').map_or(path.len(), |after| plain + after);
        segments.push(read_segment(&path[..end], plain == end)?);
        rest = path.get(end + 1..);
    }
    Ok(segments)
}

/// A segment, decoded; `all_plain` if it is known to be of plain characters alone.
fn read_segment(raw: &str, all_plain: bool) -> Result<Cow<'_, str>, BadTarget> {
    if all_plain && !matches!(raw, "" | "." | "..") {
        return Ok(Cow::Borrowed(raw));
    }
    let Some(segment) = decode(raw, false) else {
        return bad(format!(
            "the path must not hold a `%` that begins no escape, or bytes that are no UTF-8, got {}",
            quote(raw)
        ));
    };
    if let Some(broken) = broken_segment_rule(&segment) {
        return bad(format!("the path must not hold {broken}, got {}", quote(raw)));
    }
    // A dot has no reason to be encoded but to look like something else to somebody.
    if matches!(segment, Cow::Owned(_)) && raw.matches('.').count() != segment.matches('.').count() {
        return bad(format!("the path must not hold an encoded `.`, got {}", quote(raw)));
    }
    Ok(segment)
}

/// The pairs of a query, as forms write them (WHATWG URL, section 5.1), but refused where that
/// standard forgives.
fn read_pairs<'a>(query: &'a str, pairs: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<(), BadTarget> {
    for raw in query.split('&').filter(|raw| !raw.is_empty()) {
        if pairs.len() == MOST_PAIRS {
            return bad(format!("the query must have at most {MOST_PAIRS} keys, got more"));
        }
        let (raw_key, raw_value) = raw.split_once('=').unwrap_or((raw, ""));
        let (Some(key), Some(value)) = (decode(raw_key, true), decode(raw_value, true)) else {
            return bad(format!(
                "the query must be UTF-8, percent-encoded, and `%` itself `%25`; this is not: {}",
                quote(raw)
            ));
        };
        if key.chars().chain(value.chars()).any(char::is_control) {
            return bad(format!("the query must hold no control characters, got {}", quote(raw)));
        }
        pairs.push((key, value));
    }
    Ok(())
}

/// Decodes once; `None` if there is a `%` without two digits, or if it isn't UTF-8 then.
fn decode(raw: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    if all(raw, |byte| (byte != b'%') & !((byte == b'+') & plus_is_space)) {
        return Some(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Visible ASCII, but for what servers differ in: a fragment, a slash, a parameter of a segment or a `&`.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'#') & (byte != b'\\') & (byte != b';')
}

/// The unreserved characters (RFC 3986, section 2.3), which mean themselves everywhere.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'.') | (byte == b'_') | (byte == b'~') | (byte == b'-')
}

/// The same by a table: quicker where one byte is looked at after the other.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = is_plain(byte);
        byte += 1;
    }
    table
};

/// Whether all bytes fit. All are looked at, whatever the first ones are, and so many at a time.
fn all(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |so_far, byte| so_far & fits(byte))
}

fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_plain(byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(raw: &str) -> Vec<String> {
        let target = Target::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
        target.segments.into_iter().map(Cow::into_owned).collect()
    }

    fn query(raw: &str) -> Vec<(String, String)> {
        let target = Target::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
        target.query.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
    }

    fn refusal(raw: &str) -> String {
        Target::parse(raw).expect_err(raw).0
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_path_is_its_segments() {
        assert_eq!(segments("/v1/agents/agent-1/messages"), ["v1", "agents", "agent-1", "messages"]);
        assert_eq!(segments("/A.b_c~d-9/..."), ["A.b_c~d-9", "..."]);
    }

    #[test]
    fn one_slash_at_the_end_is_ignored() {
        assert_eq!(segments("/v1/agents/"), ["v1", "agents"]);
        assert_eq!(segments("/"), [""; 0]);
        assert_eq!(segments("/?a=b"), [""; 0]);
        for raw in ["//", "/v1//", "/v1/agents//", "//v1", "/v1//agents", "//?a=b", "///"] {
            assert!(refusal(raw).contains("two slashes"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn a_plain_character_may_be_encoded_once() {
        assert_eq!(segments("/%76%31/%61gents"), ["v1", "agents"]);
        assert_eq!(segments("/a%2Db%5fc%7Ed"), ["a-b_c~d"]);
    }

    #[test]
    fn a_target_that_is_no_path_is_refused() {
        for raw in ["", "*", "v1/agents", "http://127.0.0.1/v1/agents", "example.com:443", "?a=b", " /v1"] {
            assert!(refusal(raw).contains("must begin with `/`"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn an_encoded_slash_is_refused() {
        for raw in ["/v1%2Fagents", "/v1/agents/agent-1%2fexport", "/%2F", "/v1/%5Cagents", "/v1/agents%2F"] {
            assert!(refusal(raw).contains("a character other than"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn double_encoding_is_refused() {
        for raw in ["/v1%252Fagents", "/%2525", "/v1/%252e%252e/agents", "/%25"] {
            assert!(refusal(raw).contains("a character other than"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn dot_segments_are_refused_plain_and_encoded() {
        for raw in [
            "/.",
            "/..",
            "/v1/./agents",
            "/v1/../admin",
            "/v1/agents/..",
            "/v1/%2e%2e/x",
            "/v1/.%2E/x",
            "/%2e",
        ] {
            assert!(refusal(raw).contains("a `.` or `..`"), "{raw}: {}", refusal(raw));
        }
        assert!(refusal("/v1/export%2ejson").contains("an encoded `.`"));
        assert!(refusal("/v1/a.b%2e").contains("an encoded `.`"));
    }

    #[test]
    fn overlong_utf_8_is_refused() {
        for raw in ["/v1/%c0%af", "/v1/%c0%ae%c0%ae/x", "/v1/%e0%80%af", "/%f0%80%80%af", "/%ff"] {
            assert!(refusal(raw).contains("`%` that begins no escape, or"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn characters_beyond_ascii_are_refused_in_a_path() {
        assert!(refusal("/v1/%E2%88%95").contains("a character other than"));
        assert!(refusal("/v1/\u{2215}").contains("visible ASCII"));
    }

    #[test]
    fn a_bad_escape_is_refused() {
        for raw in ["/%", "/a%2", "/a%zz", "/a%u002f", "/%+1", "/% 41"] {
            let refusal = refusal(raw);
            assert!(refusal.contains("begins no escape") || refusal.contains("visible"), "{raw}: {refusal}");
        }
        for raw in ["/a?b=%", "/a?b=%4", "/a?%zz=1", "/a?b=%ff", "/a?b=%c0%af"] {
            assert!(refusal(raw).contains("the query must be UTF-8"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn control_characters_are_refused_plain_and_encoded() {
        for raw in ["/a\0", "/a\tb", "/a\r\nx", "/a b", "/a\u{7f}", "/a?b=\n"] {
            assert!(refusal(raw).contains("visible ASCII"), "{raw:?}: {}", refusal(raw));
        }
        for raw in ["/v1%00", "/v1/a%0d%0ab", "/%7f", "/%20"] {
            assert!(refusal(raw).contains("a character other than"), "{raw}: {}", refusal(raw));
        }
        for raw in ["/a?b=%00", "/a?b=%0a", "/a?%0d=1", "/a?b=%C2%85"] {
            assert!(refusal(raw).contains("no control characters"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn what_some_servers_take_for_an_end_or_a_slash_is_refused() {
        for raw in ["/v1#x", "/v1?a=b#c", "/v1\\agents", "/v1/agents;x=1", "/v1;", "/a?b=1;c=2", "/a?b=\\"] {
            assert!(refusal(raw).contains("without `#`"), "{raw}: {}", refusal(raw));
        }
        for raw in [
            "/v1/a:b", "/v1/a@b", "/v1/a+b", "/v1/a,b", "/v1/a$b", "/v1/(a)", "/v1/a*", "/a=b", "/a&b",
            "/%3B", "/%23", "/%3f",
        ] {
            assert!(refusal(raw).contains("a character other than"), "{raw}: {}", refusal(raw));
        }
    }

    #[test]
    fn a_query_is_read_as_forms_are() {
        assert_eq!(query("/a?b=1&c=x+y%2Bz&d"), [pair("b", "1"), pair("c", "x y+z"), pair("d", "")]);
        assert_eq!(query("/a?q=Gr%C3%B6%C3%9Fe%3B%23%26"), [pair("q", "Größe;#&")]);
        assert_eq!(query("/a?b=c=d?e"), [pair("b", "c=d?e")]);
        assert_eq!(query("/a?&b=1&&"), [pair("b", "1")]);
        assert_eq!(query("/a?"), []);
        assert_eq!(query("/a?=1"), [pair("", "1")]);
        assert_eq!(query("/a?b=1&b=2&%62=3"), [pair("b", "1"), pair("b", "2"), pair("b", "3")]);
    }

    #[test]
    fn a_flood_is_refused() {
        let keys = |count: usize| format!("/a?{}", vec!["b=1"; count].join("&"));
        assert_eq!(query(&keys(100)).len(), 100);
        assert!(refusal(&keys(101)).contains("at most 100 keys"));
        assert_eq!(segments(&"/a".repeat(32)).len(), 32);
        assert!(refusal(&"/a".repeat(33)).contains("at most 32 segments"));
    }

    #[test]
    fn what_is_not_encoded_is_not_copied() {
        let target = Target::parse("/v1/agents/x?limit=10&before=y").unwrap();
        let values = target.query.iter().flat_map(|(key, value)| [key, value]);
        assert!(target.segments.iter().chain(values).all(|text| matches!(text, Cow::Borrowed(_))));
    }

    #[test]
    fn a_refusal_repeats_no_secret_and_no_flood() {
        let token = "/v1/client-side-access-tokens/eyJhbGciOiJFZERTQSJ9.e30.%2F";
        assert!(!refusal(token).contains("eyJ"), "{}", refusal(token));
        assert!(!refusal("/a?token=sk-secret%00").contains("sk-"));
        assert!(refusal(&format!("/{}%2F", "x".repeat(5_000))).len() < 300);
    }

    proptest! {
        #[test]
        fn no_text_panics(raw in "[/a-z.%0-9A-F?&=+;#\\\\]{0,60}|.{0,40}") {
            let _ = Target::parse(&raw);
        }

        #[test]
        fn what_is_taken_is_plain_and_reads_back_as_itself(
            raw in "(/([a-zA-Z.~_-]|%[2-7][0-9a-fA-F]){1,6}){0,5}/?(\\?([a-z=&+?/]|%[0-7][0-9a-fA-F]|%C3%A9){0,20})?"
        ) {
            let Ok(target) = Target::parse(&raw) else { return Ok(()) };
            for segment in &target.segments {
                prop_assert!(!matches!(&**segment, "" | "." | ".."), "{raw}");
                prop_assert!(segment.bytes().all(is_plain), "{raw}");
            }
            let again = target.to_string();
            prop_assert_eq!(&Target::parse(&again).unwrap(), &target, "{} as {}", raw, again);
        }
    }
}
