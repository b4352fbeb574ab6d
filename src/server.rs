//! Serving: accepting connections within bounds, and stopping without losing anything.

mod admin;
mod duties;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use self::duties::Duties;
use crate::app::App;

/// Connections served at a time; more of them wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;

/// Longest time for a request's head to arrive, and for a connection to stay idle: longer than
/// reverse proxies keep theirs (nginx: 60 s), so that it is they who close.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Longest head of a request. A token travels in one, in the path when it is deleted.
const MOST_HEAD_BYTES: usize = 32 << 10;

/// How long open requests may take to finish once the server is told to stop; orchestrators kill
/// after 10 s, and the writer needs some of that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(7);

/// How long the database may take to close after that.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may leave an answer unread before its connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after a failure to accept, such as too many open files: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is done, then finishes open requests, writes down what is only in memory and
/// closes the store. `admin` is for who watches the server; it answers until the last request is done.
pub async fn run(listener: TcpListener, admin: TcpListener, app: Arc<App>, stop: impl Future<Output = ()>) {
    let duties = Duties::start(&app);
    let admin = JoinSet::from_iter([serve(admin, admin::router(app.clone()), std::future::pending())]);
    serve(listener, crate::api::router(app.clone()), stop).await;
    drop(admin);
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
    let service = TowerToHyperService::new(router);
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MOST_HEAD_BYTES)
        .max_buf_size(MOST_HEAD_BYTES + (8 << 10));

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
        let stream = match accepted {
            Ok((stream, _)) => stream,
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
        let connection = http.serve_connection(TokioIo::new(Box::pin(bounded(stream))), service.clone());
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off or sends no HTTP is its own affair.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    tracing::info!("stopping: no new connections, open requests finish");
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
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
