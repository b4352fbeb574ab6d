//! `expires_at`, as a request gives it: whatever the text, an end that is taken keeps to the rules,
//! and a time that is read is read the same way again once it is written down.

#![no_main]

use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::token::{Expiry, SKEW_AHEAD, is_expired, live_from, parse_time};
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// Longest refusal: its own words, and 64 characters of the text, each escaped at worst.
const MOST_REFUSAL_BYTES: usize = 1024;

fuzz_target!(|text: &str| {
    match parse_time(text) {
        Ok(at) => {
            assert_eq!(parse_time(&at.to_string()), Ok(at), "what is written is read back");
            if let Some(expected) = plain_utc(text) {
                assert_eq!(at.seconds(), expected, "the plain form, counted another way");
            }
            if let Some((local, offset)) = split_offset(text)
                && let Ok(local) = parse_time(local)
                // What lies beyond what can be written is held at its ends, the offset with it.
                && (1..Timestamp::MAX.seconds()).contains(&local.seconds())
            {
                let shifted = Timestamp::from_seconds(local.seconds() - offset);
                assert_eq!(at.seconds(), shifted.seconds(), "an offset counts, if it isn't refused");
            }
        }
        Err(refusal) => {
            assert!(refusal.len() <= MOST_REFUSAL_BYTES, "{} bytes", refusal.len());
            assert!(!["eyJ", "sk-", "ck-"].iter().any(|mark| refusal.contains(mark)), "{refusal}");
        }
    }
    // An ordinary day, both ends of what can be written, and a moment on the edge of a second.
    let moments = [1_769_860_800_000, 0, Timestamp::MAX.millis(), 1_769_860_800_999];
    for (now, max_ttl) in moments.into_iter().flat_map(|now| [(now, DAY), (now, YEAR)]) {
        let now = Timestamp::from_millis(now);
        match Expiry::parse(text, now, max_ttl) {
            Ok(expiry) => {
                assert_eq!(Ok(expiry.at()), parse_time(text));
                assert!(expiry.exp() > now.seconds(), "`exp` is after `iat`");
                assert!(expiry.at() <= now.after(max_ttl).after(SKEW_AHEAD));
                assert!(expiry.exp() * 1000 <= expiry.at().millis());
                assert!(!is_expired(expiry.exp(), now) && expiry.at() >= live_from(now));
            }
            Err(refusal) => assert!(refusal.len() <= MOST_REFUSAL_BYTES, "{} bytes", refusal.len()),
        }
    }
});

/// A time's local part, and the offset after it in seconds: `+02:00`, `+0200`, `+02` or `Z`.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let local_bytes = "2026-01-31T".len();
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, 0));
    }
    let at = text.rfind(['+', '-']).filter(|at| *at >= local_bytes)?;
    let (local, offset) = text.split_at(at);
    let digits: String = offset[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let seconds = number(&digits[..2]) * 3600 + number(&digits[2..]) * 60;
    Some((local, if offset.starts_with('-') { -seconds } else { seconds }))
}

/// Seconds since the epoch of `2026-01-31T12:00:00Z` and nothing but that form, by the civil
/// calendar's own arithmetic.
fn plain_utc(text: &str) -> Option<i64> {
    let form = "dddd-dd-ddTdd:dd:ddZ";
    let fits = |(c, f): (char, char)| if f == 'd' { c.is_ascii_digit() } else { c == f };
    if text.len() != form.len() || !text.chars().zip(form.chars()).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // A leap second is another's to place, and what lies before 1970 is held at the epoch.
    if year < 1970 || second == 60 {
        return None;
    }
    // Years are counted from March, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}
