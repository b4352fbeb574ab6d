//! `hallpass db`

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::postgres::Postgres;
use crate::workspace::{Outcome, Server, Workspace, wait_until};

/// 32 bytes in base64.
const MASTER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

const ORIGIN: &str = "https://app.example.com";

/// A database, and a folder in which commands find it.
struct Place<'a> {
    workspace: &'a Workspace,
    url: String,
}

impl Place<'_> {
    fn run(&self, arguments: &[&str]) -> Outcome {
        let variables = [("HALLPASS_DATABASE__URL", self.url.as_str()), ("HALLPASS_MASTER_KEY", MASTER_KEY)];
        self.workspace.run_with(arguments, &variables, "")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).expect_ok()).unwrap()
    }

    fn status(&self) -> Value {
        self.json(&["db", "status", "--json"])
    }

    fn tokens(&self) -> Value {
        self.json(&["token", "list", "--status", "all", "--limit", "1000", "--json"])
    }

    fn token(&self, arguments: &[&str]) -> String {
        let common = ["token", "create", "--hostname", ORIGIN, "--agent", "agent-1"];
        self.run(&[&common, arguments].concat()).expect_ok().trim().to_owned()
    }

    fn api_key(&self, project: &str) -> (String, String) {
        let made = self.json(&["api-key", "create", "--name", "test", "--project", project, "--json"]);
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// A server on this database.
    fn serve(&self) -> Server {
        self.workspace
            .serve(&[("HALLPASS_DATABASE__URL", self.url.as_str()), ("HALLPASS_MASTER_KEY", MASTER_KEY)])
    }

    /// Changes the database behind the program's back.
    fn change(&self, sql: &str) {
        match self.url.strip_prefix("sqlite:") {
            Some(file) => change(&self.workspace.path().join(file), sql),
            None => crate::postgres::execute(&self.url.parse().unwrap(), sql),
        }
    }

    fn copy_to(&self, to: &Place<'_>, arguments: &[&str]) -> Outcome {
        self.run(&[&["db", "copy", "--from", &self.url, "--to", &to.url], arguments].concat())
    }
}

/// Does the same with a database of each kind.
fn on_each_kind(test: impl Fn(&Place<'_>)) {
    let workspace = Workspace::new();
    test(&Place { workspace: &workspace, url: "sqlite:hallpass.db".to_owned() });
    let (workspace, postgres) = (Workspace::new(), Postgres::new());
    test(&Place { workspace: &workspace, url: postgres.url() });
}

/// Copies from one kind into the other.
fn between_kinds(test: impl Fn(&Place<'_>, &Place<'_>)) {
    between(false, true, &test);
    between(true, false, &test);
}

/// Copies from a database into another, which are PostgreSQL or else SQLite.
fn between(from_postgres: bool, to_postgres: bool, test: impl Fn(&Place<'_>, &Place<'_>)) {
    let workspace = Workspace::new();
    let databases = [from_postgres, to_postgres].map(|is| is.then(Postgres::new));
    let url = |database: &Option<Postgres>, file: &str| {
        database.as_ref().map_or_else(|| format!("sqlite:{file}"), Postgres::url)
    };
    let from = Place { workspace: &workspace, url: url(&databases[0], "from.db") };
    let to = Place { workspace: &workspace, url: url(&databases[1], "to.db") };
    test(&from, &to);
}

fn id_of(workspace: &Workspace, token: &str) -> String {
    let said: Value = serde_json::from_str(&workspace.ok(&["token", "inspect", token])).unwrap();
    said["claims"]["jti"].as_str().unwrap().to_owned()
}

/// Changes a SQLite file behind the program's back.
fn change(file: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}?mode=rwc", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn migrating_says_from_which_version_to_which() {
    on_each_kind(|place| {
        let newest = place.json(&["db", "migrate", "--json"]);
        assert_eq!(newest["from"], 0);
        assert!(newest["to"].as_u64().unwrap() >= 1, "{newest}");
        assert_eq!(
            place.json(&["db", "migrate", "--json"]),
            json!({"from": newest["to"], "to": newest["to"]})
        );
        let said = place.run(&["db", "migrate"]).expect_ok();
        assert!(said.contains("the newest; nothing was changed"), "{said}");
        assert_eq!(place.status()["schemaVersion"], newest["to"]);
    });
}

#[test]
fn ten_that_migrate_at_once_make_one_schema() {
    on_each_kind(|place| {
        let migrate = || place.json(&["db", "migrate", "--json"])["from"].as_u64().unwrap();
        let mut from: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..10).map(|_| scope.spawn(migrate)).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        from.sort_unstable();
        let newest = place.status()["schemaVersion"].as_u64().unwrap();
        assert_eq!(from, [&[0][..], &[newest; 9]].concat());
    });
}

#[test]
fn a_schema_from_the_future_is_told_and_left() {
    let workspace = Workspace::new();
    let place = Place { workspace: &workspace, url: "sqlite:hallpass.db".to_owned() };
    place.run(&["db", "migrate"]).expect_ok();
    change(&workspace.path().join("hallpass.db"), "PRAGMA user_version = 999");
    let refusal = place.run(&["db", "migrate"]).expect_code(1).stderr;
    assert!(refusal.contains("version 999, made by a newer Hallpass"), "{refusal}");
    let said = place.run(&["db", "status"]).expect_code(0);
    assert!(said.stdout.contains("999 (newest known: "), "{said:?}");
    assert!(said.stderr.contains("a newer Hallpass made this schema"), "{said:?}");
    let to = Place { workspace: &workspace, url: "sqlite:to.db".to_owned() };
    let refusal = place.copy_to(&to, &[]).expect_code(1).stderr;
    assert!(refusal.contains("made by a newer Hallpass"), "{refusal}");
}

#[test]
fn the_status_tells_what_a_database_holds() {
    on_each_kind(|place| {
        let (revoked, _) = place.api_key("default");
        place.api_key("staging");
        place.run(&["api-key", "revoke", &revoked]).expect_ok();
        place.run(&["signing-key", "rotate", "--force"]).expect_ok();
        let token = place.token(&[]);
        place.token(&["--ttl", "1h"]);
        place.run(&["token", "revoke", &token]).expect_ok();
        let status = place.status();
        assert_eq!(status["schemaVersion"], status["newestSchemaVersion"]);
        assert_eq!(status["tokens"], json!({"all": 2, "live": 2, "pastRetention": 0}));
        assert_eq!((&status["revocations"], &status["projects"]), (&json!(1), &json!(2)));
        assert_eq!(status["apiKeys"], json!({"live": 1, "revoked": 1}));
        assert_eq!(status["signingKeys"], json!({"active": 1, "next": 1, "retired": 1}));
        assert!(status["sizeBytes"].as_u64().unwrap() > 50_000, "{status}");
        let kind = place.url.split(':').next().unwrap();
        assert_eq!(status["kind"], kind);

        let table = place.run(&["db", "status"]).expect_ok();
        for line in ["tokens          2, 2 live", "API keys        1 live, 1 revoked", "projects        2"] {
            assert!(table.lines().any(|found| found == line), "{table}");
        }
    });
}

#[test]
fn the_status_shows_no_password() {
    let (workspace, postgres) = (Workspace::new(), Postgres::new());
    let place = Place { workspace: &workspace, url: postgres.url() };
    for arguments in
        [&["db", "status"][..], &["db", "status", "--json"], &["db", "migrate"], &["db", "backup", "x"]]
    {
        let said = place.run(arguments);
        assert!(!format!("{said:?}").contains(postgres.password()), "{arguments:?}");
    }
    assert!(place.status()["database"].as_str().unwrap().contains(":***@127.0.0.1:"));
}

#[test]
fn looking_changes_nothing() {
    let workspace = Workspace::new();
    workspace.write("hallpass.db", "");
    let status = workspace.json(&["db", "status", "--json"]);
    assert_eq!((&status["schemaVersion"], &status["tokens"]), (&json!(0), &Value::Null));
    let said = workspace.run(&["db", "status"]).expect_code(0);
    assert!(said.stderr.contains("`hallpass db migrate`"), "{said:?}");
    assert_eq!(names(workspace.path()), ["hallpass.db"]);
    assert_eq!(std::fs::read(workspace.path().join("hallpass.db")).unwrap(), b"");
}

#[test]
fn what_needs_a_database_says_where_one_comes_from() {
    let workspace = Workspace::new();
    for command in [&["db", "status"][..], &["db", "prune"], &["db", "backup", "copy.db"]] {
        let refusal = workspace.refusal(1, command);
        assert!(refusal.contains("there is no database at `hallpass.db` yet"), "{refusal}");
    }
    assert_eq!(names(workspace.path()), [""; 0], "nothing was made");
}

#[test]
fn another_applications_database_is_refused_and_left() {
    let workspace = Workspace::new();
    let file = workspace.path().join("hallpass.db");
    change(&file, "CREATE TABLE theirs (x)");
    let before = std::fs::read(&file).unwrap();
    let copy = ["db", "copy", "--from", "sqlite:from.db", "--to", "sqlite:hallpass.db"];
    let ours = Place { workspace: &workspace, url: "sqlite:from.db".to_owned() };
    ours.api_key("default");
    for command in
        [&["db", "status"][..], &["db", "migrate"], &["db", "prune"], &["db", "backup", "copy.db"], &copy]
    {
        let refusal = workspace.refusal(1, command);
        assert!(refusal.contains("it is another application's"), "{command:?}: {refusal}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert!(!names(workspace.path()).iter().any(|name| name.starts_with("copy.db")));
}

#[test]
fn pruning_removes_what_is_past_its_retention_beside_a_running_server() {
    on_each_kind(|place| {
        let _server = place.serve();
        let kept = place.token(&["--ttl", "1h"]);
        for _ in 0..3 {
            place.token(&["--ttl", "1s"]);
        }
        // A record stays until no server's clock can take its token for live: a minute and more.
        place.change("UPDATE tokens SET expires_at = expires_at - 120000 WHERE id > 1");
        // Past a retention of 30 days nothing is.
        assert_eq!(place.json(&["db", "prune", "--json"]), json!({"removed": 0}));
        let none = [
            ("HALLPASS_DATABASE__URL", place.url.as_str()),
            ("HALLPASS_MASTER_KEY", MASTER_KEY),
            ("HALLPASS_DATABASE__RETENTION", "1ms"),
        ];
        let waiting = || {
            let status = place.workspace.run_with(&["db", "status", "--json"], &none, "").expect_ok();
            serde_json::from_str::<Value>(&status).unwrap()["tokens"]["pastRetention"].clone()
        };
        wait_until("the short-lived tokens are over", || waiting() == 3);
        let said = place.workspace.run_with(&["db", "prune"], &none, "").expect_ok();
        assert_eq!(said, "removed 3 records past `1ms`\n");
        assert_eq!(waiting(), 0);
        assert_eq!(place.status()["tokens"]["all"], 1);
        place.run(&["token", "verify", &kept]).expect_code(0);
    });
}

#[test]
fn pruning_goes_on_until_all_is_done() {
    let workspace = Workspace::new();
    let place = Place { workspace: &workspace, url: "sqlite:hallpass.db".to_owned() };
    place.token(&[]);
    multiply(&workspace.path().join("hallpass.db"), 1200, 1);
    assert_eq!(place.json(&["db", "prune", "--json"]), json!({"removed": 1200}));
    assert_eq!(place.status()["tokens"], json!({"all": 1, "live": 1, "pastRetention": 0}));
}

/// Adds so many records like the first one, all of which end at the same millisecond.
fn multiply(file: &Path, count: u32, expires_at: i64) {
    change(
        file,
        &format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO tokens (jti, project_id, api_key_id, origin, expires_at, kid, payload, seal) \
             SELECT randomblob(16), project_id, api_key_id, origin, {expires_at}, kid, payload, seal FROM tokens, n WHERE id = 1; \
             INSERT OR IGNORE INTO token_agents (project_id, agent_id, token_id, expires_at) \
             SELECT project_id, 'agent-1', id, expires_at FROM tokens"
        ),
    );
}

mod backup {
    use super::*;

    #[test]
    fn a_backup_made_beside_a_running_server_holds_what_there_was() {
        let workspace = Workspace::new();
        let server = workspace.serve(&[]);
        let (_, key) = workspace.api_key("default");
        server.wait_for(&key);
        let (good, revoked) = (server.issue(&key), server.issue(&key));
        workspace.ok(&["token", "revoke", &revoked]);
        let said = workspace.run(&["db", "backup", "backup.db"]).expect_code(0);
        assert!(said.stdout.starts_with("`sqlite:hallpass.db` was copied to `backup.db` ("), "{said:?}");
        assert!(said.stderr.contains("without the master key (the file `hallpass.master-key`)"), "{said:?}");
        let later = server.issue(&key);
        drop(server);

        let backup = workspace.path().join("backup.db");
        assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!names(workspace.path()).iter().any(|name| name.contains("partial")));
        std::fs::copy(
            workspace.path().join("hallpass.master-key"),
            workspace.path().join("backup.master-key"),
        )
        .unwrap();
        let verify = |token: &str| {
            let restored = [("HALLPASS_DATABASE__URL", "sqlite:backup.db")];
            workspace.run_with(&["token", "verify", token], &restored, "").stdout
        };
        assert!(verify(&good).starts_with("good"));
        assert!(verify(&revoked).starts_with("not good: it was revoked"));
        assert!(verify(&later).contains("holds no record"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let workspace = Workspace::new();
        workspace.api_key("default");
        workspace.write("there", "precious");
        for file in ["there", "hallpass.db"] {
            let refusal = workspace.refusal(1, &["db", "backup", file]);
            assert!(refusal.contains(&format!("`{file}` is there already")), "{refusal}");
        }
        assert_eq!(std::fs::read_to_string(workspace.path().join("there")).unwrap(), "precious");
        assert_eq!(workspace.json(&["api-key", "list", "--json"]).as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_backup_that_fails_leaves_nothing() {
        let workspace = Workspace::new();
        workspace.api_key("default");
        let before = names(workspace.path());
        let refusal = workspace.refusal(1, &["db", "backup", "nowhere/backup.db"]);
        assert!(refusal.contains("no backup was made"), "{refusal}");
        assert_eq!(names(workspace.path()), before);
    }

    #[test]
    fn it_says_where_a_given_master_key_came_from() {
        let workspace = Workspace::new();
        let place = Place { workspace: &workspace, url: "sqlite:hallpass.db".to_owned() };
        place.api_key("default");
        let said = place.run(&["db", "backup", "backup.db", "--json"]).expect_code(0);
        assert!(said.stderr.contains("(in `HALLPASS_MASTER_KEY`)"), "{said:?}");
        let printed: Value = serde_json::from_str(&said.stdout).unwrap();
        let bytes = std::fs::metadata(workspace.path().join("backup.db")).unwrap().len();
        assert_eq!(printed, json!({"file": "backup.db", "bytes": bytes}));
    }

    #[test]
    fn with_postgres_it_names_what_to_use() {
        let workspace = Workspace::new();
        let place = Place { workspace: &workspace, url: "postgres://db.invalid/hallpass".to_owned() };
        let refusal = place.run(&["db", "backup", "backup.db"]).expect_code(1).stderr;
        assert!(refusal.contains("`pg_dump ") && refusal.contains("(in `HALLPASS_MASTER_KEY`)"), "{refusal}");
        assert_eq!(names(workspace.path()), [""; 0]);
    }
}

mod copy {
    use super::*;

    fn counts(end: &Value) -> [i64; 6] {
        ["projects", "apiKeys", "signingKeys", "liveTokens", "tokenAgents", "revocations"]
            .map(|name| end[name].as_i64().unwrap())
    }

    #[test]
    fn what_was_good_is_good_in_the_copy_and_what_was_revoked_is_not() {
        between_kinds(is_the_same_in_the_copy);
    }

    #[test]
    fn the_same_holds_between_two_of_a_kind() {
        between(false, false, is_the_same_in_the_copy);
        between(true, true, is_the_same_in_the_copy);
    }

    fn is_the_same_in_the_copy(from: &Place<'_>, to: &Place<'_>) {
        let (_, key) = from.api_key("default");
        let (revoked_key, revoked_secret) = from.api_key("staging");
        from.run(&["api-key", "revoke", &revoked_key]).expect_ok();
        from.run(&["project", "agents", "staging", "--allow", "agent-2"]).expect_ok();
        let early = from.token(&["--ttl", "1h"]);
        from.run(&["signing-key", "rotate", "--force"]).expect_ok();
        let several = from.token(&["--agent", "agent-2", "--access", "read_agent"]);
        let revoked = from.token(&[]);
        from.run(&["token", "revoke", &revoked]).expect_ok();
        let before = from.tokens();

        let copied: Value = serde_json::from_str(&from.copy_to(to, &["--json"]).expect_ok()).unwrap();
        assert_eq!(counts(&copied["from"]), [2, 2, 3, 3, 4, 1]);
        assert_eq!(counts(&copied["to"]), counts(&copied["from"]));
        assert_eq!(copied["masterKeyOpensKeys"], true);
        assert_eq!(copied["whileServing"], false);

        assert_eq!(to.tokens(), before);
        assert_eq!(from.tokens(), before, "the source is as it was");
        for list in ["api-key", "signing-key", "project"] {
            assert_eq!(to.json(&[list, "list", "--json"]), from.json(&[list, "list", "--json"]));
        }
        to.run(&["token", "verify", &early]).expect_code(0);
        to.run(&["token", "verify", &several]).expect_code(0);
        let said = to.run(&["token", "verify", &revoked]).expect_code(1);
        assert!(said.stdout.starts_with("not good: it was revoked"), "{said:?}");

        // A server on it takes the old keys and goes on after the old tokens.
        let server = to.serve();
        server.wait_for(&key);
        assert_eq!(server.request("GET", "/v1/client-side-access-tokens", &revoked_secret, "").0, 401);
        let new = server.issue(&key);
        let listed = to.tokens();
        let ids: Vec<_> = listed["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["jti"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 4);
        assert_eq!(ids[0], id_of(to.workspace, &new), "the newest comes first");
        let (_, later) = to.api_key("later");
        server.wait_for(&later);
    }

    #[test]
    fn tokens_that_are_over_are_left_behind_and_their_ids_are_not_used_again() {
        let (workspace, postgres) = (Workspace::new(), Postgres::new());
        let from = Place { workspace: &workspace, url: "sqlite:from.db".to_owned() };
        from.token(&[]);
        multiply(&workspace.path().join("from.db"), 10, 1);
        let to = Place { workspace: &workspace, url: postgres.url() };
        let back = Place { workspace: &workspace, url: "sqlite:back.db".to_owned() };
        from.copy_to(&to, &[]).expect_ok();
        assert_eq!(to.status()["tokens"], json!({"all": 1, "live": 1, "pastRetention": 0}));
        to.copy_to(&back, &[]).expect_ok();
        back.token(&[]);
        let file = workspace.path().join("back.db");
        // Eleven were issued before; the check says no to any other id than the twelfth.
        change(&file, "CREATE TEMP TABLE t (x CHECK (x = 12)); INSERT INTO t SELECT max(id) FROM tokens");
    }

    #[test]
    fn many_tokens_that_end_at_the_same_moment_are_all_copied() {
        let (workspace, postgres) = (Workspace::new(), Postgres::new());
        let from = Place { workspace: &workspace, url: "sqlite:from.db".to_owned() };
        from.token(&[]);
        // Year 2096.
        multiply(&workspace.path().join("from.db"), 4500, 4_000_000_000_000);
        from.run(&["token", "revoke", "--all"]).expect_ok();
        let to = Place { workspace: &workspace, url: postgres.url() };
        let back = Place { workspace: &workspace, url: "sqlite:back.db".to_owned() };
        for (from, to) in [(&from, &to), (&to, &back)] {
            let copied: Value = serde_json::from_str(&from.copy_to(to, &["--json"]).expect_ok()).unwrap();
            assert_eq!(counts(&copied["to"]), [1, 0, 2, 4501, 4501, 4501]);
        }
        assert_eq!(back.tokens(), from.tokens());
    }

    #[test]
    fn a_database_that_holds_something_is_refused_and_left() {
        between_kinds(|from, to| {
            from.token(&[]);
            to.token(&[]);
            let before = (to.status(), to.tokens(), to.json(&["signing-key", "list", "--json"]));
            let refusal = from.copy_to(to, &[]).expect_code(1).stderr;
            assert!(refusal.contains("already holds tokens, signing keys;"), "{refusal}");
            assert_eq!((to.status(), to.tokens(), to.json(&["signing-key", "list", "--json"])), before);
        });
    }

    #[test]
    fn of_two_copies_at_once_one_is_refused() {
        between_kinds(|from, to| {
            from.token(&[]);
            from.token(&[]);
            let outcomes = thread::scope(|scope| {
                let running = [(); 2].map(|()| scope.spawn(|| from.copy_to(to, &[])));
                running.map(|one| one.join().unwrap())
            });
            let codes: HashSet<_> = outcomes.iter().map(|outcome| outcome.code).collect();
            assert_eq!(codes, HashSet::from([Some(0), Some(1)]), "{outcomes:?}");
            assert_eq!(to.status()["tokens"]["all"], 2);
        });
    }

    #[test]
    fn a_schema_without_anything_in_it_is_filled() {
        between_kinds(|from, to| {
            from.api_key("default");
            to.run(&["db", "migrate"]).expect_ok();
            from.copy_to(to, &[]).expect_ok();
            assert_eq!(to.status()["apiKeys"], json!({"live": 1, "revoked": 0}));
        });
    }

    #[test]
    fn another_master_key_stops_the_copy_and_nothing_remains() {
        between_kinds(|from, to| {
            from.token(&[]);
            let copy = ["db", "copy", "--from", &from.url, "--to", &to.url];
            let other = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
            let refused = from.workspace.run_with(&copy, &[("HALLPASS_MASTER_KEY", other)], "");
            let refusal = refused.expect_code(1).stderr;
            assert!(refusal.contains("so nothing was copied: the master key does not open"), "{refusal}");
            assert_eq!(to.status()["tokens"]["all"], 0);
            assert_eq!(to.status()["signingKeys"], json!({"active": 0, "next": 0, "retired": 0}));
            from.copy_to(to, &[]).expect_ok();
        });
    }

    #[test]
    fn a_damaged_row_stops_the_copy_and_nothing_remains() {
        for to_postgres in [false, true] {
            between(false, to_postgres, |from, to| {
                from.token(&[]);
                from.token(&[]);
                let file = from.workspace.path().join("from.db");
                change(&file, "UPDATE tokens SET payload = 'x' WHERE id = 2");
                let refusal = from.copy_to(to, &[]).expect_code(1).stderr;
                assert!(
                    refusal.contains("and nothing was copied: it holds at most an empty schema"),
                    "{refusal}"
                );
                assert_eq!(to.status()["tokens"]["all"], 0);
                assert_eq!(to.status()["signingKeys"]["active"], 0);
            });
        }
    }

    #[test]
    fn without_a_master_key_at_hand_it_says_that_the_keys_were_not_tried() {
        let workspace = Workspace::new();
        workspace.token(&[]);
        let copy = |to: &str| {
            workspace.run(&["db", "copy", "--from", "sqlite:hallpass.db", "--to", to]).expect_code(0)
        };
        let said = copy("sqlite:a.db").stderr;
        assert!(said.contains("that in `hallpass.master-key`: the copied keys open with it"), "{said}");
        std::fs::remove_file(workspace.path().join("hallpass.master-key")).unwrap();
        let said = copy("sqlite:b.db").stderr;
        assert!(said.contains("was not tried") && said.contains("nor `hallpass.master-key`"), "{said}");
    }

    #[test]
    fn a_source_that_is_served_must_be_asked_for() {
        between_kinds(|from, to| {
            let server = from.serve();
            let (_, key) = from.api_key("default");
            server.wait_for(&key);
            server.issue(&key);
            let refusal = from.copy_to(to, &[]).expect_code(1).stderr;
            assert!(
                refusal.contains("a server is at work") && refusal.contains("`--while-serving`"),
                "{refusal}"
            );
            let said = from.copy_to(to, &["--while-serving"]).expect_code(0);
            assert!(said.stderr.contains("warning: a server was at work"), "{said:?}");
            assert_eq!(to.status()["tokens"]["live"], 1);
        });
    }

    #[test]
    fn a_server_that_has_ended_counts_no_more() {
        on_each_kind(|from| {
            let server = from.serve();
            from.token(&[]);
            drop(server);
            let to = Place { workspace: from.workspace, url: "sqlite:to.db".to_owned() };
            let said = from.copy_to(&to, &[]).expect_code(0);
            assert!(!said.stderr.contains("warning"), "{said:?}");
        });
    }

    #[test]
    fn urls_may_stand_in_files_and_passwords_are_not_shown() {
        let (workspace, postgres) = (Workspace::new(), Postgres::new());
        workspace.token(&[]);
        workspace.write("from", "sqlite:hallpass.db\n");
        workspace.write("to", &format!("{}\n", postgres.url()));
        let copy = ["db", "copy", "--from-file", "from", "--to-file", "to"];
        let table = workspace.run(&copy).expect_code(0);
        assert!(table.stdout.starts_with("COPIED                    FROM  TO\n"), "{table:?}");
        let refused = workspace.run(&copy).expect_code(1);
        let unknown = format!("{}_none", postgres.url());
        let missing =
            workspace.run(&["db", "copy", "--from", "sqlite:hallpass.db", "--to", &unknown]).expect_code(1);
        assert!(missing.stderr.contains("does not exist"), "{missing:?}");
        for said in [table, refused, missing] {
            assert!(!format!("{said:?}").contains(postgres.password()), "a password was shown");
        }
        for arguments in [["--from", "mysql://u:s3cret@db/x"], ["--from-file", "s3cret"]] {
            let refusal = workspace
                .refusal(1, &[&["db", "copy", "--to", "sqlite:to.db"], arguments.as_slice()].concat());
            assert!(refusal.contains("`--from") && !refusal.contains("s3cret"), "{refusal}");
        }
    }

    #[test]
    fn both_ends_must_be_said_and_differ() {
        let workspace = Workspace::new();
        workspace.token(&[]);
        let before = names(workspace.path());
        let refusal = workspace.refusal(2, &["db", "copy", "--from", "sqlite:hallpass.db"]);
        assert!(refusal.contains("--to <URL>"), "{refusal}");
        for (from, to, why) in [
            ("sqlite:hallpass.db", "sqlite:hallpass.db", "both ends are `sqlite:hallpass.db`"),
            ("sqlite:hallpas.db", "sqlite:to.db", "there is no database at `sqlite:hallpas.db` to copy from"),
        ] {
            let refusal = workspace.refusal(1, &["db", "copy", "--from", from, "--to", to]);
            assert!(refusal.contains(why), "{refusal}");
        }
        assert_eq!(names(workspace.path()), before, "nothing was made");
        workspace.write("empty.db", "");
        let refusal =
            workspace.refusal(1, &["db", "copy", "--from", "sqlite:empty.db", "--to", "sqlite:to.db"]);
        assert!(refusal.contains("is no Hallpass database"), "{refusal}");
    }
}
