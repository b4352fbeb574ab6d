//! What holds for every request.

use axum::body::{Body, Bytes};
use axum::http::Method;
use http_body_util::StreamBody;
use hyper::body::Frame;

use crate::client::{Server, TOKENS};

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let (_server, client) = Server::start().await;
    for path in ["/healthz", "/nowhere", TOKENS, "/v1/", "/.well-known/jwks.json", "/docs"] {
        let answer = client.get(path).await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(16), "{path}");
    }
}

#[tokio::test]
async fn a_harmless_request_id_is_kept_and_another_replaced() {
    let (_server, client) = Server::start().await;
    let ask = async |id: &str| {
        let request = client.request(Method::GET, "/healthz").header("x-request-id", id).body(Body::empty());
        client.send(request.unwrap()).await.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("trace-42").await, "trace-42");
    assert_ne!(ask("eyJ.eyJ.sig").await, "eyJ.eyJ.sig");
}

#[tokio::test]
async fn of_several_hosts_none_is_taken() {
    let (_server, client) = Server::start().await;
    let ask = async |hosts: &[&str]| {
        let request = client.request(Method::GET, TOKENS);
        let request = hosts.iter().fold(request, |request, host| request.header("host", *host));
        client.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(ask(&["one.example"]).await.status, 200);
    for hosts in [["one.example", "other.example"], ["one.example", "one.example"]] {
        let detail = ask(&hosts).await.problem(400, "invalid-request", "Invalid request");
        assert_eq!(detail, "there are several `Host` headers: send one");
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_too() {
    let (server, client) = Server::start().await;
    for path in
        ["/", "/v1/", "/v1/agents/agent-1", "/v1/client-side-access-tokens/a/b", "/.well-known/x", "/metrics"]
    {
        client.get(path).await.problem(404, "not-found", "Not found");
        server.stranger().get(path).await.problem(404, "not-found", "Not found");
    }
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_told_with_those_that_it_has() {
    let (_server, client) = Server::start().await;
    for (method, path, allow) in [
        (Method::PUT, TOKENS, "POST"),
        (Method::PATCH, TOKENS, "GET"),
        (Method::GET, "/v1/client-side-access-tokens/x", "DELETE"),
        (Method::GET, "/oauth/introspect", "POST"),
        (Method::POST, "/.well-known/jwks.json", "GET"),
        (Method::TRACE, "/healthz", "GET"),
    ] {
        let answer = client.send(client.request(method.clone(), path).body(Body::empty()).unwrap()).await;
        answer.problem(405, "method-not-allowed", "Method not allowed");
        assert!(answer.header("allow").is_some_and(|value| value.contains(allow)), "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let (_server, client) = Server::start().await;
    // From here on, waiting takes no time: the clock moves to whatever is waited for.
    tokio::time::pause();
    let never = StreamBody::new(futures_stream::Never);
    let request = client.request(Method::POST, TOKENS).header("content-type", "application/json");
    let answer = client.send(request.body(Body::new(never)).unwrap()).await;
    let detail = answer.problem(408, "request-timeout", "Request timeout");
    assert!(detail.contains("within 10 s"), "{detail}");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told() {
    let (_server, client) = Server::start().await;
    let broken = StreamBody::new(futures_stream::Broken(false));
    let request = client.request(Method::POST, TOKENS).header("content-type", "application/json");
    let answer = client.send(request.body(Body::new(broken)).unwrap()).await;
    let detail = answer.problem(400, "invalid-request", "Invalid request");
    assert!(detail.contains("broke off"), "{detail}");
}

mod futures_stream {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::{Bytes, Frame};

    /// A body that never comes.
    pub(super) struct Never;

    impl futures_core::Stream for Never {
        type Item = Result<Frame<Bytes>, io::Error>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }

    /// A body that fails after its first piece.
    pub(super) struct Broken(pub(super) bool);

    impl futures_core::Stream for Broken {
        type Item = Result<Frame<Bytes>, io::Error>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(if std::mem::replace(&mut self.0, true) {
                Err(io::ErrorKind::ConnectionReset.into())
            } else {
                Ok(Frame::data(Bytes::from_static(b"{")))
            }))
        }
    }
}
