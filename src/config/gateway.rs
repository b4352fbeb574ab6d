//! `[gateway]`

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::problem::{Problem, within};
use super::secret::Secret;
use super::texts::{duration_text, size_text};
use crate::access::{Preset, RouteChange, Settings, Table};
use crate::units;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The agent server: scheme, host and port. Without it there is no gateway.
    #[serde(with = "upstream_url", skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Url>,
    /// What the agent server itself asks for, as a bearer token. Never written.
    #[serde(skip_serializing)]
    pub upstream_token: Option<Secret>,
    /// A PEM file of those who may vouch for the agent server, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ca: Option<PathBuf>,
    pub preset: Preset,
    pub require_origin: bool,
    /// The largest body of a request, in bytes.
    #[serde(with = "size_text")]
    pub max_body: usize,
    /// Largest `max_steps` of a message request.
    pub max_steps: u32,
    /// More fields that a PATCH of an agent may carry.
    pub agent_fields: Vec<String>,
    /// Whether client tokens see `system_message` entries.
    pub system_messages: bool,
    /// Until the agent server's answer begins.
    #[serde(with = "duration_text")]
    pub answer_timeout: Duration,
    /// Between two pieces of an answer.
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    /// Rows of the permission table that are added or taken away.
    pub routes: Vec<RouteChange>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            upstream: None,
            upstream_token: None,
            upstream_ca: None,
            preset: Preset::default(),
            require_origin: true,
            max_body: 8 << 20,
            max_steps: 50,
            agent_fields: Vec::new(),
            system_messages: false,
            answer_timeout: minutes(10),
            idle_timeout: minutes(2),
            routes: Vec::new(),
        }
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

impl GatewayConfig {
    /// What the permission table is made from.
    pub fn access(&self) -> Settings {
        Settings {
            preset: self.preset,
            require_origin: self.require_origin,
            max_steps: self.max_steps,
            agent_fields: self.agent_fields.clone(),
            system_messages: self.system_messages,
            changes: self.routes.clone(),
        }
    }

    /// `own` are the addresses at which this server listens.
    pub(super) fn check(&self, own: &[SocketAddr]) -> Result<(), Problem> {
        self.check_upstream(own)?;
        within("gateway.max_body", self.max_body, 1 << 10..=64 << 20, units::show_size)?;
        within("gateway.max_steps", self.max_steps, 1..=1000, |steps| steps.to_string())?;
        let (second, hour) = (Duration::from_secs(1), minutes(60));
        within("gateway.answer_timeout", self.answer_timeout, second..=hour, units::show_duration)?;
        // Agent servers that have nothing to say send a sign of life every 20 s.
        within("gateway.idle_timeout", self.idle_timeout, minutes(1)..=hour, units::show_duration)?;
        Table::new(&self.access()).map_err(|error| Problem::new(error.key, error.problem))?;
        Ok(())
    }

    fn check_upstream(&self, own: &[SocketAddr]) -> Result<(), Problem> {
        let needs_upstream = "is for the agent server that `gateway.upstream` names, which is not set";
        if let Some(token) = &self.upstream_token {
            let key = "gateway.upstream_token";
            check_token(token.expose()).map_err(|problem| Problem::new(key, problem))?;
            if self.upstream.is_none() {
                return Err(Problem::new(key, needs_upstream));
            }
        }
        if let Some(path) = &self.upstream_ca {
            let problem = |text: &str| Err(Problem::new("gateway.upstream_ca", text));
            match &self.upstream {
                None => return problem(needs_upstream),
                Some(url) if url.scheme() == "http" => {
                    return problem(
                        "has no use with an `http://` upstream: nobody vouches for that; make it `https://`",
                    );
                }
                Some(_) => check_readable(path).or_else(|text| problem(&text))?,
            }
        }
        match &self.upstream {
            Some(upstream) if own.iter().any(|address| leads_to(upstream, *address)) => Err(Problem::new(
                "gateway.upstream",
                "this is Hallpass itself, which would ask itself for ever: name the agent server",
            )),
            _ => Ok(()),
        }
    }
}

/// An empty header or one with a line break would go to the agent server, or nowhere.
fn check_token(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("must not be empty; leave it out if the agent server asks for none");
    }
    if !token.bytes().all(|c| c.is_ascii_graphic()) {
        return Err("must consist of visible ASCII characters: it travels in a header");
    }
    Ok(())
}

fn check_readable(path: &Path) -> Result<(), String> {
    let read = fs::read(path);
    read.map(drop).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

/// Whether a URL surely leads to that address of this machine. Names that others resolve don't count.
fn leads_to(url: &Url, address: SocketAddr) -> bool {
    if url.port_or_known_default() != Some(address.port()) {
        return false;
    }
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain("localhost")) => {
            return address.ip().is_loopback() || address.ip().is_unspecified();
        }
        _ => return false,
    };
    address.ip() == ip || address.ip().is_unspecified() && ip.is_loopback()
}

/// Reads the address of an agent server: a scheme, a host, and perhaps a port.
pub fn parse_upstream(text: &str) -> Result<Url, String> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    // The URL standard forgives white space and backslashes silently, so the text is looked at too. Of
    // what is wrong nothing is repeated: it may hold a password.
    let problem = match Url::parse(text) {
        _ if !text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\') => {
            "it holds a space, a backslash or something not ASCII"
        }
        _ if rest.contains('@') => {
            "it has a user name or password; what the agent server asks for goes into `gateway.upstream_token`"
        }
        _ if rest.contains(['?', '#']) => "it has a query or a fragment",
        _ if rest.ends_with('/') => "it ends in `/`",
        _ if rest.contains('/') => "it has a path; requests keep their own",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "the scheme is neither `http` nor `https`",
        Ok(_) if rest.is_empty() => "it names no host",
        Ok(url) if url.port() == Some(0) => "nothing listens on port 0",
        Ok(url) => return Ok(url),
        Err(error) => &error.to_string(),
    };
    Err(format!("must be a scheme, a host and a port such as `http://127.0.0.1:8283`: {problem}"))
}

mod upstream_url {
    use serde::{Deserialize, Deserializer, Serializer};
    use url::Url;

    /// As it was read: without the slash that a URL ends in.
    pub(super) fn serialize<S: Serializer>(url: &Option<Url>, serializer: S) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => serializer.serialize_str(url.as_str().trim_end_matches('/')),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_upstream(&text).map(Some).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_scheme_a_host_and_a_port() {
        for text in [
            "http://127.0.0.1:8283",
            "https://letta.internal",
            "http://[::1]:8283",
            "https://letta.example.com:8443",
        ] {
            let url = parse_upstream(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(url.as_str().trim_end_matches('/'), text);
        }
    }

    #[test]
    fn whatever_else_an_upstream_has_is_refused_and_not_repeated() {
        for (text, rule) in [
            ("s3cret", "relative URL without a base"),
            ("", "relative URL without a base"),
            ("ftp://s3cret", "neither `http` nor `https`"),
            ("unix:/s3cret", "neither `http` nor `https`"),
            ("http:s3cret", "names no host"),
            ("http://", "empty host"),
            ("http://s3cret/", "ends in `/`"),
            ("http://s3cret/v1", "has a path"),
            ("http://s3cret?v=1", "query or a fragment"),
            ("http://s3cret#v1", "query or a fragment"),
            ("http://admin:s3cret@letta:8283", "goes into `gateway.upstream_token`"),
            ("http://s3cret@letta", "goes into `gateway.upstream_token`"),
            ("http://letta s3cret", "a space"),
            ("http:\\\\s3cret", "a backslash"),
            ("http://s3crét", "not ASCII"),
            ("http://s3cret:0", "port 0"),
            ("http://s3cret:99999", "invalid port"),
        ] {
            let problem = parse_upstream(text).expect_err(text);
            assert!(problem.contains(rule), "{text}: {problem}");
            assert!(!problem.contains("s3cr"), "{problem}");
        }
    }

    #[test]
    fn an_upstream_that_is_this_server_is_known() {
        let leads = |url: &str, address: &str| leads_to(&url.parse().unwrap(), address.parse().unwrap());
        assert!(leads("http://127.0.0.1:8284", "127.0.0.1:8284"));
        assert!(leads("http://localhost:8284", "127.0.0.1:8284"));
        assert!(leads("http://127.0.0.1:8284", "0.0.0.0:8284"));
        assert!(leads("http://[::1]:8284", "[::]:8284"));
        assert!(leads("http://127.0.0.1", "127.0.0.1:80"));
        assert!(!leads("http://127.0.0.1:8283", "127.0.0.1:8284"));
        assert!(!leads("http://127.0.0.2:8284", "127.0.0.1:8284"));
        assert!(!leads("http://10.0.0.7:8284", "0.0.0.0:8284"));
        assert!(!leads("http://letta:8284", "0.0.0.0:8284"));
    }
}
