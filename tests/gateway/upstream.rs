//! The agent server of the tests: it records what it gets to the byte and answers what it is told.
//!
//! Requests that the test's rule answers are answered at once, on connections that stay open. Every other one
//! is handed to the test as an [`Exchange`], which answers it in its own time.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::wire::{read_chunk, read_head};
use crate::{PATIENCE, until};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Request line and headers, with the empty line at the end.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// All headers, in order of their names.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut headers: Vec<_> =
            lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        headers.sort();
        headers
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

type Rule = Arc<dyn Fn(&Received) -> Option<Vec<u8>> + Send + Sync>;

struct State {
    requests: Mutex<Vec<Received>>,
    accepted: Mutex<Vec<SocketAddr>>,
    rule: Mutex<Rule>,
    /// Whether exchanges begin before the body is read.
    leaves_bodies: AtomicBool,
    stopping: AtomicBool,
    exchanges: Mutex<Sender<Exchange>>,
}

pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    exchanges: Receiver<Exchange>,
    markers: Mutex<HashSet<SocketAddr>>,
}

impl Upstream {
    /// Listens, and leaves every answer to the test.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, exchanges) = channel();
        let state = Arc::new(State {
            requests: Mutex::default(),
            accepted: Mutex::default(),
            rule: Mutex::new(Arc::new(|_| None)),
            leaves_bodies: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            exchanges: Mutex::new(sender),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopping.load(Ordering::SeqCst) {
                    break;
                }
                shared.accepted.lock().unwrap().push(stream.peer_addr().unwrap());
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, state, exchanges, markers: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the rule answers, but for requests for which it returns nothing.
    pub(crate) fn answer_by(&self, rule: impl Fn(&Received) -> Option<Vec<u8>> + Send + Sync + 'static) {
        *self.state.rule.lock().unwrap() = Arc::new(rule);
    }

    /// Answers everything with this JSON.
    pub(crate) fn answer_json(&self, body: &Value) {
        let answer = json(200, body);
        self.answer_by(move |_| Some(answer.clone()));
    }

    /// From now on the test reads the bodies.
    pub(crate) fn leave_bodies(&self) {
        self.state.leaves_bodies.store(true, Ordering::SeqCst);
    }

    /// The next request that no rule answers.
    #[track_caller]
    pub(crate) fn next(&self) -> Exchange {
        match self.exchanges.recv_timeout(PATIENCE) {
            Ok(exchange) => exchange,
            Err(error) => panic!("the agent server got no request: {error}"),
        }
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The only request so far; it is forgotten.
    #[track_caller]
    pub(crate) fn take_one(&self) -> Received {
        let requests = std::mem::take(&mut *self.state.requests.lock().unwrap());
        let [request] = <[Received; 1]>::try_from(requests).unwrap_or_else(|all| panic!("not one: {all:#?}"));
        request
    }

    /// Forgets the requests so far and how they came.
    pub(crate) fn forget(&self) {
        self.state.requests.lock().unwrap().clear();
        self.state.accepted.lock().unwrap().clear();
    }

    /// How many connections were made since it was last forgotten.
    pub(crate) fn connections(&self) -> usize {
        self.state.accepted.lock().unwrap().len()
    }

    /// Nobody has connected since it was last forgotten. Connections are accepted in order, so that once one
    /// of the test's own is, none can be on its way.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let marker = TcpStream::connect(self.address).unwrap();
        let marker = marker.local_addr().unwrap();
        let mut markers = self.markers.lock().unwrap();
        markers.insert(marker);
        until("the agent server accepts", PATIENCE, || self.state.accepted.lock().unwrap().contains(&marker));
        let others =
            self.state.accepted.lock().unwrap().iter().filter(|peer| !markers.contains(peer)).count();
        let requests = self.requests();
        assert!(
            others == 0 && requests.is_empty(),
            "{others} connections to the agent server: {requests:#?}"
        );
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Serves a connection until an exchange takes it.
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Ok(request) = self.read(&mut reader) {
            let rule = self.rule.lock().unwrap().clone();
            let answer = rule(&request);
            self.requests.lock().unwrap().push(request.clone());
            let Some(answer) = answer else {
                // The test may be over.
                let _ = self.exchanges.lock().unwrap().send(Exchange { reader, request });
                return;
            };
            if reader.get_mut().write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn read(&self, reader: &mut impl BufRead) -> io::Result<Received> {
        let mut request = Received { head: read_head(reader)?, body: Vec::new() };
        if self.leaves_bodies.load(Ordering::SeqCst) {
            return Ok(request);
        }
        if request.header("transfer-encoding").is_some() {
            loop {
                let chunk = read_chunk(reader)?;
                if chunk.is_empty() {
                    break;
                }
                request.body.extend(chunk);
            }
        } else if let Some(length) = request.header("content-length") {
            request.body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut request.body)?;
        }
        Ok(request)
    }
}

/// A request that waits for the test to answer it. Its connection is closed with it.
pub(crate) struct Exchange {
    reader: BufReader<TcpStream>,
    pub(crate) request: Received,
}

impl Exchange {
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Answers as a whole and closes.
    #[track_caller]
    pub(crate) fn answer(mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        self.write(whole(status, &[headers, &[("connection", "close")]].concat(), body.as_ref()));
    }

    #[track_caller]
    pub(crate) fn answer_json(self, status: u16, body: &Value) {
        self.answer(status, &[("content-type", "application/json")], body.to_string());
    }

    /// Begins a stream of events.
    #[track_caller]
    pub(crate) fn begin_events(&mut self) {
        self.begin("text/event-stream; charset=utf-8");
    }

    /// Begins an answer in chunks.
    #[track_caller]
    pub(crate) fn begin(&mut self, content_type: &str) {
        self.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        ));
    }

    #[track_caller]
    pub(crate) fn chunk(&mut self, text: impl AsRef<[u8]>) {
        self.try_chunk(text).unwrap();
    }

    /// A chunk that the other side may no longer want.
    pub(crate) fn try_chunk(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        let text = text.as_ref();
        let chunk = [format!("{:x}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat();
        self.reader.get_mut().write_all(&chunk)
    }

    /// How many such chunks are taken, at most `most`, before the other side takes no more for a while.
    pub(crate) fn chunks_taken(&mut self, text: &str, most: usize) -> usize {
        self.reader.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        (0..most).take_while(|_| self.try_chunk(text).is_ok()).count()
    }

    /// Writes as much as the other side takes, says that this was all, and waits for it to close.
    pub(crate) fn write_to_end(mut self, bytes: impl AsRef<[u8]>) {
        // A reader that has seen enough may leave at any time.
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
        let _ = self.reader.get_mut().shutdown(std::net::Shutdown::Write);
        let _ = self.reader.read(&mut [0]);
    }

    /// Sends an event with this data.
    #[track_caller]
    pub(crate) fn event(&mut self, data: &Value) {
        self.chunk(format!("data: {data}\n\n"));
    }

    /// Ends an answer in chunks as it should be ended.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.write("0\r\n\r\n");
    }

    /// Bytes of a body that was left to the test.
    #[track_caller]
    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        self.reader.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let mut read = vec![0; bytes];
        self.reader.read_exact(&mut read).unwrap();
        read
    }

    /// Breaks the connection off by a reset rather than an orderly end.
    pub(crate) fn reset(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        let stream = self.reader.into_inner();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        stream.set_zero_linger().unwrap();
    }

    /// Waits for the other side to give the connection up.
    #[track_caller]
    pub(crate) fn assert_abandoned_within(&mut self, within: Duration) {
        self.reader.get_ref().set_read_timeout(Some(within)).unwrap();
        match self.reader.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("still wanted after {within:?}: {other:?}"),
        }
    }
}

/// An answer as a whole, with a length.
pub(crate) fn whole(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An answer in JSON, after which the connection stays open.
pub(crate) fn json(status: u16, body: &Value) -> Vec<u8> {
    whole(status, &[("content-type", "application/json")], body.to_string().as_bytes())
}
