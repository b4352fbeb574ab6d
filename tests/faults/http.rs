//! Just enough of an HTTP client: one connection, one request at a time, kept alive.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::home::STATIC_KEY;

/// Longer than the server takes for any answer.
const TIMEOUT: Duration = Duration::from_secs(40);

const TOKENS: &str = "/v1/client-side-access-tokens";

/// A request for a token.
pub(crate) const MINT: &str = r#"{"hostname":"https://app.example.com","policy":[{"type":"agent","id":"agent-1","access":["read_messages"]}]}"#;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// It must be a refusal for now, in full: 503, problem details, and when to try again.
    pub(crate) fn assert_unavailable(&self) {
        assert_eq!(self.status, 503, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("retry-after"), Some("1"));
        let problem = self.json();
        assert!(problem["type"].as_str().unwrap().ends_with("/errors/unavailable"), "{problem}");
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["message"], problem["detail"]);
    }
}

pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    key: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, key: STATIC_KEY.to_owned() }
    }

    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "", "")
    }

    pub(crate) fn mint(&mut self) -> io::Result<Answer> {
        self.send("POST", TOKENS, "application/json", MINT)
    }

    pub(crate) fn delete(&mut self, token: &str) -> io::Result<Answer> {
        self.send("DELETE", &format!("{TOKENS}/{token}"), "", "")
    }

    pub(crate) fn introspect(&mut self, token: &str) -> io::Result<Answer> {
        self.send("POST", "/oauth/introspect", "application/x-www-form-urlencoded", &format!("token={token}"))
    }

    /// Whether the list of that status can be had, and the tokens in it.
    pub(crate) fn list(&mut self, status: &str) -> io::Result<Result<Vec<String>, Answer>> {
        let mut tokens = Vec::new();
        loop {
            let offset = tokens.len();
            let page = self.get(&format!("{TOKENS}?status={status}&limit=1000&offset={offset}"))?;
            if page.status != 200 {
                return Ok(Err(page));
            }
            let page = page.json();
            let listed = page["tokens"].as_array().unwrap();
            tokens.extend(listed.iter().map(|token| token["token"].as_str().unwrap().to_owned()));
            if page["hasNextPage"] == false {
                return Ok(Ok(tokens));
            }
        }
    }

    /// Sends the head of a request for a token and waits until the server asks for its body.
    pub(crate) fn begin_mint(&mut self) -> io::Result<()> {
        let head = self.head("POST", TOKENS, "application/json", MINT) + "expect: 100-continue\r\n\r\n";
        let connection = self.connect()?;
        connection.get_mut().write_all(head.as_bytes())?;
        let interim = read_head(connection)?;
        assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
        Ok(())
    }

    /// Sends the body of the request begun.
    pub(crate) fn finish_mint(&mut self) -> io::Result<Answer> {
        let connection = self.connect()?;
        connection.get_mut().write_all(MINT.as_bytes())?;
        read_answer(connection)
    }

    fn send(&mut self, method: &str, path: &str, content_type: &str, body: &str) -> io::Result<Answer> {
        let request = self.head(method, path, content_type, body) + "\r\n" + body;
        let connection = self.connect()?;
        connection.get_mut().write_all(request.as_bytes())?;
        read_answer(connection)
    }

    fn head(&self, method: &str, path: &str, content_type: &str, body: &str) -> String {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n", self.key);
        if !body.is_empty() {
            head += &format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
        }
        head
    }

    fn connect(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                BufReader::new(stream)
            }
        };
        Ok(self.connection.insert(connection))
    }
}

fn read_head(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let head = read_head(connection)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    answer.body = String::from_utf8(body).unwrap();
    Ok(answer)
}
