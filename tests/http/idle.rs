//! Answers in which nothing comes any more, or that nobody reads, through the gateway and real connections. Once one has
//! begun, time is tokio's own and leaps to whatever is waited for: nobody waits minutes for these.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use hallpass::access::Table;
use hallpass::config::Config;
use hallpass::gateway::{Gateway, Settings, UpstreamSettings};
use hallpass::server::{self, Front, Listeners};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Server, token_of};

const IDLE: Duration = Duration::from_secs(120);
/// By when what is due has come.
const IN_TIME: Duration = Duration::from_secs(10);
const AGENT: &str = "agent-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";
const SSE: &str = "content-type: text/event-stream\r\ntransfer-encoding: chunked";
const PLAIN: &str = "content-type: application/json\r\ntransfer-encoding: chunked";

/// A request under way, and both ends of it.
struct Exchange {
    client: TcpStream,
    agent_server: TcpStream,
    /// The database is gone with it.
    _server: Server,
}

impl Exchange {
    /// Sends a request through the gateway. The agent server begins its answer with such headers and such a piece.
    async fn begin(path: &str, head: &str, first: &str) -> Self {
        let (server, client) = Server::start().await;
        let answer = client
            .create(&json!({
                "hostname": "https://app.example.com",
                "policy": [{"type": "agent", "id": AGENT, "access": ["read_messages", "write_messages", "read_agent"]}],
            }))
            .await;
        let token = token_of(&answer.json());
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (public, upstream) = (listen().await, listen().await);
        let settings = Settings {
            upstream: Some(UpstreamSettings {
                url: format!("http://{}", upstream.local_addr().unwrap()),
                token: None,
                ca: None,
                answer_timeout: IDLE * 10,
            }),
            max_body: 1 << 20,
            idle_timeout: IDLE,
            ..Settings::default()
        };
        let table = Table::new(&Config::default().gateway.access()).unwrap();
        let gateway = Arc::new(Gateway::new(server.app.clone(), table, settings).unwrap());
        let address = public.local_addr().unwrap();
        let (app, front) = (server.app.clone(), Front::new(server.app.clone(), gateway.clone()));
        let listeners = Listeners { public, admin: None };
        tokio::spawn(server::run(listeners, app, gateway, front, std::future::pending()));

        let mut client = TcpStream::connect(address).await.unwrap();
        let body = if path.ends_with("/stream") {
            r#"{"messages":[{"role":"user","content":"hello"}]}"#
        } else {
            ""
        };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = format!(
            "{method} /v1/agents/{AGENT}{path} HTTP/1.1\r\nhost: h\r\norigin: https://app.example.com\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut agent_server, _) = upstream.accept().await.unwrap();
        let mut got = String::new();
        // The body of a message is written anew, as JSON again.
        while !got.ends_with(if body.is_empty() { "\r\n\r\n" } else { "}" }) {
            got.push_str(&piece(&mut agent_server).await);
        }
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        agent_server.write_all(head.as_bytes()).await.unwrap();
        let mut exchange = Self { client, agent_server, _server: server };
        exchange.send(first).await;
        exchange
    }

    /// A chunk from the agent server.
    async fn send(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.agent_server.write_all(chunk.as_bytes()).await.unwrap();
    }

    /// What the client gets until it has got such a text.
    async fn await_text(&mut self, wanted: &str) -> String {
        let mut got = String::new();
        while !got.contains(wanted) {
            got.push_str(&piece(&mut self.client).await);
        }
        got
    }

    /// Lets so much time pass that the answer is given up, and not before it should be. Nothing is on its way meanwhile,
    /// as time wouldn't wait for it.
    async fn stay_silent(&self) {
        tokio::time::pause();
        tokio::time::sleep(IDLE / 4 * 3).await;
        let early = self.client.try_read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "something came before its time");
        tokio::time::sleep(IDLE / 2).await;
        tokio::time::resume();
    }

    /// All else that the client gets.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let reading = self.client.read_to_string(&mut rest);
        tokio::time::timeout(IN_TIME, reading).await.expect("the answer goes on").unwrap();
        rest
    }
}

async fn piece(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    assert!(length > 0, "the connection was closed");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_in_which_nothing_comes_ends_by_an_event_that_says_so() {
    let first = "data: {\"message_type\":\"assistant_message\"}\n\n";
    let mut exchange = Exchange::begin("/messages/stream", SSE, first).await;
    exchange.await_text("assistant_message").await;
    exchange.stay_silent().await;
    let rest = exchange.rest().await;
    let (_, event) = rest.split_once("event: error\ndata: ").unwrap();
    let problem: Value = serde_json::from_str(event.lines().next().unwrap()).unwrap();
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("upstream_timeout"), &json!(504)), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "the stream is whole: {rest}");
    assert_eq!(exchange.agent_server.read(&mut [0]).await.unwrap(), 0, "the agent server is left");
}

#[tokio::test]
async fn each_piece_begins_the_time_anew() {
    let first = "data: {\"message_type\":\"assistant_message\"}\n\n";
    let mut exchange = Exchange::begin("/messages/stream", SSE, first).await;
    exchange.await_text("assistant_message").await;
    for count in 0..3 {
        tokio::time::pause();
        tokio::time::sleep(IDLE / 3 * 2).await;
        tokio::time::resume();
        exchange.send(&format!(": alive {count}\n\n")).await;
        exchange.await_text(&format!("alive {count}")).await;
    }
    exchange.stay_silent().await;
    assert!(exchange.rest().await.contains("upstream_timeout"));
}

#[tokio::test]
async fn another_answer_in_which_nothing_comes_breaks_off() {
    let mut exchange = Exchange::begin("/archival-memory", PLAIN, "[1").await;
    exchange.await_text("[1").await;
    exchange.stay_silent().await;
    assert_eq!(exchange.rest().await, "", "it must not look whole");
}

#[tokio::test]
async fn an_answer_that_is_read_whole_is_given_up() {
    let mut exchange = Exchange::begin("", PLAIN, "{\"id\":").await;
    exchange.stay_silent().await;
    let answer = exchange.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("upstream_timeout"), "{answer}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_hung_up_on() {
    let mut exchange = Exchange::begin("/messages/stream", SSE, ": begun\n\n").await;
    exchange.await_text("begun").await;
    tokio::time::pause();
    let Exchange { mut client, mut agent_server, _server } = exchange;
    let event = format!("10000\r\n:{}\n\n\r\n", "x".repeat((1 << 16) - 3));
    // Until it is hung up on, too.
    let sending = async { while agent_server.write_all(event.as_bytes()).await.is_ok() {} };
    assert!(tokio::time::timeout(IDLE * 10, sending).await.is_ok(), "the agent server may go on for ever");
    let mut rest = Vec::new();
    // It is closed, or reset as there was more to send.
    let _ = client.read_to_end(&mut rest).await;
    assert!(!rest.is_empty() && !rest.ends_with(b"0\r\n\r\n"), "it must not look whole");
}
