//! HTTP/2 with prior knowledge: the same rules, and streams beside each other on one connection.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::stage::{AGENT, ORIGIN, Stage};
use crate::upstream::{self, Exchange};
use crate::wire::Ask;

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Sender {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    // It ends with the sender, or when the server closes it, which the requests show.
    tokio::spawn(async move { drop(connection.await) });
    sender
}

fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://hallpass.test{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("origin", ORIGIN);
    match body {
        Some(body) => {
            request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap()
        }
        None => request.body(Full::default()).unwrap(),
    }
}

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Response<Incoming> {
    timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
}

async fn whole(response: Response<Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn piece(response: &mut Response<Incoming>) -> Option<String> {
    loop {
        let frame = timeout(PATIENCE, response.body_mut().frame()).await.unwrap()?;
        let data = frame.unwrap().into_data().ok()?;
        // An empty frame may carry the end of the stream.
        if !data.is_empty() {
            return Some(String::from_utf8(data.to_vec()).unwrap());
        }
    }
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}]})
}

/// The next request that reached the agent server. The connection goes on beside it.
fn next(stage: &Stage) -> Exchange {
    tokio::task::block_in_place(|| stage.upstream.next())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_decided_and_written_anew_as_by_http_1() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let token = stage.token();
    let mut sender = connect(stage.server.address()).await;
    let path = format!("/v1/agents/{AGENT}/messages?limit=3&junk=1");
    let (status, body) = whole(send(&mut sender, request("GET", &path, &token, None)).await).await;
    assert_eq!((status, body), (200, json!([])));
    let got = stage.upstream.take_one();
    assert_eq!(got.line(), format!("GET /v1/agents/{AGENT}/messages?limit=3 HTTP/1.1"));
    let names: Vec<_> = got.headers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["authorization", "host", "x-stainless-package-version"]);

    stage.upstream.forget();
    for (path, status, reason) in [
        (format!("/v1/agents/{AGENT}/export"), 403, "route_not_allowed"),
        ("/v1/agents/%2e%2e/x".to_owned(), 400, "target_not_valid"),
        ("//v1/agents".to_owned(), 400, "target_not_valid"),
    ] {
        let (found, body) = whole(send(&mut sender, request("GET", &path, &token, None)).await).await;
        assert_eq!((found, &body["reason"]), (status, &json!(reason)), "{path}");
    }
    assert!(stage.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_in_crumbs_and_other_headers_are_dropped() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let token = stage.token();
    let mut sender = connect(stage.server.address()).await;
    let mut ask = request("GET", &format!("/v1/agents/{AGENT}/messages"), &token, None);
    for (name, value) in
        [("cookie", "a=1"), ("user_id", "user-1"), ("x-bare-password", "password x"), ("te", "trailers")]
    {
        ask.headers_mut().append(name, value.parse().unwrap());
    }
    ask.headers_mut().append("cookie", "b=2".parse().unwrap());
    assert_eq!(whole(send(&mut sender, ask).await).await.0, 200);
    let names: Vec<_> = stage.upstream.take_one().headers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["authorization", "host", "x-stainless-package-version"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_run_beside_each_other_on_one_connection() {
    let stage = Stage::new();
    let (one, two) = (stage.token(), stage.token());
    let mut sender = connect(stage.server.address()).await;
    let path = format!("/v1/agents/{AGENT}/messages/stream");
    let mut open = Vec::new();
    for token in [&one, &two] {
        let answer = tokio::spawn(sender.send_request(request("POST", &path, token, Some(&hello()))));
        let mut exchange = next(&stage);
        exchange.begin_events();
        exchange.chunk(": begun\n\n");
        let mut response = timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(piece(&mut response).await.as_deref(), Some(": begun\n\n"));
        open.push((response, exchange));
    }
    for n in 0..5 {
        for (response, exchange) in &mut open {
            let data = json!({"message_type": "assistant_message", "content": n});
            exchange.event(&data);
            assert_eq!(piece(response).await, Some(format!("data: {data}\n\n")));
        }
    }

    // The one whose token goes is cut, the other goes on.
    let (mut cut, mut cut_exchange) = open.remove(0);
    cut_exchange.chunk("data: ha");
    tokio::task::block_in_place(|| stage.delete(&one));
    let mut rest = String::new();
    while let Some(piece) = piece(&mut cut).await {
        rest.push_str(&piece);
    }
    assert!(rest.starts_with("event: error\ndata: ") && rest.contains("token_revoked"), "{rest}");
    let (mut kept, mut kept_exchange) = open.remove(0);
    kept_exchange.chunk(": still here\n\n");
    assert_eq!(piece(&mut kept).await.as_deref(), Some(": still here\n\n"));
    kept_exchange.end();
    assert_eq!(piece(&mut kept).await, None);
}

/// The runtime lets a task do only so much at a time, and looking through many closed connections takes it all;
/// where exactly it ends differs with their number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_connections_were_closed_meanwhile_a_request_finds_its_way() {
    let stage = Stage::new();
    let path = format!("/v1/agents/{AGENT}/core-memory");
    // A token may have 64 requests open.
    let tokens = [stage.token(), stage.token()];
    for many in [42, 43, 44, 60, 63, 64, 65, 100, 120] {
        stage.upstream.answer_by(|_| None);
        let mut clients: Vec<_> = (0..many).map(|_| stage.connect()).collect();
        for (client, token) in clients.iter_mut().zip(tokens.iter().cycle()) {
            client.write(&Ask::get(&path).by(token).bytes());
        }
        let mut kept: Vec<_> = (0..many).map(|_| next(&stage)).collect();
        for exchange in &mut kept {
            exchange.write(upstream::whole(200, &[("content-type", "application/json")], b"{}"));
        }
        for client in &mut clients {
            assert_eq!(client.answer("GET").status, 200);
        }
        drop(kept);
        stage.upstream.answer_json(&json!({}));
        let mut sender = connect(stage.server.address()).await;
        let response = send(&mut sender, request("GET", &path, &tokens[0], None)).await;
        assert_eq!(whole(response).await, (200, json!({})), "{many} connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_client_resets_ends_the_work_behind() {
    let stage = Stage::new();
    let token = stage.token();
    let mut sender = connect(stage.server.address()).await;
    let path = format!("/v1/agents/{AGENT}/messages/stream");
    let answer = tokio::spawn(sender.send_request(request("POST", &path, &token, Some(&hello()))));
    let mut exchange = next(&stage);
    exchange.begin_events();
    exchange.chunk(": begun\n\n");
    let mut response = timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap();
    piece(&mut response).await.unwrap();
    drop(response);
    tokio::task::block_in_place(|| exchange.assert_abandoned_within(Duration::from_secs(1)));
    // The connection goes on.
    stage.upstream.answer_json(&json!([]));
    let again = request("GET", &format!("/v1/agents/{AGENT}/messages"), &token, None);
    assert_eq!(whole(send(&mut sender, again).await).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_streams_and_in_time() {
    let stage = Stage::new();
    let token = stage.token();
    let mut sender = connect(stage.server.address()).await;
    let path = format!("/v1/agents/{AGENT}/messages/stream");
    let answer = tokio::spawn(sender.send_request(request("POST", &path, &token, Some(&hello()))));
    let mut exchange = next(&stage);
    exchange.begin_events();
    exchange.chunk(": begun\n\ndata: ha");
    let mut response = timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap();
    assert_eq!(piece(&mut response).await.as_deref(), Some(": begun\n\n"));
    stage.server.signal("TERM");
    let mut rest = String::new();
    while let Some(piece) = piece(&mut response).await {
        rest.push_str(&piece);
    }
    assert!(rest.starts_with("event: error\ndata: ") && rest.contains("\"stopping\""), "{rest}");
    tokio::task::block_in_place(|| stage.server.ends_well());
}
