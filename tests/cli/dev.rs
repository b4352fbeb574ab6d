//! `hallpass dev`: what it takes and what it refuses, time and faults at will, the log.

mod command;
mod control;
mod faults;

use serde_json::{Value, json};

use crate::workspace::{Server, wait_until};

const KEY: &str = "sk-hallpass-dev-not-a-secret";
const PAGE: &str = "http://localhost:5173";
const AGENT: &str = "agent-0b4c2f6e-1d3a-4c5b-8e7f-9a0b1c2d3e4f";

impl Server {
    /// A token for `AGENT` and the page, with every access.
    fn token(&self) -> String {
        let access = ["read_messages", "write_messages", "read_agent", "write_agent"];
        let policy = json!([{"type": "agent", "id": AGENT, "access": access}]);
        let body = json!({"hostname": PAGE, "policy": policy}).to_string();
        let (status, answer) = self.request("POST", "/v1/client-side-access-tokens", KEY, &body);
        assert_eq!(status, 201, "{answer}");
        text(&serde_json::from_str(&answer).unwrap(), "token")
    }

    /// A request of the page's, with a token: the status, and the body.
    fn page(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("origin", PAGE),
            ("content-type", "application/json"),
        ];
        let (head, body) = self.exchange(method, path, &headers, body);
        (status(&head), body)
    }

    /// The page reads the messages; the reason if it may not.
    fn read(&self, token: &str) -> (u16, Value) {
        let (status, body) = self.page(token, "GET", &format!("/v1/agents/{AGENT}/messages"), "");
        let answer: Value = serde_json::from_str(&body).unwrap();
        (status, answer.get("reason").cloned().unwrap_or_default())
    }

    /// The page sends a message; what it says steers the reply.
    fn say(&self, token: &str, text: &str, streams: bool) -> (u16, String) {
        let body = json!({"messages": [{"role": "user", "content": text}], "streaming": streams});
        self.page(token, "POST", &format!("/v1/agents/{AGENT}/messages"), &body.to_string())
    }

    /// A request to `/dev` with the key: the status, and the answer.
    fn control(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, answer) = self.request(method, path, KEY, body);
        (status, serde_json::from_str(&answer).unwrap())
    }

    /// The whole start screen.
    fn screen(&self) -> String {
        wait_until("the start screen is whole", || self.log().contains("Ctrl-C ends it."));
        self.log()
    }

    fn fault(&self, body: &str) {
        let (status, answer) = self.control("POST", "/dev/fault", body);
        assert_eq!(status, 200, "{answer}");
    }

    /// The requests in the log.
    fn requests(&self) -> Vec<Value> {
        let (status, mut answer) = self.control("GET", "/dev/log", "");
        assert_eq!(status, 200, "{answer}");
        answer["requests"].as_array_mut().unwrap().split_off(0)
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("`{name}` in {value}")).to_owned()
}
