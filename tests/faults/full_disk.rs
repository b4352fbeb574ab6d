//! A disk without room, on a small file system of its own.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::home::Home;
use crate::http::{Answer, Client};
use crate::server::Server;
use crate::until;

/// A file system in memory, unmounted with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `Err` says why there is none: mounting is root's privilege.
    fn mount() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2M,mode=700", "tmpfs"])
            .arg(dir.path())
            .output()
            .map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is but for that many pages.
    fn fill_but(&self, pages: u64) {
        const PAGE: u64 = 4096;
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        let size = ballast.metadata().unwrap().len();
        ballast.set_len(size.next_multiple_of(PAGE) - pages * PAGE).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn listed(server: &Server) -> HashSet<String> {
    Client::new(server.address()).list("active").unwrap().unwrap().into_iter().collect()
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    on_a_full_disk(0);
}

/// Not enough for a token, which takes a handful of pages, but for what takes fewer.
#[test]
fn a_nearly_full_disk_refuses_loses_nothing_and_recovers() {
    on_a_full_disk(3);
}

/// Neither a server that stops while there is no room, nor the next one, loses anything.
#[test]
fn a_stop_on_a_full_disk_is_a_good_end_and_loses_nothing() {
    let Some(disk) = small_disk() else { return };
    let home = Home::within(disk.path());
    let server = home.serve();
    let mut issued = HashSet::from([server.mint()]);
    disk.fill_but(0);
    mint_until_refused(&server, &mut issued).assert_unavailable();
    server.stop();

    disk.free();
    let restarted = home.serve();
    assert_eq!(listed(&restarted), issued);
    restarted.mint();
    restarted.stop();
}

fn on_a_full_disk(pages_left: u64) {
    let Some(disk) = small_disk() else { return };
    let home = Home::within(disk.path());
    let server = home.serve();
    let mut issued = HashSet::from([server.mint()]);

    disk.fill_but(pages_left);
    mint_until_refused(&server, &mut issued).assert_unavailable();
    assert_not_ready_and_readable(&server, &issued);

    // The server tries again every second. What it tries must not seem to work where a token would
    // not: readiness would come and go, and with it the load balancer's requests.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(3500) {
        assert!(!server.is_ready(), "after {:?}:\n{}", began.elapsed(), server.text());
    }
    for _ in 0..20 {
        server.try_mint().assert_unavailable();
    }
    assert_not_ready_and_readable(&server, &issued);
    let failure = server.logged("the database takes no writes");
    assert_eq!(failure["level"], "ERROR");
    assert!(failure["error"].as_str().unwrap().contains("full"), "{failure}");
    assert_eq!(server.count_logged("the database takes no writes"), 1, "{}", server.text());
    assert_eq!(server.count_logged("takes writes again"), 0, "{}", server.text());

    disk.free();
    until("readiness", Duration::from_secs(5), || server.is_ready());
    issued.insert(server.mint());
    assert_eq!(listed(&server), issued, "nothing was lost and nothing refused was kept");
    assert_eq!(server.count_logged("takes writes again"), 1, "{}", server.text());
    server.stop();

    let restarted = home.serve();
    assert_eq!(listed(&restarted), issued);
    restarted.mint();
    restarted.stop();
}

/// A small disk; `None`, and why, where this machine doesn't let the test have one.
fn small_disk() -> Option<SmallDisk> {
    match SmallDisk::mount() {
        Ok(disk) => Some(disk),
        Err(reason) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "a small disk can't be mounted: {reason}");
            eprintln!("skipped: a small disk can't be mounted: {reason}");
            None
        }
    }
}

/// The first refusal. What the write-ahead log was given already may take a few tokens more.
fn mint_until_refused(server: &Server, issued: &mut HashSet<String>) -> Answer {
    for _ in 0..1000 {
        let answer = server.try_mint();
        if answer.status != 201 {
            return answer;
        }
        issued.insert(answer.json()["token"].as_str().unwrap().to_owned());
    }
    panic!("a full disk refuses nothing");
}

fn assert_not_ready_and_readable(server: &Server, issued: &HashSet<String>) {
    let answer = server.get("/readyz");
    answer.assert_unavailable();
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("the database takes no writes"), "{detail}");
    assert_eq!(server.get("/healthz").status, 200, "restarting it would not help");
    assert_eq!(listed(server), *issued);
    for token in issued.iter().take(3) {
        assert!(server.is_active(token));
    }
    server.assert_no_panic();
}
