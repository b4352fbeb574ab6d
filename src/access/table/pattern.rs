//! The path of a row, taken apart: `/v1/agents/{agent}/messages`, `/v1/runs/?agent_id={agent}`.

use std::borrow::Cow;

use super::AgentPlace;
use crate::access::target::broken_segment_rule;
use crate::token::quote;

/// One segment of a row's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::access) enum Segment {
    Literal(String),
    Agent,
    Conversation,
    Run,
    /// Whatever a target may hold there; the name is for people.
    Any(String),
}

/// A row's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::access) struct Pattern {
    pub(in crate::access) segments: Vec<Segment>,
    /// Whether the agent server wants a slash at the end.
    pub(in crate::access) slash: bool,
    /// The query key whose value is the agent.
    pub(super) agent_key: Option<String>,
}

impl Pattern {
    /// Reads a template; the error says what is wrong with it and how to mend it.
    pub(in crate::access) fn parse(template: &str) -> Result<Self, String> {
        let Some(rest) = template.strip_prefix('/') else {
            return Err(format!(
                "must begin with `/`, as in `/v1/agents/{{agent}}/things`, got {}",
                quote(template)
            ));
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let slash = path.is_empty() || path.ends_with('/');
        let segments = match path.strip_suffix('/').unwrap_or(path) {
            // Not so of `//`, whose slash at the end is the second.
            "" if path.is_empty() => Vec::new(),
            path => path.split('/').map(read_segment).collect::<Result<_, _>>()?,
        };
        let agent_key = query.map(read_agent_key).transpose()?;
        let agents = segments.iter().filter(|segment| **segment == Segment::Agent).count();
        if agents + usize::from(agent_key.is_some()) > 1 {
            return Err(format!("must name `{{agent}}` once, got {}", quote(template)));
        }
        Ok(Self { segments, slash, agent_key })
    }

    /// Where requests of this row name their agent.
    pub(in crate::access) fn agent_place(&self) -> AgentPlace {
        if let Some(key) = &self.agent_key {
            return AgentPlace::Query(Cow::Owned(key.clone()));
        }
        let has = |wanted| self.segments.contains(&wanted);
        if has(Segment::Agent) {
            AgentPlace::Path
        } else if has(Segment::Conversation) || has(Segment::Run) {
            AgentPlace::Owner
        } else {
            AgentPlace::Nowhere
        }
    }

    /// Whether a path of these segments is of this row.
    pub(super) fn fits(&self, segments: &[Cow<'_, str>]) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).all(|(mine, theirs)| match mine {
                Segment::Literal(literal) => literal == theirs,
                Segment::Agent | Segment::Conversation | Segment::Run | Segment::Any(_) => true,
            })
    }

    /// Whether both stand for the same paths.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
                (mine, theirs) => mine.is_open() && theirs.is_open(),
            })
    }

    /// Which of several patterns that fit a path is meant: the smallest, which at the first difference
    /// has the literal.
    pub(super) fn openness(&self) -> Vec<bool> {
        self.segments.iter().map(Segment::is_open).collect()
    }

    /// The place of the first segment of this kind.
    pub(in crate::access) fn place_of(&self, wanted: &Segment) -> Option<usize> {
        self.segments.iter().position(|segment| segment == wanted)
    }
}

impl Segment {
    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Segment::Literal(_))
    }
}

fn read_segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return match name {
            "agent" => Ok(Segment::Agent),
            "conversation" => Ok(Segment::Conversation),
            "run" => Ok(Segment::Run),
            _ if !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_') => {
                Ok(Segment::Any(name.to_owned()))
            }
            _ => Err(format!("must name what stands in braces, as in `{{agent}}`, got {}", quote(text))),
        };
    }
    match broken_segment_rule(text) {
        None => Ok(Segment::Literal(text.to_owned())),
        Some(broken) => Err(format!("must not hold {broken}, got {}", quote(text))),
    }
}

fn read_agent_key(query: &str) -> Result<String, String> {
    match query.split_once('=') {
        Some((key, "{agent}")) if is_query_key(key) => Ok(key.to_owned()),
        _ => Err(format!(
            "may have one query key, whose value is the agent, as in `?agent_id={{agent}}`, got {}; other keys that \
             are passed stand in `query`",
            quote(query)
        )),
    }
}

/// Whether a row may name such a query key.
pub(super) fn is_query_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~[]$@!:".contains(&c))
}
