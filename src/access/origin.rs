//! Where a request comes from: the page's origin must be the token's.

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
    pub(super) fn check(&self, _expected: &Origin, _required: bool) -> Result<(), Denial> {
        Err(Denial::RouteNotAllowed)
    }
}
