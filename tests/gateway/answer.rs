//! An answer as a client gets it, and what the tests say of answers.

use serde_json::Value;

/// A status, headers in order of arrival with names in lower case, and a whole body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads a head; there is no body yet.
    pub(crate) fn of_head(head: &str) -> Self {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
            body: Vec::new(),
        }
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that must be there once, if at all.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} several times: {self}");
        values.first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The problem in it, which must be whole and of this status, kind and reason.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str, reason: &str) -> Value {
        let problem = self.problem_of_kind(status, kind);
        assert_eq!(problem["reason"], reason, "{problem}");
        problem
    }

    /// The problem in it, which must be whole and of this status and kind, whatever its reason.
    #[track_caller]
    pub(crate) fn problem_of_kind(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self}");
        let problem = self.json();
        let end = format!("/errors/{kind}");
        assert!(problem["type"].as_str().is_some_and(|found| found.ends_with(&end)), "not {kind}: {problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        assert!(problem["reason"].as_str().is_none_or(|reason| !reason.is_empty()), "{problem}");
        assert_eq!(problem["message"], problem["detail"]);
        problem
    }

    /// A fault of the agent server, told so that no client sends the request again.
    #[track_caller]
    pub(crate) fn upstream_fault(&self, status: u16, kind: &str) {
        self.problem_of_kind(status, kind);
        assert_eq!(self.header("x-should-retry"), Some("false"), "{self}");
    }

    /// The one origin whose pages may read this, which must be said so that shared caches keep answers apart.
    #[track_caller]
    pub(crate) fn assert_readable_by(&self, origin: &str) {
        assert_eq!(self.header("access-control-allow-origin"), Some(origin), "{self}");
        let vary = self.all("vary").join(",").to_lowercase();
        assert!(vary.split(',').any(|name| name.trim() == "origin"), "no Vary: Origin: {self}");
        assert_eq!(self.header("access-control-allow-credentials"), None, "{self}");
    }

    /// No page may read this.
    #[track_caller]
    pub(crate) fn assert_not_readable(&self) {
        let allowed: Vec<_> =
            self.headers.iter().filter(|(name, _)| name.starts_with("access-control-")).collect();
        assert!(allowed.is_empty(), "{self}");
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.text())
    }
}
