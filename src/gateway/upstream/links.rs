//! Connections to the agent server that are kept, and answers that come by them.
//!
//! A connection is driven by the request that uses it, not by a task of its own: handing each request to
//! another task and its answer back costs more than all that is decided about it. Nobody looks at a
//! connection that is kept; whether it is still open shows when it is used again. An upload that is still on its
//! way moves on while the answer is read, and ends with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long an unused connection is kept, and half a second more: less than the agent server keeps it
/// (uvicorn: 5 s), so that it isn't closed under a request.
const KEPT: Duration = Duration::from_secs(4);

/// Unused connections that are kept.
const MOST_KEPT: usize = 256;

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection.
pub(super) struct Link {
    sender: SendRequest<Body>,
    /// Until it is over.
    connection: Option<Connection<Stream, Body>>,
    /// By when an answer must have begun. It is set anew for each request, which mostly takes no lock; making one for
    /// each would take two.
    deadline: Pin<Box<Sleep>>,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The request comes back if the connection was closed before any of it was sent.
    Failed(Box<TrySendError<Request<Body>>>),
    TooLate,
}

impl Link {
    pub(super) async fn new(stream: Stream) -> hyper::Result<Box<Self>> {
        let (sender, connection) = handshake(stream).await?;
        let deadline = Box::pin(tokio::time::sleep(Duration::ZERO));
        Ok(Box::new(Self { sender, connection: Some(connection), deadline }))
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, NoAnswer> {
        self.deadline.as_mut().reset(deadline.into());
        // Out of the runtime's budget: once that is used up, what is there would be held back, and the waker that is
        // told to ask again is nobody's.
        let answer = tokio::task::unconstrained(self.sender.try_send_request(request));
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|context| {
            for waker in [Waker::noop(), context.waker()] {
                self.drive(waker);
                if let Poll::Ready(answer) = answer.as_mut().poll(&mut nobody()) {
                    return Poll::Ready(answer.map_err(|error| NoAnswer::Failed(Box::new(error))));
                }
            }
            self.deadline.as_mut().poll(context).map(|()| Err(NoAnswer::TooLate))
        })
        .await
    }

    /// Does what can be done at the moment, and has the task woken when there is more. A failure is told where an
    /// answer is waited for.
    ///
    /// What waits for an answer or a part of it drives for nobody first: taking what has come makes room, for which
    /// the connection would at once wake who drove it last, and that task runs already.
    fn drive(&mut self, waker: &Waker) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(&mut Context::from_waker(waker)).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether another request can be sent.
    fn is_free(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// Wakes nobody: for what moves only while its connection is driven by the very task that asks.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Connections that nobody uses, the one used last at the end. Since when is noted by the next [`Kept::tidy`]:
/// requests read no clock for it.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(Option<Instant>, Box<Link>)>>);

impl Kept {
    /// The one that was used last.
    pub(super) fn take(&self) -> Option<Box<Link>> {
        self.lock().pop().map(|(_, link)| link)
    }

    fn put(&self, link: Box<Link>) {
        let mut kept = self.lock();
        if kept.len() < MOST_KEPT {
            kept.push((None, link));
        }
    }

    /// Closes those that have waited for too long. To be done several times a second.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let mut kept = self.lock();
        let is_old = |since: &mut Option<Instant>| now - *since.get_or_insert(now) >= KEPT;
        let old: Vec<_> = kept.extract_if(.., |(since, _)| is_old(since)).collect();
        // Closed outside the lock.
        drop(kept);
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Option<Instant>, Box<Link>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer, with the connection that it comes by. When all of it has come, the connection is
/// kept; dropped before, it is closed, so that the agent server learns of it.
pub(in super::super) struct Answer {
    /// Until it is dropped.
    incoming: Option<Incoming>,
    link: Option<Box<Link>>,
    kept: Arc<Kept>,
}

impl Answer {
    pub(super) fn new(incoming: Incoming, link: Box<Link>, kept: Arc<Kept>) -> Self {
        Self { incoming: Some(incoming), link: Some(link), kept }
    }

    /// What has come of it.
    fn next(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *incoming).poll_frame(&mut nobody());
        // One in chunks says that it is over by `None` alone.
        if frame.is_ready() && (incoming.is_end_stream() || matches!(frame, Poll::Ready(None))) {
            self.release();
        }
        frame
    }

    /// Keeps the connection if nothing of this answer, or of its request, is left on it.
    fn release(&mut self) {
        if let Some(mut link) = self.link.take() {
            link.drive(Waker::noop());
            if link.is_free() {
                self.kept.put(link);
            }
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        // In this order: only what is asked for is read.
        if let Poll::Ready(frame) = this.next() {
            return Poll::Ready(frame);
        }
        for waker in [Waker::noop(), context.waker()] {
            if let Some(link) = &mut this.link {
                link.drive(waker);
            }
            if let Poll::Ready(frame) = this.next() {
                return Poll::Ready(frame);
            }
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // What nobody wanted is read if it has arrived; the connection is free then, and otherwise closed.
        drop(self.incoming.take());
        self.release();
    }
}
