//! `[server]`

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::problem::Problem;
use super::texts::networks;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Where `GET /metrics` is answered.
    pub admin_listen: SocketAddr,
    /// The `iss` of tokens and the base of published URLs; no slash at its end.
    pub public_url: String,
    /// Those whose forwarding headers count, and who may ask `/forward-auth`.
    #[serde(with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8284)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9284)),
            public_url: "http://localhost:8284".to_owned(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check_public_url(&self.public_url).map_err(|problem| Problem::new("server.public_url", problem))
    }
}

fn check_public_url(text: &str) -> Result<(), String> {
    let problem = match Url::parse(text) {
        Err(error) => error.to_string(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            "the scheme is neither `http` nor `https`".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "it has a query or a fragment".to_owned()
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "it has a user name or password".to_owned()
        }
        Ok(_) if !text.bytes().all(|c| c.is_ascii_graphic()) => {
            "it holds a space or something not ASCII".to_owned()
        }
        Ok(_) if text.ends_with('/') => "it ends in `/`".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(format!(
        "must be an absolute URL such as `https://tokens.example.com`, without a slash at its end: {problem}"
    ))
}
