//! A gateway between a test's client and its agent server, and the credentials to pass it.

use std::net::SocketAddr;
use std::time::Duration;

use hallpass::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::home::{Home, STATIC_KEY};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::wire::{Ask, Wire};
use crate::{PATIENCE, until};

/// The origin of the page that tokens are for.
pub(crate) const ORIGIN: &str = "https://app.example.com";
pub(crate) const OTHER_ORIGIN: &str = "https://evil.example.net";
pub(crate) const AGENT: &str = "agent-11111111-1111-4111-8111-111111111111";
/// An agent that the tokens grant nothing for.
pub(crate) const OTHER_AGENT: &str = "agent-22222222-2222-4222-8222-222222222222";
pub(crate) const CONVERSATION: &str = "conv-33333333-3333-4333-8333-333333333333";
pub(crate) const RUN: &str = "run-44444444-4444-4444-8444-444444444444";
pub(crate) const ALL: [&str; 4] = ["read_messages", "write_messages", "read_agent", "write_agent"];
/// The agent server's own secret.
pub(crate) const UPSTREAM_TOKEN: &str = "the-secret-of-the-agent-server";
pub(crate) const TOKENS: &str = "/v1/client-side-access-tokens";

pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) server: Server,
    pub(crate) upstream: Upstream,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these settings besides, as variables without `HALLPASS_`.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start();
        let (home, server) = serve(upstream.address(), settings);
        Self { home, server, upstream }
    }

    /// A token with everything for [`AGENT`].
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        self.token_for(AGENT, &ALL)
    }

    #[track_caller]
    pub(crate) fn token_for(&self, agent: &str, access: &[&str]) -> String {
        let policy = json!([{"type": "agent", "id": agent, "access": access}]);
        self.issue(STATIC_KEY, &json!({"hostname": ORIGIN, "policy": policy}))
    }

    /// The token that an API key gets for this request.
    #[track_caller]
    pub(crate) fn issue(&self, key: &str, request: &Value) -> String {
        let answer = self.ask(&Ask::post(TOKENS, request).bearer(key)).expect(201);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        self.connect().ask(ask)
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.server.address())
    }

    /// A request that must be refused, must be in the log with its id and reason, and must not reach the
    /// agent server.
    #[track_caller]
    pub(crate) fn refused(&self, ask: &Ask, status: u16, kind: &str, reason: &str) -> (Answer, Value) {
        let answer = self.ask(ask);
        let problem = answer.problem(status, kind, reason);
        self.upstream.assert_untouched();
        self.assert_logged(answer.header("x-request-id").unwrap(), reason);
        (answer, problem)
    }

    /// The log, as it is by default, has a line with this request's id and the reason.
    #[track_caller]
    pub(crate) fn assert_logged(&self, request_id: &str, reason: &str) {
        let quoted = [format!("\"{request_id}\""), format!("\"{reason}\"")];
        until(&format!("{quoted:?} in one line of the log"), PATIENCE, || {
            self.server.text().lines().any(|line| quoted.iter().all(|part| line.contains(part)))
        });
    }

    /// A new API key that the server takes already: its id and the key.
    pub(crate) fn api_key(&self, arguments: &[&str]) -> (String, String) {
        let made = self.home.run(&[&["api-key", "create", "--name", "test"], arguments].concat());
        let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
        until("the new API key is known", PATIENCE, || {
            self.ask(&Ask::get(TOKENS).bearer(&key)).status == 200
        });
        (id, key)
    }

    /// Deletes a token.
    #[track_caller]
    pub(crate) fn delete(&self, token: &str) {
        self.ask(&Ask::new("DELETE", &format!("{TOKENS}/{token}")).bearer(STATIC_KEY)).expect(204);
    }
}

/// A server whose agent server is at this address, in a new folder.
pub(crate) fn serve(upstream: SocketAddr, settings: &[(&str, &str)]) -> (Home, Server) {
    let home = Home::new();
    let mut command = home.hallpass(["serve"]);
    command
        .env("HALLPASS_API_KEY", STATIC_KEY)
        .env("HALLPASS_GATEWAY__UPSTREAM", format!("http://{upstream}"))
        .env("HALLPASS_GATEWAY__UPSTREAM_TOKEN", UPSTREAM_TOKEN);
    for (name, value) in settings {
        let name = format!("HALLPASS_{name}");
        // An empty one takes back what is set above.
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    let server = Server::start(command);
    (home, server)
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// The moment this long from now, as a request for a token says it.
pub(crate) fn after(seconds: u64) -> String {
    now().after(Duration::from_secs(seconds)).to_string()
}
