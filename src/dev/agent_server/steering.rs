//! What a user's message asks of the mock itself: `[slow 200]`, `[words 50]`, `[error 500]`,
//! `[error stream]`, `[tool name]`.

use std::time::Duration;

use axum::http::StatusCode;

/// How a reply is to come about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steering {
    /// The pause between two pieces.
    pub(super) slow: Option<Duration>,
    /// The length of the reply.
    pub(super) words: Option<usize>,
    pub(super) error: Option<Breaks>,
    /// The tool that is called first.
    pub(super) tool: Option<String>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaks {
    /// The request is answered with this status.
    AtOnce(StatusCode),
    /// The reply stops in the middle.
    Midway,
}

impl Breaks {
    /// The status with which the request is answered.
    pub(super) fn status(self) -> Option<StatusCode> {
        match self {
            Breaks::AtOnce(status) => Some(status),
            Breaks::Midway => None,
        }
    }
}

const MAX_SLOW: u64 = 10_000;
const MAX_WORDS: u64 = 2_000;
const MAX_NAME: usize = 64;
/// Bytes of an instruction, brackets and all; what is longer is text.
const MAX_INSTRUCTION: usize = 80;

impl Steering {
    /// Takes the instructions out of a text: what they say, and the text without them. The last of a kind
    /// counts; what isn't understood is part of the text.
    pub(super) fn take_out_of(text: &str) -> (Self, String) {
        let mut steering = Self::default();
        let mut left = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('[') {
            let (before, bracket) = rest.split_at(start);
            left.push_str(before);
            let end = bracket.bytes().take(MAX_INSTRUCTION).position(|c| c == b']');
            let taken = end.filter(|end| steering.obey(&bracket[1..*end]));
            rest = match taken {
                Some(end) => &bracket[end + 1..],
                None => {
                    left.push('[');
                    &bracket[1..]
                }
            };
        }
        left.push_str(rest);
        (steering, left.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Follows what stands between two brackets, if it is an instruction.
    fn obey(&mut self, instruction: &str) -> bool {
        let Some((verb, what)) = instruction.split_once(' ') else { return false };
        match verb {
            "slow" => set(&mut self.slow, number(what, 0, MAX_SLOW).map(Duration::from_millis)),
            "words" => {
                set(&mut self.words, number(what, 1, MAX_WORDS).and_then(|words| usize::try_from(words).ok()))
            }
            "error" if what == "stream" => set(&mut self.error, Some(Breaks::Midway)),
            "error" => set(&mut self.error, failing(what).map(Breaks::AtOnce)),
            "tool" if is_name(what) => set(&mut self.tool, Some(what.to_owned())),
            _ => false,
        }
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let is_understood = value.is_some();
    *place = value.or(place.take());
    is_understood
}

/// A number, held within bounds however long it is.
fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX).clamp(least, most))
}

fn failing(text: &str) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(text.as_bytes()).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steering(text: &str) -> Steering {
        Steering::take_out_of(text).0
    }

    #[test]
    fn instructions_are_taken_out_of_the_text() {
        let (steering, text) = Steering::take_out_of("hello [slow 200] [words 50] [tool get_weather]  world");
        assert_eq!(text, "hello world");
        let slow = Some(Duration::from_millis(200));
        let tool = Some("get_weather".to_owned());
        assert_eq!(steering, Steering { slow, words: Some(50), error: None, tool });
    }

    #[test]
    fn numbers_are_held_within_bounds() {
        let far = steering("[slow 99999999999999999999999] [words 99999999999999999999999]");
        assert_eq!(far.slow, Some(Duration::from_secs(10)));
        assert_eq!(far.words, Some(2000));
        assert_eq!(steering("[words 0]").words, Some(1));
    }

    #[test]
    fn errors_are_statuses_or_breaks() {
        assert_eq!(steering("[error stream]").error, Some(Breaks::Midway));
        assert_eq!(steering("[error 429]").error, Some(Breaks::AtOnce(StatusCode::TOO_MANY_REQUESTS)));
    }

    #[test]
    fn what_is_not_understood_stays_in_the_text() {
        for text in [
            "[error 200]",
            "[error 5]",
            "[slow x]",
            "[slow -1]",
            "[tool a b]",
            "[words]",
            "[",
            "a [[b]",
            "[é]",
        ] {
            let (steering, left) = Steering::take_out_of(text);
            assert_eq!((steering, left.as_str()), (Steering::default(), text));
        }
        assert_eq!(Steering::take_out_of("[ [words 2]").1, "[");
    }
}
