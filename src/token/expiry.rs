//! When a token is over, and the forms in which a request may say so.

use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

use super::quote;
use crate::clock::Timestamp;

/// How long past its `exp` a token is still honoured, for clocks that disagree.
///
/// Every check of expiry uses this one constant. Were a check to allow more than the revoked list
/// keeps, a revoked token would come back to life in the gap; were a key destroyed sooner than its
/// tokens end, they would fail before their time.
pub const EXPIRY_LEEWAY: Duration = Duration::from_secs(5);

/// How far beyond the longest lifetime an `expires_at` may lie, for a backend whose clock is ahead.
pub const SKEW_AHEAD: Duration = Duration::from_secs(60);

/// A date alone.
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Longest text read as a time; every form fits, and nothing longer is parsed.
const MOST_BYTES: usize = 64;

/// Whether a token with this `exp` (a `NumericDate`) is over.
pub fn is_expired(exp: i64, now: Timestamp) -> bool {
    now.seconds() >= exp.saturating_add(leeway_seconds())
}

/// The earliest `expires_at` of a token that is not over: the same rule as [`is_expired`], in the
/// form that an index answers.
pub fn live_from(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds() - leeway_seconds() + 1)
}

/// The earliest `expires_at` of a record that is still kept. A token is over by [`live_from`], and clocks
/// of servers differ: no record goes whose token may still be taken somewhere.
pub fn retained_from(now: Timestamp, retention: Duration) -> Timestamp {
    live_from(now).before(SKEW_AHEAD).before(retention)
}

fn leeway_seconds() -> i64 {
    EXPIRY_LEEWAY.as_secs().cast_signed()
}

/// When a token ends, kept to the millisecond; its `exp` is the whole second at or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(Timestamp);

impl Expiry {
    /// The end of a token that lives for `ttl`, at least a second, from `now`.
    pub fn after(now: Timestamp, ttl: Duration) -> Self {
        Self(now.after(ttl.max(Duration::from_secs(1))))
    }

    /// Reads `expires_at`. The error names the rule and the limit.
    pub fn parse(text: &str, now: Timestamp, max_ttl: Duration) -> Result<Self, String> {
        let at = parse_time(text)?;
        if at.seconds() <= now.seconds() {
            return Err(format!("must be at least a second in the future, got {at}; it is now {now} (UTC)"));
        }
        let latest = now.after(max_ttl).after(SKEW_AHEAD);
        if at > latest {
            return Err(format!(
                "must be at most {} ahead, that is by {}, got {at}",
                crate::units::show_duration(max_ttl),
                now.after(max_ttl)
            ));
        }
        Ok(Self(at))
    }

    pub fn at(self) -> Timestamp {
        self.0
    }

    /// The `exp` claim (RFC 7519, section 4.1.4).
    pub fn exp(self) -> i64 {
        self.0.seconds()
    }
}

/// Reads RFC 3339, or ISO 8601 without an offset (taken as UTC), or a date alone (its midnight in
/// UTC). Fractions of a millisecond are cut off.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "must be a time such as `2026-01-31T12:00:00Z`, `2026-01-31T12:00:00` (UTC) or `2026-01-31`, got {}",
            quote(text)
        )
    };
    if text.len() > MOST_BYTES || !text.is_ascii() {
        return Err(wrong());
    }
    let spaceless = text.replacen(' ', "T", 1);
    let at = match spaceless.split_once(['T', 't']) {
        None => Date::parse(text, DATE).map(|date| PrimitiveDateTime::new(date, Time::MIDNIGHT).assume_utc()),
        // The parser for times without an offset passes over one that it sees: it must see none.
        Some((_, time)) if time.contains(['+', '-', 'Z', 'z']) => OffsetDateTime::parse(&spaceless, &Rfc3339),
        Some(_) => PrimitiveDateTime::parse(&spaceless, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc),
    }
    .map_err(|_| wrong())?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000))
        .map(Timestamp::from_millis)
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// 2026-01-31T12:00:00.500Z
    fn now() -> Timestamp {
        Timestamp::from_millis(1_769_860_800_500)
    }

    fn parsed(text: &str) -> String {
        parse_time(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn every_form_is_read_as_utc() {
        for (text, at) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31t12:00:00z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00.123456Z", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31 12:00:00+00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00-02:30", "2026-01-31T14:30:00.000Z"),
            ("2026-01-31T12:00:00.123456", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31 12:00:00.5", "2026-01-31T12:00:00.500Z"),
            ("2026-01-31T12:00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        ] {
            assert_eq!(parsed(text), at, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms_that_are() {
        for text in [
            "",
            "tomorrow",
            "1769860800",
            "2026-13-01",
            "2026-02-30T00:00:00Z",
            "2026-01-31T25:00:00Z",
            "+5m",
            "2026-01-31T12:00:60Z",
            "2026-01-31T12:00:00+0200",
            "2026-01-31T12:00:00+02",
            "2026-01-31T12:00+02:00x",
            "2026-01-31T12:00:00-13",
            "2026-01-31T12:00:60",
            "2026-W05-6",
            "2026-031",
            "20260131",
            "2026-01-31T",
            "５",
        ] {
            let refusal = parse_time(text).expect_err(text);
            assert!(refusal.contains("such as `2026-01-31T12:00:00Z`"), "{refusal}");
        }
    }

    #[test]
    fn the_end_lies_in_the_future() {
        for text in ["2026-01-31T12:00:00.999Z", "2026-01-31T12:00:00Z", "2020-01-01"] {
            let refusal = Expiry::parse(text, now(), DAY).expect_err(text);
            assert!(refusal.contains("in the future"), "{refusal}");
        }
        assert_eq!(Expiry::parse("2026-01-31T12:00:01Z", now(), DAY).unwrap().exp(), now().seconds() + 1);
    }

    #[test]
    fn the_end_lies_within_the_longest_lifetime_and_a_minute_of_skew() {
        assert!(Expiry::parse("2026-02-01T12:01:00.5Z", now(), DAY).is_ok());
        let refusal = Expiry::parse("2026-02-01T12:01:00.501Z", now(), DAY).unwrap_err();
        assert!(refusal.contains("at most 1d ahead, that is by 2026-02-01T12:00:00.500Z"), "{refusal}");
    }

    #[test]
    fn exp_is_the_whole_second_at_or_before_the_end() {
        let expiry = Expiry::parse("2026-01-31T12:05:00.999Z", now(), DAY).unwrap();
        assert_eq!(expiry.exp(), 1_769_861_100);
        assert_eq!(expiry.at().to_string(), "2026-01-31T12:05:00.999Z");
    }

    #[test]
    fn a_token_is_over_five_seconds_past_its_exp() {
        let exp = 1_000;
        assert!(!is_expired(exp, Timestamp::from_millis(1_004_999)));
        assert!(is_expired(exp, Timestamp::from_millis(1_005_000)));
        assert!(is_expired(i64::MIN, now()) && !is_expired(i64::MAX, now()));
    }

    proptest! {
        #[test]
        fn the_index_and_the_check_agree(expires_at in 0i64..20_000, now in 0i64..30_000) {
            let (expires_at, now) = (Timestamp::from_millis(expires_at), Timestamp::from_millis(now));
            // Before the first five seconds of 1970 there is nothing to keep.
            prop_assume!(now.seconds() >= 5);
            prop_assert_eq!(expires_at >= live_from(now), !is_expired(expires_at.seconds(), now));
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:.+ -]{0,40}|.{0,40}") {
            let _ = parse_time(&text);
        }

        #[test]
        fn what_is_written_is_read_back(millis in 0i64..=253_402_300_799_999) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(parse_time(&at.to_string()).unwrap(), at);
        }

        #[test]
        fn an_accepted_end_is_after_iat_and_within_the_limit(offset in -200_000_000i64..200_000_000) {
            let text = Timestamp::from_millis(now().millis() + offset).to_string();
            if let Ok(expiry) = Expiry::parse(&text, now(), DAY) {
                prop_assert!(expiry.exp() > now().seconds());
                prop_assert!(expiry.at() <= now().after(DAY).after(SKEW_AHEAD));
            }
        }
    }
}
