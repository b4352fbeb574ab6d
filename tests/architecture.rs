//! Which module may know which: read from the sources, so that an arrow that points back is seen
//! when it is drawn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From each module to those that it may know.
const MAY_KNOW: [(&str, &[&str]); 18] = [
    ("clock", &[]),
    ("units", &[]),
    ("metrics", &[]),
    ("limits", &[]),
    ("token", &["clock", "units"]),
    ("keys", &["clock", "units", "token"]),
    ("access", &["clock", "units", "token", "keys"]),
    ("store", &["clock", "units", "metrics", "token", "keys"]),
    ("app", &["clock", "units", "metrics", "limits", "token", "keys", "store"]),
    ("web", &["token", "keys", "store", "app"]),
    ("api", &["clock", "units", "token", "keys", "store", "app", "web"]),
    ("gateway", &["units", "limits", "token", "keys", "access", "app", "web"]),
    ("server", &["clock", "units", "metrics", "token", "keys", "store", "app", "api", "gateway"]),
    ("dev", &["clock", "units", "token", "keys", "store", "app", "gateway", "web", "server"]),
    ("config", &["clock", "units", "token", "keys", "access", "store", "gateway"]),
    ("telemetry", &["config"]),
    (
        "cli",
        &[
            "clock",
            "units",
            "token",
            "keys",
            "access",
            "store",
            "app",
            "api",
            "gateway",
            "server",
            "dev",
            "config",
            "telemetry",
        ],
    ),
    ("main", &[]),
];

/// From each crate, or part of one, to where it may be used: modules and files.
const MAY_BE_USED_IN: [(&str, &[&str]); 9] = [
    ("axum", &["web", "api", "gateway", "server", "dev"]),
    ("hyper", &["web", "api", "gateway", "server", "dev", "cli/healthcheck.rs"]),
    ("tower_http", &["api", "server"]),
    ("sqlx", &["store"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli"]),
    ("governor", &["limits"]),
    ("toml", &["config", "cli/config.rs"]),
    ("std::env", &["cli"]),
];

/// A source file: its path below `src`, and its text without comments.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module at the top that the file belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Everything that is named behind this path, as in `crate::token` or `use crate::{app, token}`.
    fn named_behind(&self, path: &str) -> BTreeSet<String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let first_name = |text: &str| text.trim_start().split(|c| !is_name(c)).next().unwrap().to_owned();
        let mut names = BTreeSet::new();
        for (start, _) in self.text.match_indices(path) {
            let continues_a_name = self.text[..start].ends_with(is_name);
            let rest = &self.text[start + path.len()..];
            match rest.strip_prefix('{') {
                _ if continues_a_name => {}
                Some(group) => names.extend(at_top_level(group).iter().map(|part| first_name(part))),
                None => drop(names.insert(first_name(rest))),
            }
        }
        names.remove("");
        names
    }
}

/// The parts of a group of imports, cut at its commas and not at those of groups within.
fn at_top_level(group: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    parts
}

fn sources() -> Vec<Source> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { below(&entry, found) } else { found.push(entry) }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    below(&src, &mut paths);
    let source = |path: PathBuf| {
        let lines = fs::read_to_string(&path).unwrap();
        let code = lines.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text = code.collect::<Vec<_>>().join("\n");
        Source { path: path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), text }
    };
    paths.into_iter().map(source).collect()
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::app;\nuse crate::{api::{Kind, docs}, token, units as u};\nlet x = crate::keys::f();\n\
                mycrate::no::yes()";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    let found: Vec<_> = source.named_behind("crate::").into_iter().collect();
    assert_eq!(found, ["api", "app", "keys", "token", "units"]);
}

#[test]
fn arrows_between_modules_point_down() {
    let mut arrows = 0;
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let module = source.module();
        let (_, may_know) = MAY_KNOW
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("`{module}` is new: say which modules it may know"));
        for known in source.named_behind("crate::").into_iter().filter(|known| known != module) {
            assert!(may_know.contains(&known.as_str()), "src/{} must not know `{known}`", source.path);
            arrows += 1;
        }
    }
    assert!(arrows > 50, "the sources were not read: {arrows} arrows");
}

#[test]
fn main_knows_the_commands_and_nothing_else() {
    let sources = sources();
    let main = sources.iter().find(|source| source.path == "main.rs").unwrap();
    assert!(main.named_behind("hallpass::").iter().eq(["cli"]));
}

#[test]
fn crates_are_used_only_where_they_belong() {
    for (name, places) in MAY_BE_USED_IN {
        let mut uses = 0;
        for source in &sources() {
            if source.named_behind(&format!("{name}::")).is_empty() {
                continue;
            }
            let belongs = places.iter().any(|place| source.module() == *place || source.path == *place);
            assert!(belongs, "`{name}` must not be used in src/{}", source.path);
            uses += 1;
        }
        assert!(uses > 0, "`{name}` is used nowhere: take it off the list");
    }
}
