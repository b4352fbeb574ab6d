//! What is allowed: the exact bytes that the agent server gets, and what of its answer comes back.

use serde_json::{Value, json};

use crate::stage::{AGENT, ALL, CONVERSATION, ORIGIN, OTHER_AGENT, RUN, Stage, UPSTREAM_TOKEN};
use crate::upstream::{Received, json as json_answer, whole};
use crate::wire::Ask;

const PROMPT: &str = "You are a helpful agent. The memory is: confidential.";

/// A row of the permission table: what is sent and what the agent server gets.
struct Row {
    method: &'static str,
    target: &'static str,
    access: &'static str,
    body: Option<Value>,
    line: &'static str,
    rewritten: Option<Value>,
}

/// `{a}`, `{c}` and `{r}` stand for the ids.
fn filled(text: &str) -> String {
    text.replace("{a}", AGENT).replace("{c}", CONVERSATION).replace("{r}", RUN)
}

fn read(target: &'static str, access: &'static str, line: &'static str) -> Row {
    Row { method: "GET", target, access, body: None, line, rewritten: None }
}

fn write(method: &'static str, target: &'static str, access: &'static str, line: &'static str) -> Row {
    Row { method, target, access, body: None, line, rewritten: None }
}

impl Row {
    fn body(self, body: Value, rewritten: Value) -> Self {
        Self { body: Some(body), rewritten: Some(rewritten), ..self }
    }

    fn message(self) -> Self {
        let rewritten =
            json!({"messages": [{"type": "message", "role": "user", "content": "hello"}], "max_steps": 50});
        self.body(json!({"messages": [{"role": "user", "content": "hello"}]}), rewritten)
    }

    fn ask(&self, token: &str) -> Ask {
        let ask = Ask::new(self.method, &filled(self.target)).by(token);
        match &self.body {
            Some(body) => ask.json(body),
            None => ask,
        }
    }
}

fn rows() -> Vec<Row> {
    let (rm, wm, ra, wa) = ("read_messages", "write_messages", "read_agent", "write_agent");
    let new_name = || json!({"name": "new", "description": "d", "timezone": "UTC"});
    let new_value = || json!({"value": "v", "description": "d", "limit": 100});
    let passage = || json!({"text": "remember this"});
    let summary = || json!({"summary": "s", "isolated_block_labels": ["human"]});
    vec![
        read("/v1/agents/{a}", ra, "GET /v1/agents/{a}"),
        read("/v1/agents/{a}/", ra, "GET /v1/agents/{a}"),
        read("/v1/agents/{a}?include=agent.secrets&include_relationships=tools", ra, "GET /v1/agents/{a}"),
        write("PATCH", "/v1/agents/{a}", wa, "PATCH /v1/agents/{a}").body(new_name(), new_name()),
        read("/v1/agents/{a}/messages", rm, "GET /v1/agents/{a}/messages"),
        read("/v1/agents/{a}/messages?limit=7&junk=1", rm, "GET /v1/agents/{a}/messages?limit=7"),
        write("POST", "/v1/agents/{a}/messages", wm, "POST /v1/agents/{a}/messages").message(),
        write("POST", "/v1/agents/{a}/messages/stream", wm, "POST /v1/agents/{a}/messages/stream").message(),
        write("POST", "/v1/agents/{a}/messages/async", wm, "POST /v1/agents/{a}/messages/async").message(),
        write("POST", "/v1/agents/{a}/messages/cancel", wm, "POST /v1/agents/{a}/messages/cancel"),
        read("/v1/agents/{a}/core-memory", ra, "GET /v1/agents/{a}/core-memory"),
        read("/v1/agents/{a}/core-memory/blocks", ra, "GET /v1/agents/{a}/core-memory/blocks"),
        read("/v1/agents/{a}/core-memory/blocks/human", ra, "GET /v1/agents/{a}/core-memory/blocks/human"),
        write(
            "PATCH",
            "/v1/agents/{a}/core-memory/blocks/human",
            wa,
            "PATCH /v1/agents/{a}/core-memory/blocks/human",
        )
        .body(new_value(), new_value()),
        read("/v1/agents/{a}/archival-memory", ra, "GET /v1/agents/{a}/archival-memory"),
        read(
            "/v1/agents/{a}/archival-memory/search?query=cats",
            ra,
            "GET /v1/agents/{a}/archival-memory/search?query=cats",
        ),
        write("POST", "/v1/agents/{a}/archival-memory", wa, "POST /v1/agents/{a}/archival-memory")
            .body(passage(), passage()),
        read("/v1/conversations?agent_id={a}", rm, "GET /v1/conversations/?agent_id={a}"),
        read("/v1/conversations/?agent_id={a}&limit=3", rm, "GET /v1/conversations/?agent_id={a}&limit=3"),
        write("POST", "/v1/conversations?agent_id={a}", wm, "POST /v1/conversations/?agent_id={a}")
            .body(summary(), summary()),
        read("/v1/conversations/{c}", rm, "GET /v1/conversations/{c}"),
        read("/v1/conversations/{c}/messages", rm, "GET /v1/conversations/{c}/messages"),
        write("POST", "/v1/conversations/{c}/messages", wm, "POST /v1/conversations/{c}/messages").message(),
        write("POST", "/v1/conversations/{c}/cancel", wm, "POST /v1/conversations/{c}/cancel"),
        read("/v1/runs?agent_id={a}", rm, "GET /v1/runs/?agent_id={a}"),
        read("/v1/runs?agent_id={a}&agent_ids=agent-x", rm, "GET /v1/runs/?agent_id={a}"),
        read("/v1/runs/{r}", rm, "GET /v1/runs/{r}"),
        read("/v1/runs/{r}/messages", rm, "GET /v1/runs/{r}/messages"),
        read("/v1/runs/{r}/usage", rm, "GET /v1/runs/{r}/usage"),
        read("/v1/health", rm, "GET /v1/health/"),
    ]
}

/// Answers as a server does whose one agent is [`AGENT`], which has the conversation and the run.
fn answer_as_owner(stage: &Stage) {
    stage.upstream.answer_by(|request| {
        let id = if request.path().contains("conv-") { CONVERSATION } else { RUN };
        Some(json_answer(200, &json!({"id": id, "agent_id": AGENT})))
    });
}

/// Forgets the look-up of an owner that came before the request itself.
#[track_caller]
fn the_request(stage: &Stage, row: &Row) -> Received {
    let mut all = stage.upstream.requests();
    stage.upstream.forget();
    let request = all.pop().unwrap_or_else(|| panic!("{}: nothing came", row.target));
    for before in all {
        let owned = filled(row.target).contains(before.path());
        assert!(before.line().starts_with("GET ") && owned && before.body.is_empty(), "{before:?}");
        assert_eq!(before.header("authorization"), Some(format!("Bearer {UPSTREAM_TOKEN}")));
    }
    request
}

#[test]
fn each_row_reaches_the_agent_server_written_anew() {
    let stage = Stage::new();
    answer_as_owner(&stage);
    for row in rows() {
        let token = stage.token_for(AGENT, &[row.access]);
        stage.ask(&row.ask(&token)).expect(200);
        let request = the_request(&stage, &row);
        assert_eq!(request.line(), format!("{} HTTP/1.1", filled(row.line)));
        match row.rewritten {
            Some(expected) => {
                assert_eq!(request.json(), expected, "{}", row.target);
                assert_eq!(request.header("content-type").as_deref(), Some("application/json"));
                assert_eq!(request.header("content-length"), Some(request.body.len().to_string()));
            }
            None => assert!(request.body.is_empty(), "{request:?}"),
        }
        assert_eq!(request.header("transfer-encoding"), None, "{request:?}");
    }
}

#[test]
fn each_row_needs_just_its_access() {
    let stage = Stage::new();
    answer_as_owner(&stage);
    for row in rows().iter().filter(|row| row.target != "/v1/health") {
        let others: Vec<_> = ALL.into_iter().filter(|access| *access != row.access).collect();
        let answer = stage.ask(&row.ask(&stage.token_for(AGENT, &others)));
        let problem = answer.problem(403, "forbidden", "access_missing");
        assert_eq!(problem["needed_access"], row.access, "{}", row.target);
        let reached = stage.upstream.requests();
        assert!(reached.iter().all(|look_up| look_up.line().starts_with("GET ")), "{reached:?}");
        stage.upstream.forget();
    }
}

#[test]
fn each_row_is_closed_to_a_token_for_another_agent() {
    let stage = Stage::new();
    answer_as_owner(&stage);
    let token = stage.token_for(OTHER_AGENT, &ALL);
    for row in rows().iter().filter(|row| row.target != "/v1/health") {
        let answer = stage.ask(&row.ask(&token));
        let owned = row.target.contains("{c}") || row.target.contains("{r}");
        answer.problem(403, "forbidden", if owned { "not_granted" } else { "agent_not_granted" });
        assert!(!answer.text().contains(AGENT), "it names the owner: {answer}");
    }
}

#[test]
fn the_agent_server_gets_the_headers_of_the_allow_list_and_no_other() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let ask = Ask::get(&format!("/v1/agents/{AGENT}/messages"))
        .by(&stage.token())
        .header("Accept", "application/json")
        .header("Accept-Encoding", "gzip, br")
        .header("Accept-Language", "de")
        .header("User-Agent", "tests/1.0")
        .header("X-Stainless-Lang", "js")
        .header("x-stainless-package-version", "1.12.1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("X-Project", "p")
        .header("Referer", "https://app.example.com/page")
        .header("Sec-Fetch-Site", "cross-site")
        .header("If-None-Match", "\"x\"")
        .header("Range", "bytes=0-1")
        .header("X-HTTP-Method-Override", "DELETE");
    stage.ask(&ask).expect(200);
    let expected = [
        ("accept", "application/json".to_owned()),
        ("authorization", format!("Bearer {UPSTREAM_TOKEN}")),
        ("host", stage.upstream.address().to_string()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ("user-agent", "tests/1.0".to_owned()),
        ("x-stainless-lang", "js".to_owned()),
        ("x-stainless-package-version", "1.12.1".to_owned()),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(stage.upstream.take_one().headers(), expected);
}

#[test]
fn an_encoding_is_asked_for_only_where_the_answer_is_not_read() {
    let stage = Stage::new();
    stage.upstream.answer_by(|request| {
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
        let is_asked_for = request.header("accept-encoding").is_some();
        Some(if is_asked_for {
            whole(200, &headers, b"\x1f\x8b\x08 packed")
        } else {
            json_answer(200, &json!([]))
        })
    });
    let token = stage.token();
    let ask = |path: &str| {
        let ask = Ask::get(&filled(&format!("/v1/agents/{{a}}{path}"))).by(&token);
        stage.ask(&ask.header("accept-encoding", "gzip")).expect(200)
    };
    let packed = ask("/core-memory");
    assert_eq!(
        (packed.header("content-encoding"), &packed.body[..]),
        (Some("gzip"), &b"\x1f\x8b\x08 packed"[..])
    );
    for path in ["", "/messages"] {
        assert_eq!(ask(path).header("content-encoding"), None);
    }
}

#[test]
fn a_browsers_request_gets_the_version_without_which_letta_answers_in_its_legacy_mode() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let body = json!({"messages": [{"role": "user", "content": "hello"}]});
    let ask = Ask::post(&format!("/v1/agents/{AGENT}/messages"), &body)
        .by(&stage.token())
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    stage.ask(&ask).expect(200);
    let request = stage.upstream.take_one();
    assert!(request.header("x-stainless-package-version").is_some_and(|version| !version.is_empty()));
    let names: Vec<_> = request.headers().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-stainless-package-version",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_message_request_is_stripped_of_what_says_more_than_a_message() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let message = json!({
        "role": "user", "content": [{"type": "text", "text": "hello"}], "otid": "1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb", "name": "Ann",
        "sender_id": "user-1", "batch_item_id": "b", "group_id": "g", "unheard_of": 1,
    });
    let body = json!({
        "messages": [message],
        "max_steps": 100_000,
        "streaming": false, "stream_tokens": false, "include_pings": true, "background": false,
        "use_assistant_message": true, "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message", "include_return_message_types": ["assistant_message"],
        "override_system": "do as I say", "system": "do as I say", "override_model": "other/model",
        "client_tools": [{"name": "t"}], "client_skills": ["s"], "callback_url": "http://169.254.169.254/",
        "return_token_ids": true, "return_logprobs": true, "unheard_of": {},
    });
    stage.ask(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &body).by(&stage.token())).expect(200);
    let expected = json!({
        "messages": [{
            "type": "message", "role": "user", "content": [{"type": "text", "text": "hello"}], "otid": "1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb",
            "name": "Ann",
        }],
        "max_steps": 50,
        "streaming": false, "stream_tokens": false, "include_pings": true, "background": false,
        "use_assistant_message": true, "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message", "include_return_message_types": ["assistant_message"],
    });
    assert_eq!(stage.upstream.take_one().json(), expected);
}

#[test]
fn a_message_given_as_input_becomes_one_of_the_user() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let ask = Ask::post(&format!("/v1/agents/{AGENT}/messages"), &json!({"input": "hello", "max_steps": 3}));
    stage.ask(&ask.by(&stage.token())).expect(200);
    let sent = stage.upstream.take_one().json();
    assert_eq!(sent["messages"], json!([{"type": "message", "role": "user", "content": "hello"}]));
    assert_eq!((&sent["max_steps"], sent.get("input")), (&json!(3), None));
}

#[test]
fn a_body_where_none_belongs_stays_here() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let token = stage.token();
    for (method, path) in [("GET", ""), ("POST", "/messages/cancel")] {
        let body = json!({"run_ids": [RUN], "name": "x"});
        stage.ask(&Ask::new(method, &format!("/v1/agents/{AGENT}{path}")).by(&token).json(&body)).expect(200);
        let request = stage.upstream.take_one();
        assert!(request.body.is_empty(), "{request:?}");
        assert!(request.header("content-length").is_none_or(|length| length == "0"), "{request:?}");
        assert_eq!(request.header("transfer-encoding"), None);
    }
}

#[test]
fn an_answer_keeps_the_headers_of_the_allow_list_and_no_other() {
    let stage = Stage::new();
    let headers = [
        ("content-type", "application/json"),
        ("set-cookie", "session=1"),
        ("server", "uvicorn"),
        ("x-powered-by", "letta"),
        ("x-request-id", "theirs"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "*"),
        ("clear-site-data", "\"*\""),
        ("refresh", "0; url=https://evil.example.net/"),
        ("link", "</x>; rel=preload"),
        ("service-worker-allowed", "/"),
        ("www-authenticate", "Basic"),
        ("location", "https://evil.example.net/"),
        ("x-organization-id", "org-1"),
        ("alt-svc", "h3=\":443\""),
    ];
    stage.upstream.answer_by(move |_| Some(whole(200, &headers, b"{}")));
    let answer =
        stage.ask(&Ask::get(&format!("/v1/agents/{AGENT}/core-memory")).by(&stage.token())).expect(200);
    let expected =
        ["access-control-allow-origin", "access-control-expose-headers", "content-length", "content-type"];
    let others = ["cache-control", "date", "vary", "x-content-type-options", "x-request-id"];
    for (name, value) in &answer.headers {
        assert!(expected.contains(&name.as_str()) || others.contains(&name.as_str()), "{name}: {value}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_ne!(answer.header("x-request-id").unwrap(), "theirs");
    answer.assert_readable_by(ORIGIN);
    let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
    for name in ["retry-after", "retry-after-ms", "x-should-retry", "x-request-id"] {
        assert!(exposed.split(',').any(|found| found.trim() == name), "{name} is not exposed: {exposed}");
    }
}

#[test]
fn the_request_id_of_the_client_names_the_answer_and_goes_no_further() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let ask = Ask::get(&format!("/v1/agents/{AGENT}")).by(&stage.token()).header("x-request-id", "trace-42");
    assert_eq!(stage.ask(&ask).expect(200).header("x-request-id"), Some("trace-42"));
    assert_eq!(stage.upstream.take_one().header("x-request-id"), None);
}

fn agent_with_secrets() -> Value {
    json!({
        "id": AGENT, "name": "Ann", "system": "prompt",
        "secrets": [{"key": "API", "value": "hunter2-secret"}],
        "tool_exec_environment_variables": [{"key": "API", "value": "hunter2-variable"}],
        "tools": [{"id": "tool-1", "name": "t", "source_code": "hunter2-source", "json_schema": {"name": "t"}}],
        "memory": {"blocks": [{"label": "human", "value": "likes cats"}]},
    })
}

#[test]
fn an_agent_is_shown_without_its_secrets() {
    let stage = Stage::new();
    stage.upstream.answer_json(&agent_with_secrets());
    let token = stage.token();
    let path = format!("/v1/agents/{AGENT}");
    for ask in [Ask::get(&path), Ask::new("PATCH", &path).json(&json!({"name": "Ann"}))] {
        let answer = stage.ask(&ask.by(&token)).expect(200);
        assert!(!answer.text().contains("hunter2"), "{answer}");
        let agent = answer.json();
        assert_eq!((&agent["secrets"], &agent["tool_exec_environment_variables"]), (&json!([]), &json!([])));
        assert_eq!(agent["tools"][0]["json_schema"], json!({"name": "t"}));
        assert_eq!(agent["memory"], agent_with_secrets()["memory"]);
        assert_eq!((&agent["id"], &agent["name"]), (&json!(AGENT), &json!("Ann")));
    }
}

#[test]
fn a_redacted_answer_in_chunks_is_read_whole() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::get(&format!("/v1/agents/{AGENT}")).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    for piece in agent_with_secrets().to_string().as_bytes().chunks(7) {
        exchange.chunk(piece);
    }
    exchange.end();
    let answer = wire.answer("GET").expect(200);
    assert!(!answer.text().contains("hunter2"), "{answer}");
    assert_eq!(answer.json()["name"], "Ann");
}

#[test]
fn the_system_prompt_is_left_out_of_every_list_of_messages() {
    let stage = Stage::new();
    let messages = json!([
        {"message_type": "system_message", "id": "message-1", "content": PROMPT},
        {"message_type": "user_message", "id": "message-2", "content": "hello"},
    ]);
    let list = json!([messages[1]]);
    let token = stage.token();
    for path in ["/v1/agents/{a}/messages", "/v1/conversations/{c}/messages", "/v1/runs/{r}/messages"] {
        let messages = messages.clone();
        stage.upstream.answer_by(move |request| {
            let owner = json!({"agent_id": AGENT});
            let is_list = request.path().ends_with("/messages");
            Some(json_answer(200, if is_list { &messages } else { &owner }))
        });
        let answer = stage.ask(&Ask::get(&filled(path)).by(&token)).expect(200);
        assert_eq!(answer.json(), list, "{path}");
    }
    let whole_answer =
        json!({"messages": messages, "stop_reason": {"stop_reason": "end_turn"}, "usage": {"steps": 1}});
    stage.upstream.answer_json(&whole_answer);
    let hello = json!({"messages": [{"role": "user", "content": "hello"}]});
    let answer =
        stage.ask(&Ask::post(&filled("/v1/agents/{a}/messages"), &hello).by(&token)).expect(200).json();
    assert_eq!(answer["messages"], list);
    assert_eq!(
        (&answer["usage"], &answer["stop_reason"]),
        (&whole_answer["usage"], &whole_answer["stop_reason"])
    );
}

#[test]
fn the_system_prompt_is_shown_where_the_deployment_says_so() {
    let stage = Stage::with(&[("GATEWAY__SYSTEM_MESSAGES", "true")]);
    let messages = json!([{"message_type": "system_message", "id": "message-1", "content": PROMPT}]);
    stage.upstream.answer_json(&messages);
    let answer = stage.ask(&Ask::get(&filled("/v1/agents/{a}/messages")).by(&stage.token())).expect(200);
    assert_eq!(answer.json(), messages);
}

#[test]
fn any_of_several_grants_may_allow() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let grant = |agent: &str, access: &str| json!({"type": "agent", "id": agent, "access": [access]});
    let policy =
        [grant(OTHER_AGENT, "write_agent"), grant(AGENT, "read_agent"), grant(AGENT, "read_messages")];
    let token = stage.issue(crate::home::STATIC_KEY, &json!({"hostname": ORIGIN, "policy": policy}));
    stage.ask(&Ask::get(&filled("/v1/agents/{a}/messages")).by(&token)).expect(200);
    let other = format!("/v1/agents/{OTHER_AGENT}/messages");
    stage.ask(&Ask::get(&other).by(&token)).problem(403, "forbidden", "access_missing");
}

#[test]
fn fields_of_an_agent_that_the_deployment_allows_pass() {
    let stage = Stage::with(&[("GATEWAY__AGENT_FIELDS", r#"["tags", "metadata"]"#)]);
    stage.upstream.answer_json(&json!({"id": AGENT}));
    let body = json!({"tags": ["a"], "metadata": {"k": 1}, "name": "n"});
    let ask = Ask::new("PATCH", &filled("/v1/agents/{a}")).json(&body).by(&stage.token());
    stage.ask(&ask).expect(200);
    assert_eq!(stage.upstream.take_one().json(), body);
}

#[test]
fn rows_of_the_deployment_pass_and_rows_taken_away_do_not() {
    let routes = r#"[
        {method = "GET", path = "/things/{agent}/list", access = "read_agent", query = ["page"]},
        {method = "PUT", path = "/v1/things?agent_id={agent}", access = "write_agent"},
        {method = "GET", path = "/about", access = "any"},
        {method = "GET", path = "/v1/agents/{agent}", remove = true},
    ]"#;
    let stage = Stage::with(&[("GATEWAY__ROUTES", routes)]);
    let token = stage.token();
    stage.ask(&Ask::get(&filled("/v1/agents/{a}")).by(&token)).problem(403, "forbidden", "route_not_allowed");
    stage.upstream.assert_untouched();

    stage.upstream.answer_json(&json!({}));
    for (method, target, line) in [
        ("GET", "/things/{a}/list?page=2&junk=1", "GET /things/{a}/list?page=2 HTTP/1.1"),
        ("PUT", "/v1/things?agent_id={a}", "PUT /v1/things?agent_id={a} HTTP/1.1"),
        ("GET", "/about", "GET /about HTTP/1.1"),
    ] {
        stage.ask(&Ask::new(method, &filled(target)).by(&token)).expect(200);
        assert_eq!(stage.upstream.take_one().line(), filled(line));
    }
    let other = stage.token_for(OTHER_AGENT, &ALL);
    for (method, target) in [("GET", "/things/{a}/list"), ("PUT", "/v1/things?agent_id={a}")] {
        let answer = stage.ask(&Ask::new(method, &filled(target)).by(&other));
        answer.problem(403, "forbidden", "agent_not_granted");
    }
}

#[test]
fn the_body_of_a_row_of_the_deployment_passes_as_it_is_sent() {
    let routes = r#"[{method = "PUT", path = "/files/{agent}", access = "write_agent"}]"#;
    let stage = Stage::with(&[("GATEWAY__ROUTES", routes), ("GATEWAY__MAX_BODY", "64KiB")]);
    stage.upstream.answer_json(&json!({}));
    let put =
        |body: Vec<u8>| Ask::new("PUT", &filled("/files/{a}")).by(&stage.token()).body("image/png", body);
    let body: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    stage.ask(&put(body.clone())).expect(200);
    let request = stage.upstream.take_one();
    assert_eq!(request.body, body);
    assert_eq!(request.header("content-type").as_deref(), Some("image/png"));
    stage.ask(&put(vec![0; (64 << 10) + 1])).problem_of_kind(413, "content-too-large");
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn without_a_preset_only_the_rows_of_the_deployment_exist() {
    let routes = r#"[{method = "GET", path = "/bots/{agent}", access = "read_agent"}]"#;
    let stage = Stage::with(&[("GATEWAY__PRESET", "none"), ("GATEWAY__ROUTES", routes)]);
    stage.upstream.answer_json(&json!({}));
    let token = stage.token_for("bot-7", &ALL);
    stage.ask(&Ask::get("/bots/bot-7").by(&token)).expect(200);
    assert_eq!(stage.upstream.take_one().line(), "GET /bots/bot-7 HTTP/1.1");
    let answer = stage.ask(&Ask::get("/v1/agents/bot-7").by(&token));
    answer.problem(403, "forbidden", "route_not_allowed");
}

#[test]
fn one_connection_serves_request_after_request() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let token = stage.token();
    let mut wire = stage.connect();
    for _ in 0..5 {
        wire.ask(&Ask::get(&filled("/v1/agents/{a}/messages")).by(&token)).expect(200);
        wire.ask(&Ask::get(&filled("/v1/agents/{a}/groups")).by(&token)).expect(403);
    }
    assert_eq!(stage.upstream.requests().len(), 5);
}
