//! Streams of events: each leaves when it comes, none is cut in two, and whoever loses the right to listen is
//! cut off within a second. And the limits of what one token may keep busy.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::forge::Forge;
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, Stage};
use crate::upstream::{Exchange, whole};
use crate::wire::{Ask, Wire};
use crate::{PATIENCE, until};

/// A cut comes at most this long after what caused it.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// With the second within which a server notices what commands do.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

fn path() -> String {
    format!("/v1/agents/{AGENT}/messages/stream")
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}]})
}

/// A message as an event's data.
fn message(text: &str) -> Value {
    json!({"message_type": "assistant_message", "content": text})
}

/// A stream that has begun: the client has the first event.
struct Open {
    wire: Wire,
    exchange: Exchange,
}

/// Opens a stream. The client's connection is left with the answer's body to come.
#[track_caller]
fn open(stage: &Stage, token: &str) -> Open {
    let mut wire = stage.connect();
    wire.write(&Ask::post(&path(), &hello()).by(token).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin_events();
    Open { wire, exchange }
}

#[test]
fn each_event_is_here_before_the_next_is_sent() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let mut stream = wire.begin("POST");
    assert_eq!(stream.answer.status, 200, "{}", stream.answer);
    assert_eq!(stream.answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(stream.answer.header("cache-control"), Some("no-cache"));
    assert_eq!(stream.answer.header("x-accel-buffering"), Some("no"));
    stream.answer.assert_readable_by(ORIGIN);
    for n in 0..20 {
        exchange.event(&message(&n.to_string()));
        assert_eq!(stream.event(), format!("data: {}", message(&n.to_string())));
    }
    exchange.chunk("data: [DONE]\n\n");
    assert_eq!(stream.event(), "data: [DONE]");
    exchange.end();
    assert_eq!(stream.try_event(), None);
}

#[test]
fn events_that_come_together_leave_together_and_in_order() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let events: Vec<_> = (0..500).map(|n| format!("data: {}", message(&n.to_string()))).collect();
    exchange.chunk(events.join("\n\n") + "\n\n");
    exchange.end();
    let mut stream = wire.begin("POST");
    let got: Vec<_> = std::iter::from_fn(|| stream.try_event()).collect();
    assert_eq!(got, events);
}

#[test]
fn an_event_in_pieces_arrives_whole() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let event = format!("event: message\nid: 7\ndata: {}\n\n", message("grüße"));
    for byte in event.as_bytes() {
        exchange.chunk([*byte]);
    }
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), event.trim_end());
    exchange.end();
    assert_eq!(stream.try_event(), None);
}

#[test]
fn a_large_event_passes() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let large = message(&"x".repeat(300_000));
    exchange.event(&large);
    exchange.event(&message("after"));
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), format!("data: {large}"));
    assert_eq!(stream.event(), format!("data: {}", message("after")));
}

#[test]
fn comments_and_other_line_ends_are_events_too() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    exchange.chunk(": ping\n\n");
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), ": ping");
    exchange.chunk(format!("data: {}\r\n\r\n", message("crlf")));
    exchange.event(&message("last"));
    let mut rest = String::new();
    while !rest.contains("last") {
        rest.push_str(&String::from_utf8(stream.piece().unwrap().unwrap()).unwrap());
    }
    assert!(rest.contains("crlf"), "{rest}");
}

#[test]
fn the_system_prompt_is_left_out_of_a_stream() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let prompt = json!({"message_type": "system_message", "content": "the whole prompt"});
    let hidden = format!("data: {prompt}\n\n");
    // At once, in two pieces, spelled otherwise, in several lines, and right before another.
    exchange.chunk(&hidden);
    exchange.chunk(&hidden[..30]);
    exchange.chunk(&hidden[30..]);
    exchange.chunk(
        r#"data:{"content":"the whole prompt","message_type":"system\u005fmessage"}"#.to_owned() + "\n\n",
    );
    exchange
        .chunk("data: {\"message_type\":\ndata: \"system_message\",\"content\":\"the whole prompt\"}\n\n");
    exchange.chunk(format!("data: {prompt}\r\n\r\n"));
    exchange.chunk(format!("data: {prompt}\r\r"));
    exchange.chunk(format!("id: 1\nevent: message\nretry: 5\n: ping\n{hidden}"));
    exchange.chunk(format!("{hidden}data: {}\n\n", message("visible")));
    let mut stream = wire.begin("POST");
    let mut got = String::new();
    while !got.contains("visible") {
        got.push_str(&stream.event());
    }
    assert!(!got.contains("whole prompt"), "{got}");
}

#[test]
fn a_mark_at_the_beginning_hides_nothing() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let prompt = json!({"message_type": "system_message", "content": "the whole prompt"});
    // Readers of streams drop a byte order mark (WHATWG HTML, section 9.2.5).
    exchange.chunk(format!("\u{feff}data: {prompt}\n\n"));
    exchange.event(&message("visible"));
    let mut stream = wire.begin("POST");
    let first = stream.event();
    assert!(!first.contains("whole prompt"), "{first}");
}

#[test]
fn an_error_of_the_agent_server_within_a_stream_passes() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    let event = r#"event: error"#.to_owned() + "\ndata: {\"error\":{\"type\":\"llm_error\"}}";
    exchange.chunk(format!("{event}\n\n"));
    exchange.end();
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), event);
    assert_eq!(stream.try_event(), None);
}

/// Has a stream cut by `cause` while an event is half sent, and returns the problem it ends with.
#[track_caller]
fn cut(stage: &Stage, token: &str, within: Duration, cause: impl FnOnce()) -> Value {
    let Open { mut wire, mut exchange } = open(stage, token);
    exchange.event(&message("whole"));
    exchange.chunk("data: {\"message_type\":\"assistant_message\",\"content\":\"ha");
    let mut stream = wire.begin("POST");
    assert_eq!(stream.event(), format!("data: {}", message("whole")));
    cause();
    let caused = Instant::now();
    let problem = stream.last_problem();
    let took = caused.elapsed();
    assert!(took < within, "cut only after {took:?}");
    exchange.assert_abandoned_within(within);
    problem
}

#[test]
fn deleting_a_token_cuts_its_streams() {
    let stage = Stage::new();
    let token = stage.token();
    let problem = cut(&stage, &token, CUT_WITHIN, || stage.delete(&token));
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("token_revoked"), &json!(401)), "{problem}");
    assert!(problem["type"].as_str().unwrap().ends_with("/errors/invalid-token"));
}

#[test]
fn deleting_a_token_cuts_a_stream_that_is_silent() {
    let stage = Stage::new();
    let token = stage.token();
    let Open { mut wire, mut exchange } = open(&stage, &token);
    let mut stream = wire.begin("POST");
    stage.delete(&token);
    let deleted = Instant::now();
    assert_eq!(stream.last_problem()["reason"], "token_revoked");
    assert!(deleted.elapsed() < CUT_WITHIN);
    exchange.assert_abandoned_within(CUT_WITHIN);
}

#[test]
fn deleting_a_token_cuts_all_of_its_streams_and_no_other() {
    let stage = Stage::new();
    let (token, other) = (stage.token(), stage.token());
    let mut cut: Vec<_> = (0..4).map(|_| open(&stage, &token)).collect();
    let Open { mut wire, mut exchange } = open(&stage, &other);
    stage.delete(&token);
    let deleted = Instant::now();
    for open in &mut cut {
        assert_eq!(open.wire.begin("POST").last_problem()["reason"], "token_revoked");
    }
    assert!(deleted.elapsed() < CUT_WITHIN);
    exchange.event(&message("still here"));
    assert_eq!(wire.begin("POST").event(), format!("data: {}", message("still here")));
}

#[test]
fn revoking_a_token_by_oauth_and_by_command_cuts_too() {
    let stage = Stage::new();
    let token = stage.token();
    let body = format!("token={token}");
    let revoke =
        Ask::new("POST", "/oauth/revoke").body("application/x-www-form-urlencoded", body).bearer(STATIC_KEY);
    let problem = cut(&stage, &token, CUT_WITHIN, || drop(stage.ask(&revoke).expect(200)));
    assert_eq!(problem["reason"], "token_revoked");
    let token = stage.token();
    let problem = cut(&stage, &token, NOTICED_WITHIN, || drop(stage.home.run(&["token", "revoke", "--all"])));
    assert_eq!(problem["reason"], "token_revoked");
}

#[test]
fn revoking_an_api_key_cuts_the_streams_of_its_tokens() {
    let stage = Stage::new();
    let (id, key) = stage.api_key(&[]);
    let policy = json!([{"type": "agent", "id": AGENT, "access": ["write_messages"]}]);
    let token = stage.issue(&key, &json!({"hostname": ORIGIN, "policy": policy}));
    let problem = cut(&stage, &token, NOTICED_WITHIN, || drop(stage.home.run(&["api-key", "revoke", &id])));
    assert_eq!(problem["reason"], "token_revoked");
}

#[test]
fn destroying_the_key_that_signed_a_token_cuts_its_streams() {
    let stage = Stage::new();
    let token = stage.token();
    let listed = stage.home.run(&["signing-key", "list"]);
    let kid = listed.as_array().unwrap().iter().find(|key| key["state"] == "active").unwrap()["kid"].clone();
    stage.home.run(&["signing-key", "rotate", "--force"]);
    let problem = cut(&stage, &token, NOTICED_WITHIN, || {
        stage.home.run(&["signing-key", "destroy", kid.as_str().unwrap()]);
    });
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("invalid_token"), &json!(401)), "{problem}");
    stage.upstream.forget();
    let ask = Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&token);
    stage.refused(&ask, 401, "invalid-token", "invalid_token");
}

#[test]
fn deleting_a_token_breaks_off_answers_of_other_kinds_too() {
    let stage = Stage::new();
    let token = stage.token();
    let mut wire = stage.connect();
    wire.write(&Ask::get(&format!("/v1/agents/{AGENT}/archival-memory")).by(&token).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    exchange.chunk("[1");
    let mut answer = wire.begin("GET");
    assert_eq!(answer.piece().unwrap().unwrap(), b"[1");
    stage.delete(&token);
    let deleted = Instant::now();
    assert!(answer.piece().is_err(), "half an answer looks whole");
    assert!(deleted.elapsed() < CUT_WITHIN);
    exchange.assert_abandoned_within(CUT_WITHIN);
}

#[test]
fn an_answer_that_is_read_whole_is_not_given_to_a_token_deleted_meanwhile() {
    let stage = Stage::new();
    for (path, body) in [("", json!({"name": "Ann"})), ("/messages", json!([message("for Ann")]))] {
        let token = stage.token();
        let mut wire = stage.connect();
        wire.write(&Ask::get(&format!("/v1/agents/{AGENT}{path}")).by(&token).bytes());
        let mut exchange = stage.upstream.next();
        exchange.begin("application/json");
        let text = body.to_string();
        exchange.chunk(&text[..5]);
        // The gateway has begun to read it, or will find the token deleted when it does.
        stage.delete(&token);
        // It may have been given up already.
        let _ = exchange.try_chunk(&text[5..]).and_then(|()| exchange.try_chunk(""));
        let answer = wire.answer("GET");
        assert!(!answer.text().contains("Ann"), "{answer}");
        answer.problem(401, "invalid-token", "token_revoked");
    }
}

#[test]
fn a_client_that_reads_late_gets_nothing_that_came_after_its_token_went() {
    let stage = Stage::new();
    let token = stage.token();
    let Open { mut wire, mut exchange } = open(&stage, &token);
    let event = format!("data: {}\n\n", message(&"x".repeat(1 << 19)));
    let taken = exchange.chunks_taken(&event, 256);
    assert!(taken < 256, "everything was taken for a client that reads nothing");
    stage.delete(&token);
    let mut stream = wire.begin("POST");
    let mut events: Vec<_> = std::iter::from_fn(|| stream.try_event()).collect();
    let last = events.pop().unwrap();
    assert!(last.starts_with("event: error\n") && last.contains("token_revoked"), "{last}");
    assert!(events.len() <= taken && events.iter().all(|found| *found == event.trim_end()));
    exchange.assert_abandoned_within(CUT_WITHIN);
}

#[test]
fn a_stream_ends_when_its_token_does() {
    let stage = Stage::new();
    // Five seconds of leeway: this one is over in two, give or take the second that it is counted in.
    let token = Forge::of(&stage).expiring_in(-3);
    let problem = cut(&stage, &token, Duration::from_secs(3), || {});
    assert_eq!((&problem["reason"], &problem["status"]), (&json!("token_expired"), &json!(401)), "{problem}");
}

#[test]
fn an_answer_that_has_not_begun_is_given_up_when_its_token_is_deleted() {
    let stage = Stage::new();
    let token = stage.token();
    let mut wire = stage.connect();
    wire.write(&Ask::post(&path(), &hello()).by(&token).bytes());
    let mut exchange = stage.upstream.next();
    stage.delete(&token);
    exchange.begin_events();
    exchange.event(&message("too late"));
    let answer = wire.answer("POST");
    assert!(!answer.text().contains("too late"), "{answer}");
    match answer.status {
        401 => drop(answer.problem(401, "invalid-token", "token_revoked")),
        status => assert!(status == 200 && answer.text().contains("token_revoked"), "{answer}"),
    }
}

#[test]
fn a_client_that_leaves_ends_the_work_behind() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    exchange.event(&message("first"));
    wire.begin("POST").event();
    drop(wire);
    exchange.assert_abandoned_within(CUT_WITHIN);
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_the_work_behind() {
    let stage = Stage::new();
    for target in ["messages/stream", "messages"] {
        let mut wire = stage.connect();
        let ask = Ask::post(&format!("/v1/agents/{AGENT}/{target}"), &hello()).by(&stage.token());
        wire.write(&ask.bytes());
        let mut exchange = stage.upstream.next();
        drop(wire);
        exchange.assert_abandoned_within(CUT_WITHIN);
    }
}

#[test]
fn an_agent_server_that_leaves_in_the_middle_is_told_by_the_answer_breaking_off() {
    let stage = Stage::new();
    for resets in [false, true] {
        let Open { mut wire, mut exchange } = open(&stage, &stage.token());
        exchange.event(&message("whole"));
        exchange.chunk("data: ha");
        let mut stream = wire.begin("POST");
        assert_eq!(stream.event(), format!("data: {}", message("whole")));
        if resets {
            exchange.reset();
        } else {
            drop(exchange);
        }
        // Either an event that says so or a break; half an event never.
        let mut rest = Vec::new();
        let ended_well = loop {
            match stream.piece() {
                Ok(Some(piece)) => rest.extend(piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let rest = String::from_utf8(rest).unwrap();
        assert!(
            rest.is_empty() || (rest.starts_with("event: error\n") && rest.ends_with("\n\n")),
            "{rest:?}"
        );
        assert!(!ended_well || !rest.is_empty(), "it looks like the end of the agent's answer");
    }
}

#[test]
fn a_stop_ends_streams_and_in_time() {
    let stage = Stage::new();
    let Open { mut wire, mut exchange } = open(&stage, &stage.token());
    exchange.event(&message("whole"));
    exchange.chunk("data: ha");
    let mut stream = wire.begin("POST");
    stream.event();
    stage.server.signal("TERM");
    let problem = stream.last_problem();
    assert_eq!(problem["reason"], "stopping", "{problem}");
    stage.server.ends_well();
}

#[test]
fn a_stop_waits_for_an_answer_that_is_on_its_way() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &hello()).by(&stage.token()).bytes());
    let exchange = stage.upstream.next();
    stage.server.signal("TERM");
    stage.server.logged("stopping");
    exchange.answer_json(200, &json!({"messages": [message("done")]}));
    assert!(wire.answer("POST").expect(200).text().contains("done"));
    stage.server.ends_well();
}

#[test]
fn a_stop_does_not_wait_for_an_answer_that_never_comes() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&Ask::post(&path(), &hello()).by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    stage.server.signal("TERM");
    stage.server.ends_well();
    exchange.assert_abandoned_within(CUT_WITHIN);
}

#[test]
fn a_fifth_stream_of_a_token_has_to_wait() {
    let stage = Stage::new();
    let token = stage.token();
    let mut opened: Vec<_> = (0..4).map(|_| open(&stage, &token)).collect();
    for open in &mut opened {
        open.exchange.event(&message("here"));
        open.wire.begin("POST").event();
    }
    let before = stage.upstream.requests().len();
    let answer = stage.ask(&Ask::post(&path(), &hello()).by(&token));
    answer.problem_of_kind(429, "rate-limited");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{answer}");
    answer.assert_readable_by(ORIGIN);
    assert_eq!(stage.upstream.requests().len(), before, "the agent server was bothered");

    // Another token has streams of its own, and one that ends makes room.
    drop(open(&stage, &stage.token()));
    opened.pop().unwrap().exchange.end();
    let done = [("content-type", "text/event-stream")];
    stage.upstream.answer_by(move |_| Some(whole(200, &done, b"data: [DONE]\n\n")));
    let ask = Ask::post(&path(), &hello()).by(&token);
    until("there is room again", PATIENCE, || stage.ask(&ask).status == 200);
}

#[test]
fn a_client_that_leaves_makes_room_for_another_stream() {
    let stage = Stage::with(&[("LIMITS__OPEN_STREAMS", "1")]);
    let token = stage.token();
    for _ in 0..5 {
        let Open { mut wire, mut exchange } = open(&stage, &token);
        exchange.event(&message("here"));
        wire.begin("POST").event();
        stage.ask(&Ask::post(&path(), &hello()).by(&token)).expect(429);
        drop(wire);
        exchange.assert_abandoned_within(CUT_WITHIN);
    }
}

#[test]
fn the_sixty_first_message_of_a_minute_has_to_wait() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let token = stage.token();
    let ask = Ask::post(&format!("/v1/agents/{AGENT}/messages"), &hello()).by(&token);
    let mut wire = stage.connect();
    // One more comes back each second, so a slow machine gets some more through.
    let began = Instant::now();
    let mut passed = 0;
    let refused = loop {
        let answer = wire.ask(&ask);
        if answer.status != 200 {
            break answer;
        }
        passed += 1;
        assert!(passed < 200, "no limit");
    };
    let most = 60 + began.elapsed().as_secs() + 1;
    assert!((60..=most).contains(&passed), "{passed} passed in {:?}", began.elapsed());
    refused.problem_of_kind(429, "rate-limited");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{refused}");
    refused.assert_readable_by(ORIGIN);
    assert_eq!(stage.upstream.requests().len() as u64, passed);

    // Reading isn't limited, and another token has sixty of its own.
    wire.ask(&Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&token)).expect(200);
    wire.ask(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &hello()).by(&stage.token())).expect(200);
}

#[test]
fn a_refused_message_does_not_count() {
    let stage = Stage::with(&[("LIMITS__MESSAGES_PER_MINUTE", "2")]);
    stage.upstream.answer_json(&json!({"messages": []}));
    let token = stage.token();
    let bad = json!({"messages": [{"role": "system", "content": "x"}]});
    for _ in 0..5 {
        stage.ask(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &bad).by(&token)).expect(403);
    }
    stage.ask(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &hello()).by(&token)).expect(200);
}

#[test]
fn no_limit_is_no_limit() {
    let stage = Stage::with(&[("LIMITS__MESSAGES_PER_MINUTE", "0"), ("LIMITS__OPEN_STREAMS", "0")]);
    let token = stage.token();
    let opened: Vec<_> = (0..10).map(|_| open(&stage, &token)).collect();
    stage.upstream.answer_json(&json!({"messages": []}));
    let mut wire = stage.connect();
    for _ in 0..100 {
        wire.ask(&Ask::post(&format!("/v1/agents/{AGENT}/messages"), &hello()).by(&token)).expect(200);
    }
    drop(opened);
}
