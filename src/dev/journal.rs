//! What was asked of late, and what was decided: for tests of a page, and for whoever wonders.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::gateway::Sent;
use crate::token::looks_secret;

/// Requests that are remembered.
const MOST_ENTRIES: usize = 200;

/// Longest body that is remembered, in bytes: pictures travel in messages.
const MOST_BODY_BYTES: usize = 32 << 10;

/// Longest path that is remembered, in characters.
const MOST_PATH_CHARS: usize = 2_048;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    /// It went to the agent server.
    Allow,
    /// It didn't.
    Deny,
    /// A browser asked if it may ask.
    Preflight,
    /// An endpoint of Hallpass's own answered.
    Own,
}

impl Decision {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Preflight => "preflight",
            Self::Own => "own",
        }
    }
}

/// A request, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<&'static str>,
    /// From the head of the request to that of the answer.
    pub(super) ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<Upstream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<Stream>,
}

/// What the agent server got.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Upstream {
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

/// How far an answer of events has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Stream {
    pub(super) events: u32,
    /// `done`, `left` by the client, `dropped` by a fault, or the reason that its last event gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<String>,
}

impl From<Sent> for Upstream {
    fn from(sent: Sent) -> Self {
        let (method, path) = (sent.method.to_string(), shown_path(&sent.target));
        Self { method, path, body: sent.body.and_then(|body| shown(&body)) }
    }
}

/// A body as it is shown; nothing of one that is empty.
fn shown(body: &Bytes) -> Option<Box<RawValue>> {
    if body.is_empty() {
        return None;
    }
    let json = if body.len() > MOST_BODY_BYTES { None } else { std::str::from_utf8(body).ok() };
    let json = json.and_then(|json| RawValue::from_string(json.to_owned()).ok());
    json.or_else(|| serde_json::value::to_raw_value(&format!("[{} bytes left out]", body.len())).ok())
}

/// A path with its query as it may be shown: a token in a URL is the mistake, not to be repeated in a log.
pub(super) fn shown_path(target: &str) -> String {
    let mut shown = String::new();
    for piece in target.split_inclusive(['/', '?', '&', '=']) {
        let (text, end) = match piece.char_indices().next_back() {
            Some((at, '/' | '?' | '&' | '=')) => piece.split_at(at),
            _ => (piece, ""),
        };
        if is_secret(text) {
            shown.push_str("[masked]");
        } else {
            // A terminal obeys some of them.
            shown.extend(text.chars().filter(|c| !c.is_control()));
        }
        shown.push_str(end);
    }
    match shown.char_indices().nth(MOST_PATH_CHARS) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

fn is_secret(text: &str) -> bool {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    // What is encoded twice is odd enough to be hidden whatever it is.
    looks_secret(&decoded) || decoded.contains('%')
}

/// The last requests, oldest first.
#[derive(Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: VecDeque<(u64, Entry)>,
    next: u64,
}

impl Journal {
    /// Writes an entry down; by the number its stream can be told of later.
    pub(super) fn add(&self, entry: Entry) -> u64 {
        let mut journal = self.lock();
        let number = journal.next;
        journal.next += 1;
        if journal.entries.len() == MOST_ENTRIES {
            journal.entries.pop_front();
        }
        journal.entries.push_back((number, entry));
        number
    }

    pub(super) fn set_stream(&self, number: u64, stream: Stream) {
        let mut journal = self.lock();
        if let Some((_, entry)) = journal.entries.iter_mut().rev().find(|(other, _)| *other == number) {
            entry.stream = Some(stream);
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().map(|(_, entry)| entry.clone()).collect()
    }

    pub(super) fn clear(&self) {
        self.lock().entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        for (target, shown) in [
            ("/v1/agents/agent-1/messages?limit=5", "/v1/agents/agent-1/messages?limit=5"),
            ("/v1/client-side-access-tokens/eyJh.eyJi.c2ln", "/v1/client-side-access-tokens/[masked]"),
            ("/v1/health?token=eyJh.eyJi.c2ln&a=b", "/v1/health?token=[masked]&a=b"),
            ("/v1/health?token=%65yJh.eyJi", "/v1/health?token=[masked]"),
            ("/v1/health?token=%2565yJh", "/v1/health?token=[masked]"),
            ("/v1/sk-hp-abc", "/v1/[masked]"),
            ("/v1/\u{9b}31m", "/v1/31m"),
        ] {
            assert_eq!(shown_path(target), shown);
        }
        assert_eq!(shown_path(&"é".repeat(3_000)).chars().count(), MOST_PATH_CHARS + 1);
    }

    #[test]
    fn a_body_that_is_long_or_no_json_is_left_out() {
        let text = |body: &[u8]| shown(&Bytes::copy_from_slice(body)).map(|json| json.get().to_owned());
        assert_eq!(text(b""), None);
        assert_eq!(text(b"{\"a\":1}").unwrap(), "{\"a\":1}");
        assert_eq!(text(b"\xff").unwrap(), "\"[1 bytes left out]\"");
        assert_eq!(text(&[b' '; 40_000]).unwrap(), "\"[40000 bytes left out]\"");
    }
}
