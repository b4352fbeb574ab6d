//! A client that sends the bytes it is told to, and reads answers piece by piece.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::PATIENCE;
use crate::answer::Answer;
use crate::stage::ORIGIN;

/// A request, to be written down.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let host = ("host".to_owned(), "hallpass.test".to_owned());
        Self { method: method.to_owned(), target: target.to_owned(), headers: vec![host], body: None }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: &Value) -> Self {
        Self::new("POST", target).json(body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// To this host instead.
    pub(crate) fn at_host(mut self, host: &str) -> Self {
        self.headers[0].1 = host.to_owned();
        self
    }

    /// With a credential, and without an origin.
    pub(crate) fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {credential}"))
    }

    /// As a page of the origin that tokens are for sends it.
    pub(crate) fn by(self, token: &str) -> Self {
        self.bearer(token).header("origin", ORIGIN)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.headers.push(("content-type".to_owned(), content_type.to_owned()));
        self.headers.push(("content-length".to_owned(), body.len().to_string()));
        self.body = Some(body);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }
}

/// A connection.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    /// Who is refused early may find that nobody reads the rest.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub(crate) fn ask(&mut self, ask: &Ask) -> Answer {
        self.write(&ask.bytes());
        self.answer(ask.method())
    }

    /// The whole answer to a request of that method.
    #[track_caller]
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut incoming = self.try_begin(method)?;
        let mut body = Vec::new();
        while let Some(piece) = incoming.piece()? {
            body.extend(piece);
        }
        Ok(Answer { body, ..incoming.answer })
    }

    /// The answer's head, with its body to come.
    #[track_caller]
    pub(crate) fn begin(&mut self, method: &str) -> Incoming<'_> {
        self.try_begin(method).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_begin(&mut self, method: &str) -> io::Result<Incoming<'_>> {
        let head = read_head(&mut self.reader)?;
        let answer = Answer::of_head(&head);
        let framing = if method == "HEAD" || matches!(answer.status, 100..200 | 204 | 304) {
            Framing::Left(0)
        } else if answer.header("transfer-encoding").is_some() {
            Framing::Chunked
        } else if let Some(length) = answer.header("content-length") {
            Framing::Left(length.parse().unwrap())
        } else {
            Framing::UntilClosed
        };
        Ok(Incoming { reader: &mut self.reader, framing, text: Vec::new(), answer })
    }

    /// All answers that come until the server closes the connection or has nothing left to say to a client
    /// that sends no more.
    pub(crate) fn answers(&mut self, method: &str) -> Vec<Answer> {
        let _ = self.reader.get_mut().shutdown(std::net::Shutdown::Write);
        std::iter::from_fn(|| self.try_answer(method).ok()).collect()
    }
}

enum Framing {
    Left(usize),
    Chunked,
    UntilClosed,
}

/// An answer whose body is still coming.
pub(crate) struct Incoming<'a> {
    reader: &'a mut BufReader<TcpStream>,
    framing: Framing,
    /// Of a stream of events: what has come and was not taken.
    text: Vec<u8>,
    pub(crate) answer: Answer,
}

impl Incoming<'_> {
    /// The next piece as it was sent: a whole chunk of a chunked body. `None`: the body is at its end. An
    /// error: it was cut.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framing {
            Framing::Left(0) => Ok(None),
            Framing::Left(length) => {
                let mut body = vec![0; length];
                self.reader.read_exact(&mut body)?;
                self.framing = Framing::Left(0);
                Ok(Some(body))
            }
            Framing::UntilClosed => {
                let mut body = Vec::new();
                self.reader.read_to_end(&mut body)?;
                self.framing = Framing::Left(0);
                Ok(Some(body))
            }
            Framing::Chunked => {
                let chunk = read_chunk(self.reader)?;
                if chunk.is_empty() {
                    self.framing = Framing::Left(0);
                    return Ok(None);
                }
                Ok(Some(chunk))
            }
        }
    }

    /// The next event of a stream, without the empty line at its end.
    #[track_caller]
    pub(crate) fn event(&mut self) -> String {
        self.try_event().unwrap_or_else(|| panic!("the stream has ended"))
    }

    /// The next event, or `None` at the end, which must come after a whole event.
    #[track_caller]
    pub(crate) fn try_event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.text.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(event).unwrap());
            }
            match self.piece() {
                Ok(Some(piece)) => self.text.extend(piece),
                Ok(None) => {
                    assert!(self.text.is_empty(), "cut within {:?}", String::from_utf8_lossy(&self.text));
                    return None;
                }
                Err(error) => panic!("cut without an end: {error}"),
            }
        }
    }

    /// The problem of the event that ends the stream, which must be the next and the last one.
    #[track_caller]
    pub(crate) fn last_problem(&mut self) -> Value {
        let event = self.event();
        let data = event.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("no error: {event}"));
        let problem: Value = serde_json::from_str(data).unwrap();
        assert_eq!(self.try_event(), None, "something came after the end");
        for member in ["type", "title", "detail", "message"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        problem
    }
}

/// A head with the empty line at its end.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// One chunk; the last one is empty.
pub(crate) fn read_chunk(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let size = line.trim_end().split(';').next().unwrap_or_default();
    let size =
        usize::from_str_radix(size, 16).map_err(|_| io::Error::other(format!("a chunk of {line:?}")))?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok(chunk)
}
