//! The origin of the browser app that a token is bound to.

use std::fmt;

use url::Url;

use super::quote;

const MOST_BYTES: usize = 2048;

/// The `hostname` of a token, as Letta calls it: an absolute `http` or `https` URL. It is echoed as
/// it was given; what counts is its [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    text: String,
    origin: Origin,
}

/// An origin in its ASCII serialisation (RFC 6454, section 6.2), as browsers send it in `Origin`:
/// scheme, host in punycode, and the port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl TryFrom<String> for Origin {
    type Error = String;

    /// Reads an origin that was written by this type; `null`, which stands for many, is none.
    fn try_from(text: String) -> Result<Self, String> {
        match Hostname::parse(&text) {
            Ok(hostname) if hostname.origin.0 == text => Ok(hostname.origin),
            _ => Err(format!("must be an origin such as `https://app.example.com`, got {}", quote(&text))),
        }
    }
}

impl Hostname {
    /// Reads a hostname; the error names the rule that it breaks and how to mend it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let broken = |rule: &str| Err(format!("{rule}, got {}", quote(text)));
        if text.len() > MOST_BYTES {
            return Err(format!("must be at most {MOST_BYTES} bytes, got {}", text.len()));
        }
        let Some(rest) = strip_scheme(text) else {
            return broken(
                "must be an absolute `http://` or `https://` URL such as `https://app.example.com`",
            );
        };
        // The URL standard forgives these silently (white space, backslashes) or gives them a
        // meaning that an origin doesn't have; a binding that is guessed is worse than a refusal.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\' || turns_text(c)) {
            return broken("must not contain white space, control characters or backslashes");
        }
        if rest.contains('?') || rest.contains('#') {
            return broken("must have no query and no fragment");
        }
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return broken("must have no user name or password");
        }
        if rest.is_empty() || rest.starts_with(['/', ':']) {
            return broken("must name a host, as in `https://app.example.com`");
        }
        if text.ends_with('/') {
            return broken("must not end in `/`: an origin has no slash at its end");
        }
        let Ok(url) = Url::parse(text) else {
            return broken(
                "must be a valid URL such as `https://app.example.com` or `http://localhost:5173`",
            );
        };
        if url.host_str().is_none_or(|host| host.contains('*')) {
            return broken("must name one host: wildcards match no browser's origin");
        }
        let origin = Origin(url.origin().ascii_serialization());
        if origin.0.len() > MOST_BYTES {
            return Err(format!(
                "must be at most {MOST_BYTES} bytes with its host in punycode, got {}",
                origin.0.len()
            ));
        }
        Ok(Self { text: text.to_owned(), origin })
    }

    /// The hostname as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hostname as it was given, taken out.
    pub fn into_text(self) -> String {
        self.text
    }

    /// What a browser's `Origin` must equal, byte for byte.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Whether a character changes the direction of the text around it: in a list of tokens it could
/// make one host look like another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> String {
        Hostname::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).origin().to_string()
    }

    fn refusal(text: &str) -> String {
        Hostname::parse(text).expect_err(text)
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://app.example.com"), "https://app.example.com");
        assert_eq!(origin("http://localhost:5173"), "http://localhost:5173");
        assert_eq!(origin("https://app.example.com/chat/room"), "https://app.example.com");
        assert_eq!(origin("http://[::1]:8080"), "http://[::1]:8080");
    }

    #[test]
    fn the_origin_is_written_as_browsers_write_it() {
        assert_eq!(origin("HTTPS://App.Example.COM:443"), "https://app.example.com");
        assert_eq!(origin("http://example.com:80"), "http://example.com");
        assert_eq!(origin("https://bücher.example"), "https://xn--bcher-kva.example");
    }

    #[test]
    fn the_text_is_echoed_as_given() {
        assert_eq!(Hostname::parse("HTTPS://App.Example.com").unwrap().as_str(), "HTTPS://App.Example.com");
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (text, rule) in [
            ("", "absolute"),
            ("app.example.com", "absolute"),
            ("ftp://example.com", "absolute"),
            ("https:/example.com", "absolute"),
            ("javascript://example.com", "absolute"),
            ("https://", "host"),
            ("https:///path", "host"),
            ("https://:8080", "host"),
            ("https://app.example.com/", "must not end in `/`"),
            ("https://app.example.com/a/", "must not end in `/`"),
            ("https://user@example.com", "user name"),
            ("https://user:pass@example.com", "user name"),
            ("https://example.com?x=1", "query"),
            ("https://example.com#x", "fragment"),
            ("https://exa mple.com", "white space"),
            ("https://example.com\n", "white space"),
            ("https://example.com\\@evil.example", "backslashes"),
            ("https://example.com/\u{202e}moc", "control characters"),
            ("https://*.example.com", "wildcards"),
            ("https://example.com:99999", "valid URL"),
            ("https://exa%00mple.com", "valid URL"),
        ] {
            assert!(refusal(text).contains(rule), "{text}: {}", refusal(text));
        }
    }

    #[test]
    fn at_most_2048_bytes() {
        let longest = format!("https://a.example/{}", "p".repeat(2048 - 18));
        assert_eq!(longest.len(), 2048);
        assert!(Hostname::parse(&longest).is_ok());
        assert!(refusal(&format!("{longest}p")).contains("at most 2048 bytes, got 2049"));
        let longer_in_punycode = format!("https://{}e", "ü.".repeat(679));
        assert!(refusal(&longer_in_punycode).contains("in punycode"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_an_origin_parses_to_itself(text in "(https?://)?[ -~é\\\\/@:?#*]{0,40}") {
            if let Ok(hostname) = Hostname::parse(&text) {
                let again = Hostname::parse(hostname.origin().as_str()).expect("an origin is a hostname");
                prop_assert_eq!(again.origin(), hostname.origin());
                prop_assert_eq!(hostname.as_str(), text);
            }
        }
    }
}
