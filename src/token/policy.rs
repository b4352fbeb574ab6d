//! What a token may touch: grants of access to agents.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FieldError, quote};

const MOST_GRANTS: usize = 100;
const MOST_ID_CHARS: usize = 256;

/// One of the four kinds of access that Letta defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    ReadMessages,
    WriteMessages,
    ReadAgent,
    WriteAgent,
}

impl Access {
    pub const ALL: [Access; 4] =
        [Access::ReadMessages, Access::WriteMessages, Access::ReadAgent, Access::WriteAgent];

    pub fn as_str(self) -> &'static str {
        match self {
            Access::ReadMessages => "read_messages",
            Access::WriteMessages => "write_messages",
            Access::ReadAgent => "read_agent",
            Access::WriteAgent => "write_agent",
        }
    }

    /// The access of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.as_str() == name)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An agent's id: 1 to 256 visible ASCII characters without `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentId(String);

impl AgentId {
    /// Reads an id; the error names the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let length = text.chars().count();
        if !(1..=MOST_ID_CHARS).contains(&length) {
            return Err(format!("must have 1 to {MOST_ID_CHARS} characters, got {length}"));
        }
        // It would be stored and listed in plain text.
        if text.starts_with("sk-") {
            return Err("must be an agent's id, got what looks like an API key".to_owned());
        }
        match text.chars().find(|c| !c.is_ascii_graphic() || *c == '/') {
            Some(c) => Err(format!(
                "must consist of visible ASCII characters other than `/`, got {c:?} in {}",
                quote(text)
            )),
            None => Ok(Self(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AgentId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<AgentId> for String {
    fn from(id: AgentId) -> String {
        id.0
    }
}

/// One entry of a policy: what may be done with one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "agent", from = "WrittenGrant")]
pub struct Grant {
    pub id: AgentId,
    pub access: Vec<Access>,
}

/// A grant as it is read: another type, which a later version may know, is none for an agent.
#[derive(Deserialize)]
struct WrittenGrant {
    #[serde(rename = "type")]
    _type: GrantType,
    id: AgentId,
    access: Vec<Access>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum GrantType {
    Agent,
}

impl From<WrittenGrant> for Grant {
    fn from(WrittenGrant { id, access, .. }: WrittenGrant) -> Self {
        Self { id, access }
    }
}

/// Everything that a token may touch: 1 to 100 grants, each with some access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Policy(Vec<Grant>);

impl TryFrom<Vec<Grant>> for Policy {
    type Error = String;

    fn try_from(grants: Vec<Grant>) -> Result<Self, String> {
        Self::new(grants)
    }
}

impl From<Policy> for Vec<Grant> {
    fn from(policy: Policy) -> Self {
        policy.0
    }
}

impl Policy {
    /// A policy of these grants. Access that a grant repeats is kept once.
    pub fn new(mut grants: Vec<Grant>) -> Result<Self, String> {
        if !(1..=MOST_GRANTS).contains(&grants.len()) {
            return Err(format!("must have 1 to {MOST_GRANTS} entries, got {}", grants.len()));
        }
        if grants.iter().any(|grant| grant.access.is_empty()) {
            return Err("each entry must have some access".to_owned());
        }
        for grant in &mut grants {
            let mut seen = Vec::with_capacity(Access::ALL.len());
            grant.access.retain(|access| {
                let new = !seen.contains(access);
                seen.push(*access);
                new
            });
        }
        Ok(Self(grants))
    }

    pub fn grants(&self) -> &[Grant] {
        &self.0
    }

    /// Reads the `policy` of a request, adding each mistake to `errors`.
    pub(super) fn parse(value: Option<&Value>, errors: &mut Vec<FieldError>) -> Option<Self> {
        let before = errors.len();
        let Some(Value::Array(entries)) = value else {
            let seen = super::request::kind_of(value);
            errors.push(FieldError::new(
                "policy",
                format!("must be an array of 1 to {MOST_GRANTS} entries, got {seen}"),
            ));
            return None;
        };
        if !(1..=MOST_GRANTS).contains(&entries.len()) {
            let rule = format!("must have 1 to {MOST_GRANTS} entries, got {}", entries.len());
            errors.push(FieldError::new("policy", rule));
            return None;
        }
        let grants: Vec<_> =
            entries.iter().enumerate().filter_map(|(i, e)| parse_grant(i, e, errors)).collect();
        if errors.len() > before {
            return None;
        }
        Policy::new(grants).ok()
    }
}

fn parse_grant(index: usize, entry: &Value, errors: &mut Vec<FieldError>) -> Option<Grant> {
    let field = |name: &str| format!("policy[{index}]{name}");
    let Value::Object(entry) = entry else {
        let seen = super::request::kind_of(Some(entry));
        errors.push(FieldError::new(
            field(""),
            format!("must be an object such as {{\"type\":\"agent\",\"id\":\"agent-1\",\"access\":[\"read_messages\"]}}, got {seen}"),
        ));
        return None;
    };
    match entry.get("type") {
        Some(Value::String(kind)) if kind == "agent" => {}
        other => errors.push(FieldError::new(
            field(".type"),
            format!("must be `agent`, got {}", super::request::shown(other)),
        )),
    }
    let id = match entry.get("id") {
        Some(Value::String(id)) => {
            AgentId::parse(id).map_err(|rule| errors.push(FieldError::new(field(".id"), rule))).ok()
        }
        other => {
            let seen = super::request::kind_of(other);
            errors
                .push(FieldError::new(field(".id"), format!("must be a string, the agent's id, got {seen}")));
            None
        }
    };
    let access = parse_access(&field(".access"), entry.get("access"), errors);
    Some(Grant { id: id?, access })
}

fn parse_access(field: &str, value: Option<&Value>, errors: &mut Vec<FieldError>) -> Vec<Access> {
    let names = Access::ALL.map(Access::as_str).join("`, `");
    let Some(Value::Array(entries)) = value else {
        let seen = super::request::kind_of(value);
        errors.push(FieldError::new(
            field,
            format!("must be an array of one or more of `{names}`, got {seen}"),
        ));
        return Vec::new();
    };
    if entries.is_empty() {
        errors.push(FieldError::new(field, format!("must hold one or more of `{names}`, got none")));
    }
    let mut access = Vec::with_capacity(entries.len().min(Access::ALL.len()));
    for (index, entry) in entries.iter().enumerate() {
        match entry.as_str().and_then(Access::named) {
            Some(known) if access.contains(&known) => {}
            Some(known) => access.push(known),
            None => errors.push(FieldError::new(
                format!("{field}[{index}]"),
                format!("must be one of `{names}`, got {}", super::request::shown(Some(entry))),
            )),
        }
    }
    access
}
