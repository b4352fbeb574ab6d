//! A PostgreSQL that tests may stop, freeze and kill. Its disk is as real as in production: `fsync` is on.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::until;

/// The oldest version that is supported.
const OLDEST: u32 = 15;

/// Longest time to start, recovery included, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

const USER: &str = "hallpass";
const PASSWORD: &str = "a-password-for-tests";

/// Where ports are looked for: below those that the system gives to clients, so that a server that is
/// down for a while finds its port free when it comes back.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

pub(crate) struct Cluster {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
    settings: Vec<String>,
    postmaster: Option<Child>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A new cluster with settings such as `name=value`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let bin = binaries();
        let dir = tempfile::tempdir().unwrap();
        give_away(dir.path());
        let password = dir.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        give_away(&password);
        // SCRAM, by its nature, takes a tenth of a second for each connection in a build without optimization.
        let output = unprivileged(&bin.join("initdb"))
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=md5", "-U", USER])
            .arg(format!("--pwfile={}", password.display()))
            .arg(dir.path().join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut cluster = Self { dir, bin, port: free_port(), settings, postmaster: None };
        cluster.start();
        cluster
    }

    pub(crate) fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The database as it is reached by another port: that of a proxy or a pooler.
    pub(crate) fn url_at(port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The user and its password, as a pooler wants them.
    pub(crate) fn credentials() -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// Starts it and waits until it answers. What is left of one that was killed may still hold its
    /// memory or its port, so it is tried again.
    pub(crate) fn start(&mut self) {
        assert!(self.postmaster.is_none());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut postmaster = self.postgres().spawn().unwrap();
            while postmaster.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "PostgreSQL does not start:\n{}", self.log());
                if Session::open(&self.url()).is_ok() {
                    self.postmaster = Some(postmaster);
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("PostgreSQL does not start:\n{}", self.log());
    }

    /// Ends it as an operator does: sessions are cut off, what they left open is undone.
    pub(crate) fn stop(&mut self) {
        let mut postmaster = self.postmaster.take().unwrap();
        signal("INT", &[postmaster.id()]);
        let deadline = Instant::now() + PATIENCE;
        while postmaster.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "PostgreSQL does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as the out-of-memory killer does, with all its processes.
    pub(crate) fn kill(&mut self) {
        let mut postmaster = self.postmaster.take().unwrap();
        signal("KILL", &family(postmaster.id()));
        postmaster.wait().unwrap();
    }

    /// One of the processes that answer a server dies, and the database with it for a moment.
    pub(crate) fn crash_a_session(&self) {
        let mut session = self.session();
        let pid = session
            .number("SELECT pid::bigint FROM pg_stat_activity WHERE application_name = 'hallpass' LIMIT 1");
        signal("KILL", &[u32::try_from(pid).unwrap()]);
        // Every session ends.
        until("this session ends", PATIENCE, || session.is_over());
    }

    /// It goes on holding its connections, and accepting new ones, and says nothing any more.
    pub(crate) fn freeze(&self) {
        signal("STOP", &family(self.postmaster.as_ref().unwrap().id()));
    }

    pub(crate) fn thaw(&self) {
        signal("CONT", &family(self.postmaster.as_ref().unwrap().id()));
    }

    pub(crate) fn session(&self) -> Session {
        Session::open(&self.url()).unwrap()
    }

    fn postgres(&self) -> Command {
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = unprivileged(&self.bin.join("postgres"));
        command.arg("-D").arg(self.dir.path().join("data")).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            signal("KILL", &family(postmaster.id()));
            let _ = postmaster.wait();
        }
    }
}

/// A connection of an operator or of another application.
pub(crate) struct Session {
    connection: PgConnection,
    runtime: Runtime,
}

impl Session {
    fn open(url: &str) -> Result<Self, sqlx::Error> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async {
            let options: PgConnectOptions = url.parse()?;
            let connection = tokio::time::timeout(PATIENCE, options.connect()).await;
            connection.map_err(|_| sqlx::Error::PoolTimedOut)?
        };
        let connection = runtime.block_on(connect)?;
        Ok(Self { connection, runtime })
    }

    pub(crate) fn execute(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        self.runtime.block_on(done).unwrap();
    }

    /// The one number that a query gives.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        self.runtime.block_on(found).unwrap()
    }

    /// The one column of texts that a query gives.
    pub(crate) fn texts(&mut self, sql: &str) -> Vec<String> {
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut self.connection);
        self.runtime.block_on(found).unwrap()
    }

    fn is_over(&mut self) -> bool {
        self.runtime.block_on(self.connection.ping()).is_err()
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}

/// The folder of the server's programs.
fn binaries() -> PathBuf {
    if let Some(bin) = std::env::var_os("HALLPASS_TEST_POSTGRES_BIN") {
        return bin.into();
    }
    let versions =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path());
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .filter_map(|path| Some((version(&path)?, path.join("bin"))))
        .filter(|(version, bin)| *version >= OLDEST && bin.join("postgres").exists())
        .max();
    let (_, bin) = newest.unwrap_or_else(|| {
        panic!(
            "there is no PostgreSQL of version {OLDEST} or newer below /usr/lib/postgresql: run `tests/packages \
             postgresql`, or name the folder of its programs by HALLPASS_TEST_POSTGRES_BIN"
        )
    });
    bin
}

/// PostgreSQL and its poolers refuse to run as root.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let group = output(Command::new("id").args(["-g", "nobody"]));
    command.args(["--reuid=nobody", &format!("--regid={group}"), "--clear-groups"]).arg(program);
    command.current_dir("/").env("HOME", "/");
    command
}

/// Lets the user of [`unprivileged`] have a file or a folder.
pub(crate) fn give_away(path: &Path) {
    if is_root() {
        assert!(Command::new("chown").arg("nobody").arg(path).status().unwrap().success());
    }
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")) == "0"
}

fn output(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    let random = std::iter::repeat_with(|| RandomState::new().hash_one(()) % count);
    random
        .map(|offset| PORTS.start + u16::try_from(offset).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A process and its children, itself first: while it can act, it might make more.
fn family(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<u32>().ok()
    };
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    std::iter::once(parent).chain(all.filter(|pid| parent_of(*pid) == Some(parent))).collect()
}

/// Whoever has ended meanwhile needs no signal.
fn signal(name: &str, pids: &[u32]) {
    let mut command = Command::new("kill");
    command.args(["-s", name]).args(pids.iter().map(u32::to_string)).stderr(Stdio::null());
    command.status().unwrap();
}
