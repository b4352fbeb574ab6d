//! An answer on its way from the agent server to the client: piece by piece as it comes, as long as the
//! client's token is good.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use tokio::time::Sleep;

use super::sse::{EventSplitter, data_of, error_event, type_of};
use super::streams::Place;
use super::upstream::Answer;
use crate::access::AnswerRule;

/// Longest event of a stream: tools may return much.
const MOST_EVENT_BYTES: usize = 1 << 20;

/// What a stream says when it can't go on, as the JSON of problems.
pub(super) struct Endings {
    pub(super) broke_off: String,
    pub(super) too_slow: String,
    pub(super) unreadable: String,
    /// The client reads nothing.
    pub(super) not_read: String,
    /// The server stops.
    pub(super) stopping: String,
}

/// Waits no longer than so long for the next piece.
pub(super) struct Patience {
    longest: Duration,
    /// Set while a piece is waited for.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, wait: None }
    }

    fn came(&mut self) {
        self.wait = None;
    }

    /// Ready when it took too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let longest = self.longest;
        self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest))).as_mut().poll(context)
    }
}

/// Why an answer that isn't a stream of events broke off; the client sees a connection that ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokeOff {
    #[error("the token is no longer good")]
    Cut,
    #[error("the agent server fell silent")]
    TooSlow,
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
}

/// Any answer, byte for byte.
pub(super) struct Bytewise {
    place: Place,
    patience: Patience,
    size: SizeHint,
}

impl Bytewise {
    pub(super) fn new(upstream: Answer, place: Place, patience: Patience) -> Self {
        let size = upstream.size_hint();
        place.hold(upstream);
        Self { place, patience, size }
    }
}

impl Body for Bytewise {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let this = self.get_mut();
        if this.place.cut(context).is_some() {
            return Poll::Ready(Some(Err(BrokeOff::Cut)));
        }
        match this.place.poll(context) {
            // Trailers stay here: they'd get round what is decided of headers.
            Poll::Ready(Some(Ok(frame))) if !frame.is_data() => Poll::Ready(None),
            // A cut takes the answer away.
            Poll::Ready(None) if this.place.cut(context).is_some() => Poll::Ready(Some(Err(BrokeOff::Cut))),
            Poll::Ready(frame) => {
                this.patience.came();
                Poll::Ready(frame.map(|frame| frame.map_err(BrokeOff::from)))
            }
            Poll::Pending => {
                ready!(this.patience.poll(context));
                Poll::Ready(Some(Err(BrokeOff::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.place.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

/// An event is too long, or not of the form in which it could be checked.
struct Unreadable;

/// A stream of events, each passed on when it is whole. It ends well whatever happens: what can't go on
/// is told by a last event, and half an event is never sent.
pub(super) struct Events {
    place: Place,
    rule: AnswerRule,
    splitter: EventSplitter,
    patience: Patience,
    endings: Arc<Endings>,
    ended: bool,
}

impl Events {
    pub(super) fn new(
        upstream: Answer,
        place: Place,
        rule: AnswerRule,
        patience: Patience,
        endings: Arc<Endings>,
    ) -> Self {
        let splitter = EventSplitter::new(MOST_EVENT_BYTES);
        place.hold(upstream);
        Self { place, rule, splitter, patience, endings, ended: false }
    }

    /// The next event that is whole and may be seen. An error, if one can't be read.
    fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        while let Some(event) = self.splitter.next_event().map_err(|_| Unreadable)? {
            let data = data_of(&event);
            // A comment, or a field without data, hides nothing.
            if self.rule == AnswerRule::AsIs || data.is_empty() {
                return Ok(Some(event));
            }
            if type_of(&event) == b"error" {
                return Ok(Some(without_detail(&data)));
            }
            if !self.rule.hides(&data).ok_or(Unreadable)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn end(&mut self, problem: &str) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::data(error_event(problem)))))
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(problem) = this.place.cut(context) {
            let problem = problem.to_owned();
            return this.end(&problem);
        }
        loop {
            match this.next() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(Frame::data(event)))),
                Ok(None) => {}
                Err(Unreadable) => {
                    let problem = this.endings.unreadable.clone();
                    return this.end(&problem);
                }
            }
            match this.place.poll(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.patience.came();
                    if let Ok(data) = frame.into_data() {
                        this.splitter.push(data);
                    }
                }
                Poll::Ready(None) if let Some(problem) = this.place.cut(context) => {
                    let problem = problem.to_owned();
                    return this.end(&problem);
                }
                Poll::Ready(None) if this.splitter.is_between_events() => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                // Half an event at the end is none (WHATWG HTML, section 9.2.6).
                Poll::Ready(None) => {
                    let problem = this.endings.broke_off.clone();
                    return this.end(&problem);
                }
                Poll::Ready(Some(Err(_))) => {
                    let problem = this.endings.broke_off.clone();
                    return this.end(&problem);
                }
                Poll::Pending => {
                    ready!(this.patience.poll(context));
                    let problem = this.endings.too_slow.clone();
                    return this.end(&problem);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// What the agent server says of a failure of its own, without the part that quotes the provider of its
/// language model, which may quote a key.
fn without_detail(data: &[u8]) -> Bytes {
    let mut error =
        serde_json::from_slice(data).unwrap_or_else(|_| json!({"message": "the agent server failed"}));
    if let Some(fields) = Value::as_object_mut(&mut error) {
        fields.remove("detail");
    }
    error_event(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_agent_servers_passes_without_what_it_quotes() {
        let told = |data: &str| String::from_utf8(without_detail(data.as_bytes()).to_vec()).unwrap();
        assert_eq!(
            told(r#"{"message_type":"error_message","message":"it failed","detail":"key sk-pro***abc"}"#),
            "event: error\ndata: {\"message\":\"it failed\",\"message_type\":\"error_message\"}\n\n"
        );
        for unreadable in ["plain words sk-pro***abc", "", "[DONE]"] {
            assert_eq!(told(unreadable), "event: error\ndata: {\"message\":\"the agent server failed\"}\n\n");
        }
    }
}
