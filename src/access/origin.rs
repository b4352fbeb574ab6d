//! Where a request comes from: the page's origin must be the token's. This keeps other sites' pages
//! from using a token; a program that is no browser says whatever it likes.

use super::Denial;
use crate::token::Origin;

/// The `Origin` headers of a request (RFC 6454, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginHeader<'a> {
    None,
    One(&'a [u8]),
    Several,
}

/// What a request says of the page that sent it.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    pub origin: OriginHeader<'a>,
    /// `Sec-Fetch-Site` (Fetch Metadata), if there is exactly one.
    pub sec_fetch_site: Option<&'a [u8]>,
    pub referer: Option<&'a [u8]>,
    /// The origin under which the request reached this server, if that is known for certain.
    pub own_origin: Option<&'a str>,
}

impl Provenance<'_> {
    /// Whether a token bound to `expected` may be used from there.
    pub(super) fn check(&self, expected: &Origin, required: bool) -> Result<(), Denial> {
        let mismatch = || Err(Denial::OriginMismatch { expected: expected.clone() });
        match self.origin {
            OriginHeader::One(origin) if origin == expected.as_str().as_bytes() => return Ok(()),
            OriginHeader::One(_) | OriginHeader::Several => return mismatch(),
            OriginHeader::None => {}
        }
        // Browsers send no `Origin` with a GET to the page's own server; they say that it is one.
        match self.sec_fetch_site {
            Some(b"same-origin") => match self.own_origin {
                Some(own) if own != expected.as_str() => return mismatch(),
                Some(_) if self.referer.is_some_and(|referer| !is_below(referer, expected)) => {
                    return mismatch();
                }
                Some(_) => return Ok(()),
                None => {}
            },
            Some(b"cross-site" | b"same-site") => return mismatch(),
            _ => {}
        }
        if required { Err(Denial::OriginMissing { expected: expected.clone() }) } else { Ok(()) }
    }
}

/// Whether a URL, as browsers write it, is of this origin.
fn is_below(url: &[u8], origin: &Origin) -> bool {
    url.strip_prefix(origin.as_str().as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Hostname;

    const NOTHING: Provenance<'_> =
        Provenance { origin: OriginHeader::None, sec_fetch_site: None, referer: None, own_origin: None };
    /// A page of the server's own origin that reads something.
    const SAME_ORIGIN: Provenance<'_> = Provenance {
        sec_fetch_site: Some(b"same-origin"),
        own_origin: Some("https://app.example.com"),
        ..NOTHING
    };

    fn expected() -> Origin {
        Hostname::parse("https://app.example.com/chat").unwrap().origin().clone()
    }

    fn code(provenance: Provenance<'_>, required: bool) -> &'static str {
        provenance.check(&expected(), required).map_or_else(|denial| denial.code(), |()| "fine")
    }

    fn with_origin(origin: &[u8]) -> &'static str {
        // Leniency about a missing header is none about a wrong one.
        let strict = code(Provenance { origin: OriginHeader::One(origin), ..NOTHING }, true);
        let lenient = code(Provenance { origin: OriginHeader::One(origin), ..SAME_ORIGIN }, false);
        assert_eq!(strict, lenient, "{}", origin.escape_ascii());
        strict
    }

    #[test]
    fn the_tokens_origin_is_taken() {
        assert_eq!(with_origin(b"https://app.example.com"), "fine");
    }

    #[test]
    fn any_other_spelling_is_another_origin() {
        for origin in [
            "https://app.example.com/",
            "https://app.example.com:443",
            "http://app.example.com",
            "https://APP.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com.",
            "https://app.example.com.evil.example",
            "https://evil.example",
            "https://app.example.com, https://app.example.com",
            " https://app.example.com",
            "https://app.example.com/chat",
            "null",
            "",
            "https://app.example.com\u{0}",
        ] {
            assert_eq!(with_origin(origin.as_bytes()), "origin_mismatch", "{origin:?}");
        }
        assert_eq!(with_origin(b"\xff"), "origin_mismatch");
    }

    #[test]
    fn two_headers_are_refused_even_if_they_agree() {
        for required in [true, false] {
            let several = Provenance { origin: OriginHeader::Several, ..SAME_ORIGIN };
            assert_eq!(code(several, required), "origin_mismatch");
        }
    }

    #[test]
    fn none_is_refused_unless_that_is_allowed() {
        assert_eq!(code(NOTHING, true), "origin_missing");
        assert_eq!(code(NOTHING, false), "fine");
    }

    #[test]
    fn a_page_of_the_servers_own_origin_may_send_none() {
        assert_eq!(code(SAME_ORIGIN, true), "fine");
    }

    #[test]
    fn a_page_of_the_servers_own_origin_needs_a_token_for_that_origin() {
        let elsewhere = Provenance { own_origin: Some("https://api.example.com"), ..SAME_ORIGIN };
        assert_eq!(code(elsewhere, true), "origin_mismatch");
        assert_eq!(code(elsewhere, false), "origin_mismatch");
    }

    #[test]
    fn the_servers_own_origin_must_be_known() {
        let unknown = Provenance { own_origin: None, ..SAME_ORIGIN };
        assert_eq!(code(unknown, true), "origin_missing");
    }

    #[test]
    fn only_same_origin_stands_for_an_origin() {
        for site in ["none", "Same-Origin", "same-origin ", "", "x"] {
            let other = Provenance { sec_fetch_site: Some(site.as_bytes()), ..SAME_ORIGIN };
            assert_eq!(code(other, true), "origin_missing", "{site:?}");
        }
    }

    #[test]
    fn a_browser_that_says_it_is_on_another_site_is_believed() {
        for site in ["cross-site", "same-site"] {
            let other = Provenance { sec_fetch_site: Some(site.as_bytes()), ..SAME_ORIGIN };
            assert_eq!(code(other, true), "origin_mismatch", "{site}");
            assert_eq!(code(other, false), "origin_mismatch", "{site}");
        }
    }

    #[test]
    fn a_referer_must_agree() {
        for (referer, wanted) in [
            ("https://app.example.com", "fine"),
            ("https://app.example.com/", "fine"),
            ("https://app.example.com/chat?x=1", "fine"),
            ("https://app.example.com:8443/", "origin_mismatch"),
            ("https://app.example.com.evil.example/", "origin_mismatch"),
            ("https://app.example.com@evil.example/", "origin_mismatch"),
            ("https://evil.example/https://app.example.com/", "origin_mismatch"),
            ("http://app.example.com/", "origin_mismatch"),
            ("", "origin_mismatch"),
        ] {
            let seen = code(Provenance { referer: Some(referer.as_bytes()), ..SAME_ORIGIN }, true);
            assert_eq!(seen, wanted, "{referer}");
        }
    }
}
