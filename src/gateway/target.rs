//! Targets as they came, and whose they are: Hallpass's own paths are never passed on.

use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Uri, Version};
use percent_encoding::percent_decode_str;

use super::proxy::not_found;
use super::refusal;
use crate::access::{BadTarget, Denial};
use crate::token::quote;
use crate::web::{Problem, has_several_hosts};

/// Longest target that is sent; written anew, a query may grow to three times its size.
const MOST_TARGET_BYTES: usize = 32 << 10;

/// Paths that are Hallpass's own, by their first segments; they are never passed on.
const OURS: [&str; 9] = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/errors",
    "/oauth",
    "/.well-known",
    "/forward-auth",
    "/v1/client-side-access-tokens",
];

/// Whether a path is Hallpass's own.
pub fn is_ours(path: &str) -> bool {
    OURS.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether some server might take a path for one of Hallpass's own: what follows it begins with a
/// character that ends a segment for some, such as `;`.
fn is_nearly_ours(path: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    OURS.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| !rest.starts_with(goes_on)))
}

/// The target as it was sent. Only proxies are asked with a whole URL in HTTP/1 (RFC 9112, section
/// 3.2.2).
pub(super) fn as_sent(parts: &Parts) -> Result<&str, Problem> {
    let whole = parts.version < Version::HTTP_2 && parts.uri.scheme().is_some();
    if whole || has_several_hosts(&parts.headers) {
        let detail =
            if whole { "the target must begin with `/`" } else { "there are several `Host` headers" };
        return Err(bad(BadTarget(detail.to_owned())));
    }
    Ok(parts.uri.path_and_query().map_or("", PathAndQuery::as_str))
}

/// The target that a decision wrote anew, which most often is what was sent.
pub(super) fn rebuilt(target: String, sent: &Uri) -> Result<PathAndQuery, Problem> {
    if target.len() > MOST_TARGET_BYTES {
        return Err(bad(BadTarget(format!("the target must have at most {MOST_TARGET_BYTES} bytes"))));
    }
    if let Some(sent) = sent.path_and_query().filter(|sent| sent.as_str() == target) {
        return Ok(sent.clone());
    }
    PathAndQuery::try_from(target).map_err(Problem::internal)
}

/// The target of an API key, which passes as it came unless it leads to us.
pub(super) fn of_key(parts: &Parts) -> Result<PathAndQuery, Problem> {
    let raw = as_sent(parts)?;
    refuse_ours(raw)?;
    let invalid = |_| bad(BadTarget(format!("the target is not valid: {}", quote(raw))));
    PathAndQuery::try_from(raw).map_err(invalid)
}

pub(super) fn bad(error: BadTarget) -> Problem {
    refusal::denied(Denial::TargetNotValid(error.0))
}

/// Refuses what some server might take for a path of ours. Paths of an agent server may hold more than
/// those of the permission table, so this is about spellings only.
fn refuse_ours(raw: &str) -> Result<(), Problem> {
    let path = raw.split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8().ok();
    let odd = |path: &str| {
        !path.starts_with('/')
            || path.contains(['\\', '%'])
            || path.split('/').any(|segment| matches!(segment, "." | ".."))
            || path.contains("//")
    };
    match decoded {
        Some(decoded) if !odd(&decoded) => {
            if is_nearly_ours(&decoded.to_ascii_lowercase()) {
                Err(not_found())
            } else {
                Ok(())
            }
        }
        _ => {
            let text = format!(
                "the path must be plain, without dot segments or doubled slashes, got {}",
                quote(path)
            );
            Err(bad(BadTarget(text)))
        }
    }
}
