//! Faults that wait for the next requests.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Faults that may wait.
const MOST_WAITING: usize = 16;

const SLOW: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(60);
const MOST_TIMES: u32 = 100;
const EVENTS: u32 = 3;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// The token has sent too many messages.
    #[serde(rename = "429")]
    TooMany,
    /// The connection breaks in the middle of a stream.
    DropStream,
    /// The answer comes late.
    Slow,
    /// The token is revoked: before the request is judged or, with `events`, in the middle of its stream.
    Revoke,
    /// Another key signs from now on.
    RotateKeys,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TooMany => "429",
            Self::DropStream => "drop-stream",
            Self::Slow => "slow",
            Self::Revoke => "revoke",
            Self::RotateKeys => "rotate-keys",
        }
    }
}

/// A fault as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) next: Kind,
    /// How many requests it hits, one after another.
    #[serde(default = "once")]
    times: u32,
    /// How late the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    /// Events of a stream that pass before it happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<u32>,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// What is wrong with what is asked for.
    fn check(&self) -> Result<(), String> {
        if !(1..=MOST_TIMES).contains(&self.times) {
            return Err(format!("`times` must be from 1 to {MOST_TIMES}, got {}", self.times));
        }
        if self.ms.is_some() && self.next != Kind::Slow {
            return Err("`ms` goes with `slow` alone".to_owned());
        }
        if self.delay() > LONGEST {
            return Err(format!(
                "`ms` must be at most {}, got {}",
                LONGEST.as_millis(),
                self.delay().as_millis()
            ));
        }
        if self.events.is_some() && !matches!(self.next, Kind::DropStream | Kind::Revoke) {
            return Err("`events` goes with `drop-stream` and `revoke` alone".to_owned());
        }
        Ok(())
    }

    /// Whether it waits for a stream, not for any request.
    fn hits_streams(&self) -> bool {
        self.next == Kind::DropStream || self.next == Kind::Revoke && self.events.is_some()
    }

    pub(super) fn delay(&self) -> Duration {
        self.ms.map_or(SLOW, Duration::from_millis)
    }

    pub(super) fn events(&self) -> u32 {
        self.events.unwrap_or(EVENTS)
    }
}

/// Faults that wait, in their order.
#[derive(Default)]
pub(super) struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    /// Has a fault wait; what is wrong with it otherwise.
    pub(super) fn add(&self, fault: Fault) -> Result<(), String> {
        fault.check()?;
        let mut waiting = self.lock();
        if waiting.len() >= MOST_WAITING {
            return Err(format!("{MOST_WAITING} faults wait already; `POST /dev/reset` drops them"));
        }
        waiting.push_back(fault);
        Ok(())
    }

    pub(super) fn waiting(&self) -> Vec<Fault> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The fault that hits this request.
    pub(super) fn for_request(&self) -> Option<Fault> {
        self.take(|fault| !fault.hits_streams())
    }

    /// The fault that hits this stream.
    pub(super) fn for_stream(&self) -> Option<Fault> {
        self.take(Fault::hits_streams)
    }

    fn take(&self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut waiting = self.lock();
        let place = waiting.iter().position(fits)?;
        let fault = waiting[place].clone();
        if fault.times > 1 {
            waiting[place].times -= 1;
        } else {
            waiting.remove(place);
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_fault_is_written_as_it_is_asked_for() {
        for kind in [Kind::TooMany, Kind::DropStream, Kind::Slow, Kind::Revoke, Kind::RotateKeys] {
            let json = format!(r#"{{"next":"{}","times":1}}"#, kind.name());
            assert_eq!(serde_json::to_string(&fault(&json)).unwrap(), json);
        }
    }

    #[test]
    fn a_fault_hits_as_often_as_it_says_and_in_its_turn() {
        let faults = Faults::default();
        faults.add(fault(r#"{"next":"429","times":2}"#)).unwrap();
        faults.add(fault(r#"{"next":"slow"}"#)).unwrap();
        let hits: Vec<_> = std::iter::from_fn(|| faults.for_request()).map(|fault| fault.next).collect();
        assert_eq!(hits, [Kind::TooMany, Kind::TooMany, Kind::Slow]);
    }

    #[test]
    fn what_hits_streams_waits_for_one() {
        let faults = Faults::default();
        faults.add(fault(r#"{"next":"revoke","events":2}"#)).unwrap();
        assert_eq!(faults.for_request(), None);
        assert_eq!(faults.for_stream().unwrap().events(), 2);
        assert_eq!(faults.for_stream(), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let faults = Faults::default();
        for (json, rule) in [
            (r#"{"next":"429","times":0}"#, "from 1 to 100"),
            (r#"{"next":"429","ms":5}"#, "`slow` alone"),
            (r#"{"next":"slow","ms":60001}"#, "at most 60000"),
            (r#"{"next":"slow","events":1}"#, "`revoke` alone"),
        ] {
            assert!(faults.add(fault(json)).unwrap_err().contains(rule), "{json}");
        }
        assert!(faults.waiting().is_empty());
        for _ in 0..MOST_WAITING {
            faults.add(fault(r#"{"next":"429"}"#)).unwrap();
        }
        assert!(faults.add(fault(r#"{"next":"429"}"#)).is_err(), "there is no end to them");
    }
}
