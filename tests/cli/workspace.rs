//! A folder of its own in which the real binary runs, and a server in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const HALLPASS: &str = env!("CARGO_BIN_EXE_hallpass");

/// Far longer than anything here takes, so that a slow machine fails no test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A new folder: no database, no configuration.
pub struct Workspace {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running server; it is killed when this is dropped.
pub struct Server {
    process: Child,
    log: Arc<Mutex<String>>,
    pub address: String,
}

impl Workspace {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// A program that runs in the folder and sees none of the settings that the tests were started with.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HALLPASS_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs `hallpass` with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, &[], "")
    }

    /// Runs `hallpass` with these arguments, variables and text on standard input.
    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Outcome {
        let mut command = self.program(HALLPASS);
        command.args(arguments).envs(variables.iter().copied());
        outcome_of(command, input)
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect_ok()
    }

    /// Runs a command that must succeed and print JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Runs a command that must fail, and returns what it says.
    pub fn refusal(&self, code: i32, arguments: &[&str]) -> String {
        self.run(arguments).expect_code(code).stderr
    }

    /// Makes an API key: its id and the key.
    pub fn api_key(&self, project: &str) -> (String, String) {
        let made = self.json(&["api-key", "create", "--name", "test", "--project", project, "--json"]);
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// Makes a token with these further arguments.
    pub fn token(&self, arguments: &[&str]) -> String {
        let common = ["token", "create", "--hostname", "https://app.example.com", "--agent", "agent-1"];
        self.ok(&[&common, arguments].concat()).trim().to_owned()
    }

    /// Starts `hallpass dev` on a free port and waits until it says where it is. Its log is what it prints.
    pub fn dev(&self, arguments: &[&str]) -> Server {
        let mut process = self
            .program(HALLPASS)
            .args(["dev", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.by_ref().find_map(|line| {
            log.lock().unwrap().push_str(&format!("{line}\n"));
            line.trim().strip_prefix("Base URL")?.trim().strip_prefix("http://localhost:").map(str::to_owned)
        });
        let Some(port) = port else { panic!("it ended before it said where it is: {}", log.lock().unwrap()) };
        let rest = log.clone();
        thread::spawn(move || lines.for_each(|line| rest.lock().unwrap().push_str(&format!("{line}\n"))));
        Server { process, log, address: format!("127.0.0.1:{port}") }
    }

    /// Starts the server on a free port and waits until it listens.
    pub fn serve(&self, variables: &[(&str, &str)]) -> Server {
        let mut process = self
            .program(HALLPASS)
            .arg("serve")
            .env("HALLPASS_SERVER__LISTEN", "127.0.0.1:0")
            .env("HALLPASS_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| {
            log.lock().unwrap().push_str(&format!("{line}\n"));
            let line: Value = serde_json::from_str(&line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
        });
        let Some(address) = address else {
            panic!("the server ended before it listened: {}", log.lock().unwrap());
        };
        let rest = log.clone();
        // Read on, or the server would stand still once the pipe is full.
        thread::spawn(move || lines.for_each(|line| rest.lock().unwrap().push_str(&format!("{line}\n"))));
        Server { process, log, address }
    }
}

impl Outcome {
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    pub fn expect_ok(self) -> String {
        self.expect_code(0).stdout
    }
}

impl Server {
    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a request without a body, or with a JSON one; returns the status and the body.
    pub fn request(&self, method: &str, path: &str, api_key: &str, body: &str) -> (u16, String) {
        let authorization = format!("Bearer {api_key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let (head, body) = exchange(&self.address, method, path, &headers, body);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Where the admin listener is; the log says so right after the address of the other.
    pub fn admin_address(&self) -> String {
        let mut address = None;
        wait_until("the admin listener's address is logged", || {
            address = self.log().lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "admin listening").then(|| line["address"].as_str().unwrap().to_owned())
            });
            address.is_some()
        });
        address.unwrap()
    }

    /// Sends a request without a body to the admin listener; returns the answer's head and body.
    pub fn admin_request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (String, String) {
        exchange(&self.admin_address(), method, path, headers, "")
    }

    /// Issues a token for agent `agent-1`.
    pub fn issue(&self, api_key: &str) -> String {
        let grant = r#"{"type": "agent", "id": "agent-1", "access": ["read_messages"]}"#;
        let body = format!(r#"{{"hostname": "https://app.example.com", "policy": [{grant}]}}"#);
        let (status, answer) = self.request("POST", "/v1/client-side-access-tokens", api_key, &body);
        assert_eq!(status, 201, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Sends a request with these headers; returns the answer's head and body.
    pub fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (String, String) {
        exchange(&self.address, method, path, headers, body)
    }

    /// Sends these very bytes; returns the answer's head and body.
    pub fn raw(&self, request: &str) -> (String, String) {
        let mut stream = self.open(request);
        read_answer(&mut stream)
    }

    /// Sends these very bytes and leaves the connection open.
    pub fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Tells the server's process to stop, and waits for its end: its code, and how long that took.
    pub fn stop(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let told = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(told.success());
        (self.process.wait().unwrap().code(), started.elapsed())
    }

    /// Waits until the server takes this API key: it notices a new one within a second.
    pub fn wait_for(&self, api_key: &str) {
        let list = "/v1/client-side-access-tokens";
        wait_until("the server takes the API key", || self.request("GET", list, api_key, "").0 == 200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One request on a connection of its own; the answer's head, each line with its end, and its body.
fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    read_answer(&mut stream)
}

/// Everything until the connection is closed, as a head, each line with its end, and a body.
fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n"), body.to_owned())
}

/// Runs a command to its end.
pub fn outcome_of(mut command: Command, input: &str) -> Outcome {
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that doesn't read its input may have ended already.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    let output = process.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Asks again and again until the answer is yes.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
