//! What the servers of one database share: its URL, the master key, an API key.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::server::Server;

/// The key from the environment that servers are started with.
pub(crate) const STATIC_KEY: &str = "a-static-key-for-tests";

const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(crate) struct Home {
    /// Without a file of settings in it.
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self::at(cluster.url())
    }

    pub(crate) fn at(url: String) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings: vec![("HALLPASS_DATABASE__URL", url)] }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    fn hallpass(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALLPASS_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("HALLPASS_SERVER__LISTEN", "127.0.0.1:0")
            .env("HALLPASS_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("HALLPASS_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("HALLPASS_TELEMETRY__FORMAT", "json")
            .env("HALLPASS_MASTER_KEY", MASTER_KEY)
            .env("HALLPASS_API_KEY", STATIC_KEY)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// A server that listens.
    pub(crate) fn serve(&self) -> Server {
        Server::start(self.hallpass(&["serve"]))
    }

    /// What a server that must not start says.
    pub(crate) fn serve_refused(&self) -> String {
        Server::refused(self.hallpass(&["serve"]))
    }

    /// A command's answer in JSON; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        let output = self.hallpass(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
