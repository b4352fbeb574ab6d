//! An answer of events on its way to the page: counted, and broken where a fault wants it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use serde::Deserialize;

use super::Dev;
use super::faults::{Fault, Kind};
use super::journal::{Entry, Stream};
use crate::gateway::sse;
use crate::token::TokenId;

/// An answer of events that is watched.
pub(super) struct Watched {
    inner: Body,
    dev: Arc<Dev>,
    /// The request's number in the journal.
    number: u64,
    entry: Entry,
    stream: Stream,
    fault: Option<(Fault, Option<TokenId>)>,
}

impl Watched {
    pub(super) fn new(
        inner: Body,
        dev: Arc<Dev>,
        number: u64,
        entry: Entry,
        fault: Option<(Fault, Option<TokenId>)>,
    ) -> Self {
        Self { inner, dev, number, entry, stream: Stream::default(), fault }
    }

    /// Counts an event, and keeps in mind how it ends the stream, if it does. The gateway sends each
    /// event in a piece of its own.
    fn note(&mut self, event: &[u8]) {
        self.stream.events += 1;
        if let Some(ended) = ended_by(event) {
            self.stream.ended = Some(ended);
        }
    }

    /// The fault whose turn has come.
    fn due(&mut self) -> Option<(Fault, Option<TokenId>)> {
        let events = self.stream.events;
        self.fault.take_if(|(fault, _)| events >= fault.events())
    }

    fn revoke(&self, token: Option<TokenId>) {
        let Some(token) = token else { return };
        let dev = self.dev.clone();
        tokio::spawn(async move {
            if let Err(error) = dev.revoke(token).await {
                tracing::warn!(%error, "the token could not be revoked");
            }
        });
    }
}

/// How an event says that it is the last, if it does.
fn ended_by(event: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        reason: Option<String>,
    }
    let data = sse::data_of(event);
    if *data == *b"[DONE]" {
        return Some("done".to_owned());
    }
    if sse::type_of(event) != b"error" {
        return None;
    }
    let reason = serde_json::from_slice::<Problem>(&data).ok().and_then(|problem| problem.reason);
    Some(reason.unwrap_or_else(|| "agent_server_error".to_owned()))
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match this.due() {
            Some((fault, _)) if fault.next == Kind::DropStream => {
                this.stream.ended = Some("dropped".to_owned());
                // What was sent before is on its way by the time this is looked at again.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some((_, token)) => this.revoke(token),
            None => {}
        }
        if this.stream.ended.as_deref() == Some("dropped") {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::other("a fault that was asked for")))));
        }
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let data = data.clone();
            this.note(&data);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// However it ends, it is told: an answer that nobody takes any more is dropped.
impl Drop for Watched {
    fn drop(&mut self) {
        let mut stream = std::mem::take(&mut self.stream);
        if stream.ended.is_none() {
            let whole = self.inner.is_end_stream();
            stream.ended = Some(if whole { "done" } else { "left" }.to_owned());
        }
        self.dev.parts.lines.stream_end(&self.entry, &stream);
        self.dev.journal.set_stream(self.number, stream);
    }
}

#[cfg(test)]
mod tests {
    use super::ended_by;

    #[test]
    fn the_last_event_tells_how_a_stream_ended() {
        for (event, ended) in [
            ("data: {\"message_type\":\"ping\"}", None),
            ("data: [DONE]", Some("done")),
            ("event: error\ndata: {\"reason\":\"token_revoked\"}", Some("token_revoked")),
            ("event: error\ndata: {\"message_type\":\"error_message\"}", Some("agent_server_error")),
            ("event: error\ndata: no json", Some("agent_server_error")),
        ] {
            assert_eq!(ended_by(format!("{event}\n\n").as_bytes()).as_deref(), ended, "{event}");
        }
    }
}
