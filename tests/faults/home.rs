//! A folder in which one Hallpass lives: its database, its master key, its commands.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;

/// The key from the environment that servers are started with.
pub(crate) const STATIC_KEY: &str = "a-static-key-for-tests";

pub(crate) struct Home {
    path: PathBuf,
    /// Removed with the value; nothing, if the folder is somebody else's.
    _dir: Option<TempDir>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// In a folder that exists.
    pub(crate) fn within(path: &Path) -> Self {
        Self { path: path.to_owned(), _dir: None }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("hallpass.db")
    }

    pub(crate) fn master_key(&self) -> PathBuf {
        self.path.join("hallpass.master-key")
    }

    /// The bytes of the database and its write-ahead log. A log that is empty or gone is the same.
    pub(crate) fn database_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let wal = self.path.join("hallpass.db-wal");
        (fs::read(self.database()).unwrap(), fs::read(wal).unwrap_or_default())
    }

    /// The names in the folder, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The binary, in this folder and with its database, and with none of the caller's settings.
    pub(crate) fn hallpass(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALLPASS_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.path)
            .env("HALLPASS_SERVER__LISTEN", "127.0.0.1:0")
            .env("HALLPASS_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("HALLPASS_DATABASE__URL", format!("sqlite:{}", self.database().display()))
            .env("HALLPASS_TELEMETRY__FORMAT", "json")
            .stdin(Stdio::null());
        command
    }

    /// A server that listens, with the static key.
    pub(crate) fn serve(&self) -> Server {
        let mut command = self.hallpass(["serve"]);
        command.env("HALLPASS_API_KEY", STATIC_KEY);
        Server::start(command)
    }

    /// A command's answer in JSON; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        let output = self.hallpass(arguments.iter().chain(&["--json"])).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command that must fail says.
    pub(crate) fn run_refused(&self, arguments: &[&str]) -> String {
        let output = self.hallpass(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    /// What a server that must not start says.
    pub(crate) fn serve_refused(&self) -> String {
        Server::refused(self.hallpass(["serve"]))
    }
}
