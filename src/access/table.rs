//! The permission table: one row a route, as data.

mod changes;
mod pattern;

use std::borrow::Cow;
use std::fmt;

pub(super) use self::pattern::{Pattern, Segment};
use super::{AnswerRule, BodyRule, Target, letta};
use crate::token::{Access, quote};

/// The methods that a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that name, which is case-sensitive (RFC 9110, section 9.1).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// What a token must grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Access(Access),
    AnyToken,
}

impl Needs {
    /// As the configuration writes it: one of the four, or `any`.
    pub fn as_str(self) -> &'static str {
        match self {
            Needs::Access(access) => access.as_str(),
            Needs::AnyToken => "any",
        }
    }
}

/// Where a row names its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentPlace {
    /// `{agent}` in the path.
    Path,
    /// The value of this query key, given once.
    Query(Cow<'static, str>),
    /// Looked up by the conversation or run in the path.
    Owner,
    /// The row concerns no agent.
    Nowhere,
}

/// The table to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Letta's REST API, version 1.
    #[default]
    Letta,
    None,
}

/// What a deployment decides about the table.
#[derive(Clone, Debug)]
pub struct Settings {
    pub preset: Preset,
    pub require_origin: bool,
    /// Largest `max_steps` of a message request.
    pub max_steps: u32,
    /// More fields that a PATCH of an agent may carry.
    pub agent_fields: Vec<String>,
    /// Whether answers keep their `system_message` entries.
    pub system_messages: bool,
    pub changes: Vec<RouteChange>,
}

/// A row added or taken away by the configuration (`[[gateway.routes]]`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteChange {
    pub method: Method,
    /// With `{agent}` as one segment, or as the value of a query key.
    pub path: String,
    /// One of the four, or `any`; not needed to take a row away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Query keys that are passed; `tags*` may be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// A query key that a row passes on. Written `limit`, or `tags*` (as in RFC 6570) if it is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryKey {
    pub name: Cow<'static, str>,
    /// Whether it may be given more than once.
    pub is_list: bool,
}

impl From<&'static str> for QueryKey {
    fn from(text: &'static str) -> Self {
        let name = text.strip_suffix('*');
        Self { name: Cow::Borrowed(name.unwrap_or(text)), is_list: name.is_some() }
    }
}

impl From<String> for QueryKey {
    fn from(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(name) => Self { name: Cow::Owned(name.to_owned()), is_list: true },
            None => Self { name: Cow::Owned(text), is_list: false },
        }
    }
}

impl fmt::Display for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_list { "*" } else { "" })
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    /// As people read it and as metrics name it: `/v1/agents/{agent}/messages`,
    /// `/v1/runs/?agent_id={agent}`. A slash at the path's end is there if the agent server wants it.
    pub template: Cow<'static, str>,
    pub needs: Needs,
    pub agent: AgentPlace,
    /// Query keys that are passed on, besides the agent's.
    pub query: Vec<QueryKey>,
    pub body: BodyRule,
    pub answer: AnswerRule,
    /// Whether it counts as a message request (limits).
    pub is_message: bool,
    /// What the gateway does besides deciding, for people; empty where the decision is all, and only
    /// such rows pass forward-auth.
    pub also: Cow<'static, str>,
}

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TableError {
    /// Which entry of `changes`, or the setting by name.
    pub key: String,
    pub problem: String,
}

/// What a PATCH of an agent may carry only if a deployment says so.
const MORE_AGENT_FIELDS: [&str; 8] =
    ["metadata", "tags", "hidden", "system", "model", "model_settings", "context_window_limit", "max_tokens"];

/// All rows. By default there is none, and so nothing is allowed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Route>,
    /// Of each row, in the same order.
    patterns: Vec<Pattern>,
    /// By the number of segments: the places of rows, in the order in which they are tried.
    by_length: Vec<Vec<usize>>,
    pub(super) preset: Preset,
    pub(super) require_origin: bool,
}

impl Table {
    pub fn new(settings: &Settings) -> Result<Self, TableError> {
        check_agent_fields(&settings.agent_fields)?;
        let mut rows = match settings.preset {
            Preset::Letta => letta::rows(settings)
                .map_err(|problem| TableError { key: "gateway.preset".to_owned(), problem })?,
            Preset::None => Vec::new(),
        };
        for (index, change) in settings.changes.iter().enumerate() {
            changes::apply(index, change, &mut rows)?;
        }
        let (rows, patterns): (Vec<Route>, Vec<Pattern>) = rows.into_iter().unzip();
        let longest = patterns.iter().map(|pattern| pattern.segments.len()).max().unwrap_or(0);
        let mut by_length = vec![Vec::new(); longest + 1];
        for (place, pattern) in patterns.iter().enumerate() {
            by_length[pattern.segments.len()].push(place);
        }
        for places in &mut by_length {
            places.sort_by_key(|place| patterns[*place].openness());
        }
        let Settings { preset, require_origin, .. } = *settings;
        Ok(Self { rows, patterns, by_length, preset, require_origin })
    }

    /// The row of a request, whether or not its token allows it.
    pub fn row(&self, method: &str, target: &Target<'_>) -> Option<&Route> {
        Some(self.find(Method::named(method)?, &target.segments)?.0)
    }

    pub fn rows(&self) -> &[Route] {
        &self.rows
    }

    /// The row for this method and path.
    pub(super) fn find(&self, method: Method, segments: &[Cow<'_, str>]) -> Option<(&Route, &Pattern)> {
        let places = self.by_length.get(segments.len())?.iter();
        let mut rows = places.map(|place| (&self.rows[*place], &self.patterns[*place]));
        rows.find(|(row, pattern)| row.method == method && pattern.fits(segments))
    }
}

fn check_agent_fields(fields: &[String]) -> Result<(), TableError> {
    match fields.iter().find(|field| !MORE_AGENT_FIELDS.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(TableError {
            key: "gateway.agent_fields".to_owned(),
            problem: format!(
                "may hold `{}`; {} is none of them. `name`, `description` and `timezone` may be changed anyway",
                MORE_AGENT_FIELDS.join("`, `"),
                quote(field)
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::testing::settings;

    fn change(method: Method, path: &str, access: Option<&str>) -> RouteChange {
        let access = access.map(str::to_owned);
        RouteChange { method, path: path.to_owned(), access, query: Vec::new(), remove: false }
    }

    fn removal(method: Method, path: &str) -> RouteChange {
        RouteChange { remove: true, ..change(method, path, None) }
    }

    fn with(changes: Vec<RouteChange>) -> Result<Table, TableError> {
        Table::new(&Settings { changes, ..settings() })
    }

    /// The template of the row that a path finds.
    fn found(table: &Table, method: Method, path: &str) -> Option<String> {
        let segments: Vec<_> = path.split('/').skip(1).map(Cow::Borrowed).collect();
        table.find(method, &segments).map(|(row, _)| row.template.to_string())
    }

    fn things() -> RouteChange {
        change(Method::Get, "/v1/things/{agent}", Some("read_agent"))
    }

    #[test]
    fn a_row_may_be_added() {
        let table =
            with(vec![RouteChange { query: vec!["limit".into(), "tag*".into()], ..things() }]).unwrap();
        let row = table.rows().last().unwrap();
        assert_eq!(found(&table, Method::Get, "/v1/things/x").as_deref(), Some("/v1/things/{agent}"));
        assert_eq!(found(&table, Method::Post, "/v1/things/x"), None);
        assert_eq!((row.needs, &row.agent), (Needs::Access(Access::ReadAgent), &AgentPlace::Path));
        assert_eq!((&row.body, row.answer, row.is_message), (&BodyRule::AsSent, AnswerRule::AsIs, false));
        assert_eq!(row.query.iter().map(QueryKey::to_string).collect::<Vec<_>>(), ["limit", "tag*"]);
        assert_eq!(row.also, "");
    }

    #[test]
    fn a_row_may_name_its_agent_in_the_query_or_none_at_all() {
        let in_query = change(Method::Get, "/v1/things/?owner={agent}", Some("read_agent"));
        let open = change(Method::Get, "/v1/status", Some("any"));
        let table = with(vec![in_query, open]).unwrap();
        let [.., in_query, open] = table.rows() else { panic!("two rows were added") };
        assert_eq!(in_query.agent, AgentPlace::Query("owner".into()));
        assert_eq!((open.needs, &open.agent), (Needs::AnyToken, &AgentPlace::Nowhere));
        let (_, pattern) = table.find(Method::Get, &["v1".into(), "things".into()]).unwrap();
        assert!(pattern.slash);
    }

    #[test]
    fn the_root_may_be_a_row() {
        let table = with(vec![change(Method::Get, "/", Some("any"))]).unwrap();
        assert!(table.find(Method::Get, &[]).is_some());
    }

    #[test]
    fn a_row_may_be_taken_away_as_it_is_shown() {
        let rows = with(Vec::new()).unwrap().rows;
        for row in &rows {
            let table = with(vec![removal(row.method, &row.template)]).unwrap();
            assert_eq!(table.rows().len(), rows.len() - 1, "{}", row.template);
            let gone = |known: &Route| known.method == row.method && known.template == row.template;
            assert!(!table.rows().iter().any(gone), "{}", row.template);
        }
    }

    #[test]
    fn a_row_that_was_taken_away_may_be_replaced() {
        let path = "/v1/agents/{agent}/messages";
        let table =
            with(vec![removal(Method::Get, path), change(Method::Get, path, Some("read_agent"))]).unwrap();
        let (row, _) =
            table.find(Method::Get, &["v1", "agents", "x", "messages"].map(Cow::Borrowed)).unwrap();
        assert_eq!((row.needs, row.answer), (Needs::Access(Access::ReadAgent), AnswerRule::AsIs));
    }

    #[test]
    fn a_mistake_is_told_with_its_key_and_the_remedy() {
        let added = |path: &str, access: &str| change(Method::Get, path, Some(access));
        let with_query = |key: &str| RouteChange {
            query: vec!["limit".into(), key.into()],
            ..added("/v1/x/{agent}", "read_agent")
        };
        let in_query = added("/v1/x?agent_id={agent}", "read_agent");
        for (wrong, key, text) in [
            (added("v1/x/{agent}", "read_agent"), ".path", "must begin with `/`"),
            (added("", "any"), ".path", "must begin with `/`"),
            (added("/v1//x", "any"), ".path", "two slashes"),
            (added("//", "any"), ".path", "two slashes"),
            (added("/v1/../x", "any"), ".path", "a `.` or `..`"),
            (added("/v1/a%2Fb", "any"), ".path", "a character other than"),
            (added("/v1/x{agent}", "read_agent"), ".path", "a character other than"),
            (added("/v1/*", "any"), ".path", "a character other than"),
            (added("/v1/{}", "any"), ".path", "must name what stands in braces"),
            (added("/v1/{agent}/{agent}", "read_agent"), ".path", "must name `{agent}` once"),
            (added("/v1/{agent}?agent_id={agent}", "read_agent"), ".path", "must name `{agent}` once"),
            (added("/v1/x?agent_id={agent}&a=b", "read_agent"), ".path", "may have one query key"),
            (added("/v1/x?a=b", "any"), ".path", "may have one query key"),
            (added("/v1/x?", "any"), ".path", "may have one query key"),
            (added("/v1/x/{agent}/{label}", "read_agent"), ".path", "and nothing else"),
            (added("/v1/x/{run}", "read_agent"), ".path", "and nothing else"),
            (added("/v1/agents/{agent}/messages", "read_agent"), ".path", "is in the table already"),
            (added("/v1/conversations/{agent}", "read_agent"), ".path", "is in the table already"),
            (added("/v1/runs", "any"), ".path", "as `/v1/runs/?agent_id={agent}`"),
            (added("/v1/x/{agent}", "read"), ".access", "must be one of `read_messages`"),
            (added("/v1/x/{agent}", "any"), ".access", "goes with paths that name no agent"),
            (added("/v1/x", "read_agent"), ".access", "the path names none"),
            (change(Method::Get, "/v1/x", None), ".access", "is missing"),
            (with_query(""), ".query", "must be names"),
            (with_query("a&b"), ".query", "must be names"),
            (with_query("limit"), ".query", "twice"),
            (with_query("limit*"), ".query", "twice"),
            (RouteChange { query: vec!["agent_id".into()], ..in_query }, ".query", "is passed anyway"),
            (removal(Method::Put, "/v1/agents/{agent}"), "", "not in the table"),
            (removal(Method::Get, "/v1/nothing"), "", "not in the table"),
            (removal(Method::Get, "nothing"), ".path", "must begin with `/`"),
        ] {
            let table = with(vec![things(), wrong.clone()]);
            let error = table.map(|_| ()).expect_err(&format!("{wrong:?}"));
            assert_eq!(error.key, format!("gateway.routes[1]{key}"), "{wrong:?}: {error}");
            assert!(error.problem.contains(text), "{wrong:?}: {error}");
        }
        let twice = with(vec![things(), things()]).unwrap_err();
        assert_eq!(twice.key, "gateway.routes[1].path");
    }

    #[test]
    fn fields_of_agents_that_may_be_opened_are_few() {
        let with_fields = |fields: &[&str]| {
            let agent_fields = fields.iter().copied().map(str::to_owned).collect();
            Table::new(&Settings { agent_fields, ..settings() })
        };
        let table = with_fields(&["metadata", "max_tokens"]).unwrap();
        let patch = table.rows().iter().find(|row| row.method == Method::Patch).unwrap();
        let names = ["name", "description", "timezone", "metadata", "max_tokens"].map(Cow::Borrowed);
        assert_eq!(patch.body, BodyRule::Fields(names.to_vec()));
        for field in ["tool_ids", "secrets", "name", "", "Metadata"] {
            let error = with_fields(&["metadata", field]).unwrap_err();
            assert_eq!(error.key, "gateway.agent_fields", "{field}");
            assert!(error.problem.contains(&quote(field)), "{error}");
        }
    }

    #[test]
    fn a_literal_goes_before_a_name_in_braces_whatever_came_first() {
        let open = change(Method::Get, "/{agent}/x", Some("read_agent"));
        let half = change(Method::Get, "/a/{agent}", Some("read_agent"));
        let closed = change(Method::Get, "/a/x", Some("any"));
        for changes in [
            vec![open.clone(), half.clone(), closed.clone()],
            vec![closed.clone(), half.clone(), open.clone()],
            vec![half, closed, open],
        ] {
            let table = with(changes).unwrap();
            for (path, template) in [("/a/x", "/a/x"), ("/a/b", "/a/{agent}"), ("/b/x", "/{agent}/x")] {
                assert_eq!(found(&table, Method::Get, path).as_deref(), Some(template), "{path}");
            }
        }
    }

    #[test]
    fn methods_are_found_by_their_exact_names() {
        for method in Method::ALL {
            assert_eq!(Method::named(method.as_str()), Some(method));
        }
        for name in ["get", "Get", "GET ", "", "HEAD", "OPTIONS", "TRACE"] {
            assert_eq!(Method::named(name), None, "{name}");
        }
    }
}
