//! Databases that a server must not touch, and one that is damaged under it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use crate::database::Foreign;
use crate::home::Home;
use crate::http::Client;
use crate::until;

/// A home whose server has issued a token and stopped.
fn used() -> (Home, String) {
    let home = Home::new();
    let server = home.serve();
    let token = server.mint();
    server.stop();
    (home, token)
}

/// Neither a server nor a command may start, and both must leave the database as it is.
fn assert_refused_untouched(home: &Home, reasons: &[&str]) {
    let before = home.database_bytes();
    for refusal in [home.serve_refused(), home.run_refused(&["api-key", "create", "--name", "x"])] {
        for reason in reasons {
            assert!(refusal.contains(reason), "no {reason:?} in {refusal}");
        }
    }
    assert!(home.database_bytes() == before, "the database was touched");
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let texts: [&[u8]; 3] = [b"xy", b"This is not a database.\n", &[0xa5; 100_000]];
    for text in texts {
        let home = Home::new();
        fs::write(home.database(), text).unwrap();
        assert_refused_untouched(&home, &["hallpass.db", "not a database"]);
        assert!(!home.master_key().exists(), "nothing was made for it");
    }
}

#[test]
fn a_damaged_database_is_refused_and_left_alone() {
    let (home, _) = used();
    overwrite_all_but_first_page(&home);
    assert_refused_untouched(&home, &["malformed"]);
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let (home, token) = used();
    let mut newer = Foreign::open(&home.database());
    newer.execute("PRAGMA user_version = 99");
    newer.close();
    assert_refused_untouched(&home, &["version 99", "newer Hallpass", "Nothing was changed"]);

    let mut restored = Foreign::open(&home.database());
    restored.execute("PRAGMA user_version = 1");
    restored.close();
    assert!(home.serve().is_active(&token));
}

/// A mistaken `database.url` must not cost another application its data, nor mix ours with it.
#[test]
fn another_applications_database_is_refused_and_left_alone() {
    for version in ["PRAGMA user_version = 0", "PRAGMA user_version = 1"] {
        let home = Home::new();
        fs::write(home.database(), b"").unwrap();
        let mut theirs = Foreign::open(&home.database());
        theirs.execute(version);
        theirs.execute("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('theirs')");
        theirs.close();
        assert_refused_untouched(&home, &["hallpass.db"]);
        assert!(!home.master_key().exists(), "nothing was made for it");
    }
}

#[test]
fn a_second_server_on_the_same_database_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let first = home.serve();
    let token = first.mint();
    let refusal = home.serve_refused();
    assert!(refusal.contains("another server is using") && refusal.contains("hallpass.db"), "{refusal}");
    assert!(first.is_ready() && first.is_active(&token));
    first.mint();
    first.kill();
    // The lock goes with its holder, however that ends.
    assert!(home.serve().is_active(&token));
}

#[test]
fn a_wrong_master_key_is_refused_and_harms_nothing() {
    let (home, token) = used();
    let right = fs::read(home.master_key()).unwrap();
    let wrong = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    fs::write(home.master_key(), wrong).unwrap();
    assert_refused_untouched(&home, &["the master key does not open signing key"]);
    // Not even where another algorithm asks for other keys.
    let before = home.database_bytes();
    let mut serve = home.hallpass(["serve"]);
    serve.env("HALLPASS_SIGNING__ALGORITHM", "ES256");
    let refusal = crate::server::Server::refused(serve);
    assert!(refusal.contains("the master key does not open signing key"), "{refusal}");
    assert!(home.database_bytes() == before);
    assert_eq!(fs::read_to_string(home.master_key()).unwrap(), wrong);

    fs::write(home.master_key(), right).unwrap();
    assert!(home.serve().is_active(&token));
}

#[test]
fn a_missing_master_key_is_refused_and_no_other_is_made() {
    let (home, token) = used();
    let aside = home.master_key().with_extension("aside");
    fs::rename(home.master_key(), &aside).unwrap();
    assert_refused_untouched(&home, &["hallpass.master-key", "missing", "HALLPASS_MASTER_KEY"]);
    assert!(!home.master_key().exists());

    fs::rename(&aside, home.master_key()).unwrap();
    assert!(home.serve().is_active(&token));
}

/// Whatever of the file is still in the server's memory may be served; the rest must be refused. No
/// token may be taken for one that was never issued, and none that was deleted for a good one.
#[test]
fn a_database_damaged_under_a_running_server_is_refused_and_said_and_nothing_is_made_up() {
    let (home, token) = used();
    let server = home.serve();
    let deleted = server.mint();
    assert_eq!(Client::new(server.address()).delete(&deleted).unwrap().status, 204);
    // What lies in the log only would outlive the damage to the file.
    let mut other = Foreign::open(&home.database());
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    other.close();
    overwrite_all_but_first_page(&home);

    until("a readiness that tells", Duration::from_secs(10), || {
        server.try_mint();
        !server.is_ready()
    });
    server.get("/readyz").assert_unavailable();
    assert_eq!(server.get("/healthz").status, 200);
    let mut client = Client::new(server.address());
    for _ in 0..20 {
        let issued = client.mint().unwrap();
        if issued.status == 201 {
            // Acknowledged: then it is there.
            let token = issued.json()["token"].as_str().unwrap().to_owned();
            assert_eq!(client.introspect(&token).unwrap().json()["active"], true);
        } else {
            assert!([500, 503].contains(&issued.status), "{}", issued.body);
        }
        for (token, truth) in [(&token, true), (&deleted, false)] {
            let answer = client.introspect(token).unwrap();
            assert!([200, 500, 503].contains(&answer.status), "{}", answer.body);
            assert!(answer.status != 200 || answer.json()["active"] == truth, "{}", answer.body);
        }
    }
    let lines = server.text();
    assert!(lines.contains("malformed"), "{lines}");
    server.assert_no_panic();
    server.kill();
    assert!(home.serve_refused().contains("malformed"));
}

fn overwrite_all_but_first_page(home: &Home) {
    const PAGE: u64 = 4096;
    let mut file = fs::File::options().write(true).open(home.database()).unwrap();
    let size = file.metadata().unwrap().len();
    assert!(size > 2 * PAGE);
    file.seek(SeekFrom::Start(PAGE)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(size - PAGE).unwrap()]).unwrap();
    file.sync_all().unwrap();
}
