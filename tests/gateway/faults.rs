//! An agent server that is down, slow, broken or hostile. Each fault is told so that no client sends the
//! request again, nothing is sent twice, and what can't be read is never passed on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, Stage, UPSTREAM_TOKEN, serve};
use crate::upstream::whole;
use crate::wire::{Ask, Wire};

/// An answer that passes as it is.
fn plain() -> String {
    format!("/v1/agents/{AGENT}/core-memory")
}

/// An answer that is redacted.
fn agent() -> String {
    format!("/v1/agents/{AGENT}")
}

fn messages() -> String {
    format!("/v1/agents/{AGENT}/messages")
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}]})
}

/// A fault of the agent server, of whichever kind.
#[track_caller]
fn assert_some_upstream_fault(answer: &Answer) {
    let kind = answer.json()["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(kind.starts_with("upstream-"), "{answer}");
    answer.upstream_fault(502, &kind);
}

#[test]
fn an_agent_server_that_is_down() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (home, server) = serve(nobody, &[]);
    let upstream = crate::upstream::Upstream::start();
    let stage = Stage { home, server, upstream };
    for ask in [Ask::get(&agent()).by(&stage.token()), Ask::post(&messages(), &hello()).by(&stage.token())] {
        let answer = stage.ask(&ask);
        answer.upstream_fault(502, "upstream-unreachable");
        answer.assert_readable_by(ORIGIN);
        assert!(!answer.text().contains(&nobody.to_string()), "it tells where the agent server is: {answer}");
        let id = answer.header("x-request-id").unwrap();
        crate::until("it is in the log", crate::PATIENCE, || stage.server.text().contains(id));
    }
    stage.ask(&Ask::get("/v1/agents/").bearer(STATIC_KEY)).upstream_fault(502, "upstream-unreachable");
    assert_eq!(stage.ask(&Ask::get("/readyz")).status, 200, "it is this server that is asked for");
}

#[test]
fn an_agent_server_that_is_slow_to_answer() {
    let stage = Stage::with(&[("GATEWAY__ANSWER_TIMEOUT", "1s")]);
    let token = stage.token();
    let mut wire = stage.connect();
    wire.write(&Ask::post(&messages(), &hello()).by(&token).bytes());
    let began = Instant::now();
    let mut exchange = stage.upstream.next();
    let answer = wire.answer("POST");
    answer.upstream_fault(504, "upstream-timeout");
    let took = began.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{took:?}");
    exchange.assert_abandoned_within(Duration::from_secs(1));

    // Half a head is no answer either.
    let mut wire = stage.connect();
    wire.write(&Ask::get(&plain()).by(&token).bytes());
    let mut exchange = stage.upstream.next();
    exchange.write("HTTP/1.1 200 OK\r\ncontent-le");
    wire.answer("GET").upstream_fault(504, "upstream-timeout");
    assert_eq!(stage.upstream.requests().len(), 2);
}

#[test]
fn an_answer_that_has_begun_may_take_its_time() {
    let stage = Stage::with(&[("GATEWAY__ANSWER_TIMEOUT", "1s")]);
    let mut wire = stage.connect();
    wire.write(&Ask::get(&plain()).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    let mut answer = wire.begin("GET");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        exchange.chunk(" ");
        assert_eq!(answer.piece().unwrap().unwrap(), b" ");
    }
    exchange.end();
    assert_eq!(answer.piece().unwrap(), None);
}

/// The connection is the same, and the time of the request before is long over.
#[test]
fn each_request_on_a_kept_connection_has_its_own_time() {
    let stage = Stage::with(&[("GATEWAY__ANSWER_TIMEOUT", "1s")]);
    let ask = Ask::get(&plain()).by(&stage.token());
    let mut wire = stage.connect();
    wire.write(&ask.bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    let mut slow = wire.begin("GET");

    // A second connection, which then waits while the first is busy.
    stage.upstream.answer_json(&json!({"blocks": []}));
    assert_eq!(stage.ask(&ask).status, 200);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        exchange.chunk(" ");
        assert_eq!(slow.piece().unwrap().unwrap(), b" ");
    }
    assert_eq!(stage.ask(&ask).status, 200);
    stage.upstream.answer_by(|_| None);
    let began = Instant::now();
    stage.ask(&ask).upstream_fault(504, "upstream-timeout");
    let took = began.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!((stage.upstream.requests().len(), stage.upstream.connections()), (4, 2));
}

#[test]
fn nothing_is_sent_twice() {
    let stage = Stage::new();
    let token = stage.token();
    for (ask, method) in [
        (Ask::post(&messages(), &hello()).by(&token), "POST"),
        (Ask::get(&plain()).by(&token), "GET"),
        (Ask::post("/v1/agents/", &json!({})).bearer(STATIC_KEY), "POST"),
    ] {
        for resets in [false, true] {
            stage.upstream.forget();
            let mut wire = stage.connect();
            wire.write(&ask.bytes());
            let exchange = stage.upstream.next();
            if resets {
                exchange.reset()
            } else {
                drop(exchange)
            }
            assert_some_upstream_fault(&wire.answer(method));
            assert_eq!(stage.upstream.requests().len(), 1);
        }
    }
}

#[test]
fn nothing_is_sent_twice_on_a_connection_that_was_kept() {
    let stage = Stage::new();
    let token = stage.token();
    stage.upstream.answer_json(&json!({}));
    let mut wire = stage.connect();
    wire.ask(&Ask::get(&plain()).by(&token)).expect(200);
    stage.upstream.answer_by(|_| None);
    stage.upstream.forget();
    wire.write(&Ask::post(&messages(), &hello()).by(&token).bytes());
    // Read, and then the connection is closed without an answer: what was done nobody knows.
    drop(stage.upstream.next());
    assert_some_upstream_fault(&wire.answer("POST"));
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    let stage = Stage::new();
    let token = stage.token();
    for _ in 0..20 {
        let mut wire = stage.connect();
        wire.write(&Ask::get(&plain()).by(&token).bytes());
        // Without a word that it will close.
        let mut exchange = stage.upstream.next();
        exchange.write(whole(200, &[("content-type", "application/json")], b"{}"));
        wire.answer("GET").expect(200);
        drop(exchange);
        // The gateway has seen the end once a whole request of another kind has come and gone.
        stage.ask(&Ask::get("/readyz")).expect(200);
    }
}

#[test]
fn a_connection_to_the_agent_server_is_kept_whatever_form_its_answer_has() {
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    const EVENTS: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let kind = ("content-type", "application/json");
    for (answer, status) in [
        (whole(200, &[kind], b"{}"), 200),
        (format!("{CHUNKED}2\r\n{{}}\r\n0\r\n\r\n").into_bytes(), 200),
        (format!("{EVENTS}9\r\ndata: 1\n\n\r\n0\r\n\r\n").into_bytes(), 200),
        (whole(404, &[kind], b"{\"detail\":\"nobody reads this\"}"), 404),
        (whole(500, &[kind], b"{\"detail\":\"nor this\"}"), 502),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), 204),
    ] {
        let stage = Stage::new();
        let token = stage.token();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        stage.upstream.answer_by(move |_| Some(answer.clone()));
        for _ in 0..3 {
            stage.ask(&Ask::get(&plain()).by(&token)).expect(status);
        }
        assert_eq!((stage.upstream.requests().len(), stage.upstream.connections()), (3, 1), "{shown}");
    }
}

#[test]
fn what_an_agent_server_sends_too_much_reaches_nobody_else() {
    let stage = Stage::new();
    let token = stage.token();
    for _ in 0..5 {
        let mut wire = stage.connect();
        wire.write(&Ask::get(&plain()).by(&token).bytes());
        let mut exchange = stage.upstream.next();
        exchange.write(whole(200, &[("content-type", "application/json")], b"{}"));
        wire.answer("GET").expect(200);
        // On its own, once the answer is through.
        exchange.write(whole(200, &[("content-type", "application/json")], b"{\"of\":\"nobody\"}"));
        stage.ask(&Ask::get("/readyz")).expect(200);
        stage.upstream.answer_json(&json!({"of": "the next"}));
        let next = stage.ask(&Ask::get(&plain()).by(&token));
        assert!(next.text().contains("the next"), "{}", next.text());
        stage.upstream.answer_by(|_| None);
    }
}

#[test]
fn a_refused_api_key_with_a_body_loses_no_request_after_it() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    let key = format!("Bearer {STATIC_KEY}");
    let refused = Ask::post(&messages(), &hello()).header("authorization", &key).header("origin", ORIGIN);
    wire.ask(&refused).expect(403);
    wire.ask(&Ask::get("/healthz")).expect(200);
}

#[test]
fn a_body_that_nobody_needs_loses_no_request_after_it() {
    let stage = Stage::new();
    let token = stage.token();
    for request in [format!("POST /v1/agents/{AGENT}/messages/cancel"), format!("GET {}", plain())] {
        let mut wire = stage.connect();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\norigin: {ORIGIN}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n"
        );
        wire.write(head.as_bytes());
        stage.upstream.next().write(whole(200, &[("content-type", "application/json")], b"{}"));
        wire.write(b"{}");
        wire.answer("GET").expect(200);
        wire.ask(&Ask::get("/healthz")).expect(200);
    }
}

#[test]
fn an_answer_that_is_no_http() {
    let stage = Stage::new();
    let token = stage.token();
    let huge = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\ncontent-length: 2\r\n\r\n{{}}", "x".repeat(4 << 20));
    let many = "x: y\r\n".repeat(10_000);
    for head in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        "HTTP/1.1 abc\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\n{{}}"),
        huge,
    ] {
        for ask in [Ask::get(&plain()).by(&token), Ask::get("/v1/agents/").bearer(STATIC_KEY)] {
            let mut wire = stage.connect();
            wire.write(&ask.bytes());
            let exchange = stage.upstream.next();
            exchange.write_to_end(&head);
            let answer = wire.answer("GET");
            assert_some_upstream_fault(&answer);
        }
    }
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for() {
    let stage = Stage::new();
    for ask in [Ask::get(&plain()).by(&stage.token()), Ask::get("/v1/agents/").bearer(STATIC_KEY)] {
        let mut wire = stage.connect();
        wire.write(&ask.bytes());
        let exchange = stage.upstream.next();
        exchange
            .write_to_end("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
        let answer = wire.answer("GET");
        assert_eq!(answer.status, 502, "{answer}");
        assert_some_upstream_fault(&answer);
    }
}

#[test]
fn an_early_hint_is_not_the_answer() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::get(&plain()).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.write("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    exchange.answer_json(200, &json!({"real": true}));
    assert_eq!(wire.answer("GET").expect(200).json(), json!({"real": true}));
}

#[test]
fn a_second_answer_nobody_asked_for_is_given_to_nobody() {
    let stage = Stage::new();
    let token = stage.token();
    let poison = whole(200, &[("content-type", "application/json")], br#"{"poisoned": true}"#);
    let both = [whole(200, &[("content-type", "application/json")], b"{}"), poison].concat();
    stage.upstream.answer_by(move |request| request.line().contains("core-memory ").then(|| both.clone()));
    for _ in 0..20 {
        let answer = stage.ask(&Ask::get(&plain()).by(&token));
        assert!(!answer.text().contains("poisoned"), "{answer}");
        let mut wire = stage.connect();
        wire.write(&Ask::get(&format!("{}/blocks", plain())).by(&token).bytes());
        stage.upstream.next().answer_json(200, &json!([]));
        assert!(!wire.answer("GET").text().contains("poisoned"));
    }
}

#[test]
fn an_answer_that_breaks_off() {
    let stage = Stage::new();
    let token = stage.token();
    for resets in [false, true] {
        // Where it passes as it comes, the client sees it break off.
        let mut wire = stage.connect();
        wire.write(&Ask::get(&plain()).by(&token).bytes());
        let mut exchange = stage.upstream.next();
        exchange.write(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"half\":",
        );
        let mut answer = wire.begin("GET");
        if resets {
            exchange.reset()
        } else {
            drop(exchange)
        }
        assert!(answer.piece().is_err(), "half an answer looks whole");

        // Where it is redacted, nothing of it is passed.
        let mut wire = stage.connect();
        wire.write(&Ask::get(&agent()).by(&token).bytes());
        let mut exchange = stage.upstream.next();
        exchange.begin("application/json");
        exchange.chunk(r#"{"secrets": ["hunter2"], "#);
        if resets {
            exchange.reset()
        } else {
            drop(exchange)
        }
        let answer = wire.answer("GET");
        assert_some_upstream_fault(&answer);
        assert!(!answer.text().contains("hunter2"), "{answer}");
    }
}

#[test]
fn the_agent_servers_own_refusal_is_not_the_tokens() {
    let stage = Stage::new();
    for status in [401, 403] {
        stage.upstream.answer_by(move |_| {
            let headers = [("www-authenticate", "Basic realm=letta"), ("content-type", "application/json")];
            Some(whole(status, &headers, br#"{"detail":"hunter2: wrong password"}"#))
        });
        for ask in [Ask::get(&agent()), Ask::get(&plain()), Ask::post(&messages(), &hello())] {
            let answer = stage.ask(&ask.by(&stage.token()));
            answer.upstream_fault(502, "upstream-auth");
            assert_eq!(answer.header("www-authenticate"), None, "{answer}");
            assert!(!answer.text().contains("hunter2"), "{answer}");
            answer.assert_readable_by(ORIGIN);
        }
    }
}

#[test]
fn what_the_agent_server_says_of_its_own_failures_stays_here() {
    let stage = Stage::new();
    for status in [500, 502, 503, 504, 599] {
        stage.upstream.answer_by(move |_| {
            let headers = [("content-type", "text/plain"), ("retry-after", "1"), ("x-should-retry", "true")];
            Some(whole(status, &headers, b"Traceback: hunter2 at /app/letta/server.py"))
        });
        for ask in [Ask::get(&agent()), Ask::get(&plain()), Ask::post(&messages(), &hello())] {
            let answer = stage.ask(&ask.by(&stage.token()));
            answer.upstream_fault(502, "upstream-failed");
            assert!(!answer.text().contains("hunter2"), "{answer}");
        }
    }
}

#[test]
fn what_cannot_be_redacted_is_never_passed() {
    let stage = Stage::new();
    let token = stage.token();
    let json = "application/json";
    for (content_type, body) in [
        (json, "hunter2"),
        (json, r#"{"secrets": "hunter2""#),
        (json, r#"{"secrets": []} {"secrets": "hunter2"}"#),
        ("text/html", "<p>hunter2</p>"),
        ("text/plain", r#"hunter2"#),
        ("application/octet-stream", "hunter2"),
    ] {
        stage
            .upstream
            .answer_by(move |_| Some(whole(200, &[("content-type", content_type)], body.as_bytes())));
        for path in [agent(), messages()] {
            let answer = stage.ask(&Ask::get(&path).by(&token));
            answer.upstream_fault(502, "upstream-invalid");
            assert!(!answer.text().contains("hunter2"), "{answer}");
        }
    }
    stage.upstream.answer_by(|_| {
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
        Some(whole(200, &headers, b"\x1f\x8b\x08\x00hunter2"))
    });
    stage.ask(&Ask::get(&agent()).by(&token)).upstream_fault(502, "upstream-invalid");
}

#[test]
fn an_answer_to_be_redacted_that_never_ends_is_given_up() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::get(&agent()).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    exchange.chunk(r#"{"text": ""#);
    let mebibyte = "x".repeat(1 << 20);
    let given_up = (0..512).any(|_| exchange.try_chunk(&mebibyte).is_err());
    assert!(given_up, "it took 512 MiB");
    wire.answer("GET").upstream_fault(502, "upstream-invalid");
}

#[test]
fn events_that_cannot_be_read_are_never_passed() {
    let stage = Stage::new();
    for data in [
        "{\"message_type\": \"system_message\", \"content\": \"hunter2",
        "hunter2",
        "[\"hunter2\"",
        "\"hunter2",
    ] {
        let mut wire = stage.connect();
        wire.write(&Ask::post(&format!("{}/stream", messages()), &hello()).by(&stage.token()).bytes());
        let mut exchange = stage.upstream.next();
        exchange.begin_events();
        exchange.event(&json!({"message_type": "assistant_message", "content": "whole"}));
        exchange.chunk(format!("data: {data}\n\n"));
        let mut stream = wire.begin("POST");
        assert!(stream.event().contains("whole"));
        let problem = stream.last_problem();
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
        exchange.assert_abandoned_within(Duration::from_secs(1));
    }
}

#[test]
fn an_event_that_never_ends_is_given_up() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::post(&format!("{}/stream", messages()), &hello()).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin_events();
    exchange.chunk("data: \"");
    let mebibyte = "x".repeat(1 << 20);
    let given_up = (0..512).any(|_| exchange.try_chunk(&mebibyte).is_err());
    assert!(given_up, "it took 512 MiB");
    let answer = wire.answer("POST");
    assert!(
        answer.text().starts_with("event: error\n") && answer.body.len() < 10_000,
        "{} bytes",
        answer.body.len()
    );
}

#[test]
fn a_client_that_does_not_read_holds_the_agent_server_back() {
    let stage = Stage::new();
    let token = stage.token();
    for (ask, kind) in [
        (Ask::get(&plain()).by(&token), "application/json"),
        (Ask::post(&format!("{}/stream", messages()), &hello()).by(&token), "text/event-stream"),
        (Ask::get("/v1/export").bearer(STATIC_KEY), "application/octet-stream"),
    ] {
        let mut wire = stage.connect();
        wire.write(&ask.bytes());
        let mut exchange = stage.upstream.next();
        exchange.begin(kind);
        let event = format!("data: {}\n\n", json!({"message_type": "m", "content": "x".repeat(1 << 19)}));
        let taken = exchange.chunks_taken(&event, 256);
        // What the sockets hold on both sides, and little more.
        assert!(taken < 64, "{taken} half mebibytes were taken for a client that reads nothing");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_the_agent_server_hears_of_it() {
    let stage = Stage::with(&[("GATEWAY__MAX_BODY", "64KiB")]);
    let token = stage.token();
    let large = json!({"messages": [{"role": "user", "content": "x".repeat(100_000)}]}).to_string();
    let ask = Ask::new("POST", &messages()).by(&token).body("application/json", large.clone());
    let refused = |mut wire: Wire, bytes: &[u8]| {
        // The refusal may come before the rest was read.
        let _ = wire.try_write(bytes);
        let answer = wire.answer("POST");
        answer.problem_of_kind(413, "content-too-large");
        answer.assert_readable_by(ORIGIN);
        stage.upstream.assert_untouched();
    };
    refused(stage.connect(), &ask.bytes());
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\norigin: {ORIGIN}\r\ncontent-type: application/json\r\n",
        messages()
    );
    // By what it announces, and without that by what comes.
    refused(stage.connect(), format!("{head}content-length: 1000000000\r\n\r\n{{").as_bytes());
    let chunked =
        format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    refused(stage.connect(), chunked.as_bytes());

    let small = json!({"messages": [{"role": "user", "content": "x".repeat(60_000)}]});
    stage.upstream.answer_json(&json!({"messages": []}));
    stage.ask(&Ask::post(&messages(), &small).by(&token)).expect(200);
}

#[test]
fn bodies_that_are_announced_and_never_come_keep_nobody_out() {
    let stage = Stage::new();
    let (greedy, token) = (stage.token(), stage.token());
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {greedy}\r\norigin: {ORIGIN}\r\ncontent-type: application/json\r\n",
        messages()
    );
    let wires: Vec<_> = (0..100)
        .map(|_| {
            let mut wire = stage.connect();
            wire.write(format!("{head}content-length: {}\r\n\r\n{{", 8 << 20).as_bytes());
            wire
        })
        .collect();
    stage.upstream.answer_json(&json!({"messages": []}));
    for _ in 0..20 {
        stage.ask(&Ask::post(&messages(), &hello()).by(&token)).expect(200);
    }
    drop(wires);
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_to() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let token = stage.token();
    let body = hello().to_string();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\norigin: {ORIGIN}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        )
    };
    let mut wire = stage.connect();
    wire.write(head(&messages()).as_bytes());
    wire.answer("POST").expect(100);
    wire.write(body.as_bytes());
    wire.answer("POST").expect(200);
    // And who is refused anyway is told that instead.
    let mut wire = stage.connect();
    wire.write(head("/v1/agents/").as_bytes());
    wire.answer("POST").problem(403, "forbidden", "route_not_allowed");
}

#[test]
fn a_photo_passes_as_it_is_sent() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let source = json!({"type": "base64", "media_type": "image/jpeg", "data": "A".repeat(6 << 20)});
    let content = json!([{"type": "text", "text": "what is this?"}, {"type": "image", "source": source}]);
    let body = json!({"messages": [{"role": "user", "type": "message", "content": content}]});
    stage.ask(&Ask::post(&messages(), &body).by(&stage.token())).expect(200);
    assert_eq!(stage.upstream.take_one().json()["messages"][0]["content"], content);
}

#[test]
fn no_fault_tells_the_agent_servers_secret() {
    let stage = Stage::new();
    stage.upstream.answer_by(|request| {
        let echo = request.head.replace("\r\n", " ");
        Some(whole(500, &[("content-type", "text/plain")], echo.as_bytes()))
    });
    let answer = stage.ask(&Ask::get(&agent()).by(&stage.token()));
    assert!(!answer.text().contains(UPSTREAM_TOKEN), "{answer}");
    assert!(!stage.server.text().contains(UPSTREAM_TOKEN), "the log holds the secret");
}
