//! A running server, killed when the test is done with it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Answer, Client};

/// Longest time for a server to start or to stop: what orchestrators allow.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lines that a process has logged so far.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Log {
    fn read(&self, stderr: impl std::io::Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.lines.lock().unwrap().0.push(line);
            self.changed.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

pub(crate) struct Server {
    process: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

impl Server {
    fn spawn(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, to_fill) = (process.stderr.take().unwrap(), log.clone());
        let reader = std::thread::spawn(move || to_fill.read(stderr));
        Self { process, log, reader: Some(reader), address: None }
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(command: Command) -> Self {
        let mut server = Self::spawn(command);
        let listening = server.logged("listening");
        server.address = Some(listening["address"].as_str().unwrap().parse().unwrap());
        server
    }

    /// Starts a server that must refuse to start, and returns why it did.
    pub(crate) fn refused(command: Command) -> String {
        let mut server = Self::spawn(command);
        assert_eq!(server.wait().code(), Some(1), "{}", server.text());
        let refusal = server.logged("cannot start");
        assert!(!server.text().contains("panicked"), "{}", server.text());
        refusal["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// Everything logged so far.
    pub(crate) fn text(&self) -> String {
        self.log.lines.lock().unwrap().0.join("\n")
    }

    /// How many lines' messages hold the text.
    pub(crate) fn count_logged(&self, message: &str) -> usize {
        self.log.lines.lock().unwrap().0.iter().filter(|line| message_of(line).contains(message)).count()
    }

    /// The first line whose message holds the text, once there is one.
    pub(crate) fn logged(&self, message: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = state.0.iter().find(|line| message_of(line).contains(message)) {
                return serde_json::from_str(line).unwrap();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!state.1 && !left.is_zero(), "no {message:?} in the log:\n{}", state.0.join("\n"));
            state = self.log.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// A request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        Client::new(self.address()).get(path).unwrap()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").status == 200
    }

    /// A token, which must be issued.
    pub(crate) fn mint(&self) -> String {
        let answer = self.try_mint();
        assert_eq!(answer.status, 201, "{}\n{}", answer.body, self.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn try_mint(&self) -> Answer {
        Client::new(self.address()).mint().unwrap()
    }

    /// Whether introspection calls a token active.
    pub(crate) fn is_active(&self, token: &str) -> bool {
        let answer = Client::new(self.address()).introspect(token).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["active"].as_bool().unwrap()
    }

    /// As a power cut or the out-of-memory killer ends it.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.complete_log();
        self.assert_no_panic();
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Stops it as an orchestrator does: with exit code 0, in time.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        self.ends_well();
    }

    /// Waits for the end after a signal, which must be a good one.
    pub(crate) fn ends_well(mut self) {
        assert_eq!(self.wait().code(), Some(0), "{}", self.text());
        self.assert_no_panic();
        assert_eq!(self.count_logged("stopped"), 1, "{}", self.text());
    }

    /// It must end within the time that orchestrators allow.
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running after {PATIENCE:?}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.complete_log();
        status
    }

    /// Once the process has ended, what it wrote last may still be on its way.
    fn complete_log(&mut self) {
        self.reader.take().unwrap().join().unwrap();
    }

    pub(crate) fn assert_no_panic(&self) {
        assert_eq!(self.count_logged("panicked"), 0, "{}", self.text());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; whatever the test was about has been checked before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn message_of(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(value) => value["message"].as_str().unwrap_or_default().to_owned(),
        Err(_) => line.to_owned(),
    }
}
