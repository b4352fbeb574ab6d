//! Serving: accepting connections within bounds, and stopping without losing anything.

mod admin;
mod duties;
mod front;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use self::duties::Duties;
pub use self::front::Front;
use crate::app::App;
use crate::gateway::Gateway;

/// Connections served at a time; more of them wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;

/// Longest time for a request's head to arrive, and for a connection to stay idle: longer than
/// reverse proxies keep theirs (nginx: 60 s), so that it is they who close.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Longest head of a request. A token travels in one, in the path when it is deleted.
const MOST_HEAD_BYTES: usize = 32 << 10;

/// Requests at a time on one HTTP/2 connection.
const MOST_STREAMS: u32 = 128;

/// How often the other end of an HTTP/2 connection is asked whether it is there, and how long it may take
/// to say so.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long open requests may take to finish once the server is told to stop; orchestrators kill
/// after 10 s, and the writer needs some of that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(7);

/// How long streams may go on by themselves in that time; then they are told to end.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the database may take to close after that.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may leave an answer unread before its connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after a failure to accept, such as too many open files: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server runs on. With one core, one thread that does everything: handing work between threads
/// costs a request through the gateway a tenth of its time, and gains nothing.
///
/// # Errors
///
/// If the operating system gives no threads or no means to wait for sockets.
pub fn runtime() -> io::Result<Runtime> {
    let one_core = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if one_core { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}

/// Where a server listens.
pub struct Listeners {
    pub public: TcpListener,
    /// For who watches the server; it answers until the last request is done.
    pub admin: Option<TcpListener>,
}

/// What stands behind a public listener.
pub trait Answers: Clone + Send + Sync + 'static {
    fn answer(
        self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send;

    /// Ends answers that would go on by themselves: the server stops.
    fn end_streams(&self);
}

/// Serves until `stop` is done, then finishes open requests, writes down what is only in memory and
/// closes the store.
pub async fn run(
    listeners: Listeners,
    app: Arc<App>,
    gateway: Arc<Gateway>,
    front: impl Answers,
    stop: impl Future<Output = ()>,
) {
    let duties = Duties::start(&app);
    let watch = JoinSet::from_iter([{
        let gateway = gateway.clone();
        async move {
            // Whatever happens to it, open answers must go on to end with their tokens.
            while AssertUnwindSafe(gateway.watch()).catch_unwind().await.is_err() {
                tracing::error!("watching open answers failed, and begins again");
            }
        }
    }]);
    let admin = JoinSet::from_iter(listeners.admin.map(|listener| {
        let router = admin::router(app.clone(), gateway.clone());
        serve(listener, router, std::future::pending())
    }));
    accept(listeners.public, front, stop).await;
    drop((admin, watch));
    duties.end().await;
    let close = async {
        if let Err(error) = app.note_api_key_uses().await {
            tracing::warn!(%error, "the last uses of API keys could not be written down");
        }
        app.store.close().await;
    };
    // Whoever holds the database's lock doesn't hold up the stop: what was acknowledged is durable.
    if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
        tracing::warn!("the database could not be closed in time; what was acknowledged is kept");
    }
}

/// Serves a router until `stop` is done and open requests have finished.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    accept(listener, Front::router(router), stop).await;
}

async fn accept(listener: TcpListener, front: impl Answers, stop: impl Future<Output = ()>) {
    let protocols = Arc::new(Protocols::new());
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut refuses = false;
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if !std::mem::replace(&mut refuses, true) {
                    tracing::warn!(%error, "cannot accept connections; tried again until it works");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if std::mem::take(&mut refuses) {
            tracing::info!("accepts connections again");
        }
        let (protocols, front, watcher) = (protocols.clone(), front.clone(), connections.watcher());
        tokio::spawn(async move {
            protocols.serve(stream, peer.ip(), front, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    tracing::info!("stopping: no new connections, open requests finish");
    let drained = async {
        let shutdown = connections.shutdown();
        tokio::pin!(shutdown);
        if tokio::time::timeout(STREAMS_TIMEOUT, &mut shutdown).await.is_err() {
            front.end_streams();
            shutdown.await;
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
}

/// HTTP/1.1, and HTTP/2 for who begins with its preface (RFC 9113, section 3.3): proxies that speak it
/// without TLS.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// First pause between two looks at a preface that comes in pieces, which happens next to never; each is
/// twice as long as the one before.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

impl Protocols {
    fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(MOST_HEAD_BYTES)
            .max_buf_size(MOST_HEAD_BYTES + (8 << 10));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(MOST_HEAD_BYTES).unwrap_or(u32::MAX))
            .max_concurrent_streams(MOST_STREAMS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY);
        Self { http1, http2 }
    }

    async fn serve(&self, stream: TcpStream, peer: IpAddr, front: impl Answers, watcher: Watcher) {
        let version = tokio::time::timeout(HEAD_TIMEOUT, begins_with_preface(&stream));
        let Ok(Ok(is_http2)) = version.await else {
            return;
        };
        let io = TokioIo::new(Box::pin(bounded(stream)));
        // Boxed, it is gone once an answer has begun: a stream goes on for long.
        let service = service_fn(move |request| Box::pin(front.clone().answer(request, peer)));
        // A client that breaks off or sends no HTTP is its own affair.
        let ended = if is_http2 {
            // In a box, so that the many connections that don't speak it have no room for it.
            Box::pin(watcher.watch(self.http2.serve_connection(io, service))).await
        } else {
            watcher.watch(self.http1.serve_connection(io, service)).await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Looks at the first bytes and leaves them where they are.
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    let (mut start, mut pause) = ([0; PREFACE.len()], PREFACE_PAUSE);
    loop {
        let length = stream.peek(&mut start).await?;
        if length == 0 || !PREFACE.starts_with(&start[..length]) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Answers are small: waiting to fill a packet only delays them. A client that doesn't read them
/// holds a place and memory, so it may do that only for a while.
fn bounded(stream: TcpStream) -> TimeoutStream<TcpStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    stream
}
