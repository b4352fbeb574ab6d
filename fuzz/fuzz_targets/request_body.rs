//! The body of a request for a token: whatever the JSON, a request that is taken keeps to every
//! rule, and one that is refused is refused in bounded words that repeat no secret.

#![no_main]

use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::token::{Hostname, Limits, Policy, SKEW_AHEAD, TokenRequest};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// 2026-01-31T12:00:00Z
const NOW: i64 = 1_769_860_800_000;
const LIMITS: Limits = Limits { default_ttl: Duration::from_secs(300), max_ttl: Duration::from_secs(86_400) };
/// Fifty mistakes, and the line that counts the others.
const MOST_ERRORS: usize = 51;
const MOST_MESSAGE_BYTES: usize = 1024;
const MOST_FIELD_BYTES: usize = 64;

fuzz_target!(|body: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let now = Timestamp::from_millis(NOW);
    match TokenRequest::parse(&body, now, &LIMITS) {
        Ok(request) => check_taken(&request, &body, now),
        Err(errors) => {
            assert!((1..=MOST_ERRORS).contains(&errors.len()), "{} errors", errors.len());
            for error in &errors {
                assert!(error.field.len() <= MOST_FIELD_BYTES, "{error:?}");
                assert!(error.message.len() <= MOST_MESSAGE_BYTES, "{error:?}");
                assert!(!["eyJ", "sk-", "ck-"].iter().any(|mark| error.message.contains(mark)), "{error:?}");
                assert!(!error.message.contains(char::is_control), "{error:?}");
            }
        }
    }
});

fn check_taken(request: &TokenRequest, body: &Value, now: Timestamp) {
    let TokenRequest { hostname, policy, expiry } = request;
    assert_eq!(Some(hostname.as_str()), body["hostname"].as_str(), "it is echoed as it was given");
    let origin = hostname.origin().as_str();
    assert_eq!(Hostname::parse(origin).map(|again| again.origin().clone()).as_ref(), Ok(hostname.origin()));

    let entries = body["policy"].as_array().expect("only an array is taken");
    assert!((1..=100).contains(&policy.grants().len()));
    assert_eq!(policy.grants().len(), entries.len(), "no entry is dropped or made up");
    for (grant, entry) in policy.grants().iter().zip(entries) {
        let id = grant.id.as_str();
        assert_eq!((Some(id), Some("agent")), (entry["id"].as_str(), entry["type"].as_str()));
        assert!((1..=256).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_graphic() && c != b'/'));
        let named = |access: &str| entry["access"].as_array().is_some_and(|a| a.iter().any(|e| e == access));
        assert!(!grant.access.is_empty());
        for (i, access) in grant.access.iter().enumerate() {
            assert!(named(access.as_str()), "no access is granted that was not asked for");
            assert!(!grant.access[..i].contains(access), "no access stands twice");
        }
    }
    let text = serde_json::to_string(policy).expect("a policy is plain data");
    assert_eq!(serde_json::from_str::<Policy>(&text).ok().as_ref(), Some(policy), "a policy round-trips");

    assert!(expiry.exp() > now.seconds());
    assert!(expiry.at() <= now.after(LIMITS.max_ttl).after(SKEW_AHEAD));
    if body["expires_at"].is_null() {
        assert_eq!(expiry.at(), now.after(LIMITS.default_ttl));
    }
}
