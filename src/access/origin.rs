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
