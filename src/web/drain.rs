//! What is left of a request's body once its answer is known. A connection on which unread bytes
//! follow can't be used again: a client that keeps it open would find its next request lost.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};

/// Most bytes that are read only to be thrown away.
const MOST_BYTES: usize = 64 << 10;

/// How long they may take to arrive.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that a handler reads, and of which what it leaves can still be read by another.
struct Shared(Arc<Mutex<Left>>);

/// What a handler left.
pub(crate) struct Rest(Arc<Mutex<Left>>);

struct Left {
    body: Body,
    /// One in chunks says so once, and not when it is asked.
    is_over: bool,
}

impl Left {
    fn is_over(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}

/// Splits a body into what the handler gets and what remains; `None` if there is no body.
pub(crate) fn split(body: Body) -> (Body, Option<Rest>) {
    if body.is_end_stream() {
        return (body, None);
    }
    let shared = Arc::new(Mutex::new(Left { body, is_over: false }));
    (Body::new(Shared(shared.clone())), Some(Rest(shared)))
}

impl Rest {
    /// Reads what is left, within bounds; `true` if that was all. A client that waits to be told to
    /// send its body (RFC 9110, section 10.1.1) is not asked for it only to throw it away.
    pub(crate) async fn discard(self, waits_for_continue: bool) -> bool {
        if waits_for_continue {
            return self.0.lock().unwrap_or_else(PoisonError::into_inner).is_over();
        }
        let discard = async {
            let mut bytes = 0;
            while let Some(frame) = std::future::poll_fn(|context| poll(&self.0, context)).await {
                bytes +=
                    frame.ok().and_then(|frame| frame.into_data().ok()).map_or(MOST_BYTES, |data| data.len());
                if bytes > MOST_BYTES {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, discard).await.unwrap_or(false)
    }
}

fn poll(left: &Mutex<Left>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    if left.is_over() {
        return Poll::Ready(None);
    }
    let frame = Pin::new(&mut left.body).poll_frame(context);
    left.is_over = matches!(frame, Poll::Ready(None));
    frame
}

impl hyper::body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        poll(&self.0, context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
