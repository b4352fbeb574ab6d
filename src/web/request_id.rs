//! The id by which a request is found in the log.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::keys::random_bytes;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MOST_ID_CHARS: usize = 64;

/// The caller's id if it is harmless in a log, so that one id follows a request through a proxy;
/// else a new one. Dots are not allowed: no token passes for an id.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(REQUEST_ID)
        && (1..=MOST_ID_CHARS).contains(&given.len())
        && given.as_bytes().iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
        && !given.as_bytes().starts_with(b"sk-")
    {
        return given.clone();
    }
    HeaderValue::from_bytes(&hex(fresh())).expect("hexadecimal digits are a header value")
}

fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place) & 15) as usize])
}

/// A number that no other request of this process has. They needn't be secret, only different, also from
/// those of other servers: counting on from a random start is enough, spread so that neighbours don't look
/// alike. The multiplier is odd, so no two become one.
fn fresh() -> u64 {
    static START: LazyLock<u64> = LazyLock::new(|| u64::from_ne_bytes(random_bytes()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    START.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &'static str) -> String {
        let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(given))]);
        request_id(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_harmless_id_is_kept() {
        assert_eq!(id_for("6d1f-ab_9"), "6d1f-ab_9");
    }

    #[test]
    fn a_new_id_is_sixteen_digits() {
        for number in [0, 1, 0xf0e1_d2c3_b4a5_9687, u64::MAX] {
            assert_eq!(hex(number).as_slice(), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn another_id_is_replaced() {
        for given in ["", "a b", "eyJh.eyJz.c2ln", "sk-hp-secret", "x\"y"] {
            let id = id_for(given);
            assert!(id != given && id.len() == 16, "{given}");
        }
    }
}
