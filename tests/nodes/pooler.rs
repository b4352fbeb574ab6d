//! A pgbouncer in front of a cluster.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cluster::{Cluster, free_port, give_away, unprivileged};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Pooler {
    dir: TempDir,
    port: u16,
    process: Child,
}

impl Pooler {
    /// `mode` is `session` or `transaction`. So many connections to the database are shared.
    pub(crate) fn start(cluster: &Cluster, mode: &str, connections: usize) -> Self {
        let program = Path::new("/usr/sbin/pgbouncer");
        assert!(program.exists(), "there is no {}: run `tests/packages pgbouncer`", program.display());
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        give_away(dir.path());
        let (user, password) = Cluster::credentials();
        let users = dir.path().join("users");
        fs::write(&users, format!("\"{user}\" \"{password}\"\n")).unwrap();
        let settings = dir.path().join("settings");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = md5\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = {connections}\nmax_client_conn = 200\n",
            cluster.port(),
            users.display()
        );
        fs::write(&settings, text).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = unprivileged(program)
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut pooler = Self { dir, port, process };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(pooler.process.try_wait().unwrap().is_none(), "pgbouncer ended:\n{}", pooler.log());
            assert!(Instant::now() < deadline, "pgbouncer does not listen:\n{}", pooler.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        pooler
    }

    pub(crate) fn url(&self) -> String {
        Cluster::url_at(self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
