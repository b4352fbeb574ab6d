//! What stands in for an agent server when the samples of the gateway are run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Answers every message with `Hi!`, as a stream where that is asked for. It ends with the test.
pub struct Upstream {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let shared = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen) = (stream.unwrap(), shared.clone());
                thread::spawn(move || answer(stream, &seen));
            }
        });
        Self { url, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    // A connection that was opened ahead may never be used.
    if !reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        return;
    }
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let is_stream = path.ends_with("/stream");
    let body = serde_json::from_slice(&body).unwrap_or_default();
    seen.lock().unwrap().push(Seen { path, authorization, body });

    let message = json!({"id": "message-1", "message_type": "assistant_message", "content": "Hi!"});
    let (kind, text) = match is_stream {
        true => ("text/event-stream", format!("data: {message}\n\ndata: [DONE]\n\n")),
        false => ("application/json", json!({"messages": [message]}).to_string()),
    };
    let head = format!("content-type: {kind}\r\ncontent-length: {}\r\nconnection: close", text.len());
    // Who asked may be gone.
    let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n{text}");
}
