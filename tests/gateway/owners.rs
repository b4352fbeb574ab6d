//! Whose a conversation or a run is: asked of the agent server, once for all who want to know, and told to
//! nobody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::stage::{AGENT, ALL, CONVERSATION, OTHER_AGENT, RUN, Stage, UPSTREAM_TOKEN};
use crate::upstream::{Received, json as json_answer, whole};
use crate::wire::Ask;
use crate::{PATIENCE, until};

fn conversation() -> String {
    format!("/v1/conversations/{CONVERSATION}")
}

fn in_conversation() -> Ask {
    Ask::get(&format!("{}/messages", conversation()))
}

/// Answers look-ups by `owner` and everything else with an empty list.
fn answer_look_ups(stage: &Stage, owner: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
    stage.upstream.answer_by(move |request| {
        let asks_for_messages = request.path().ends_with("/messages") || request.path().ends_with("/usage");
        Some(if asks_for_messages { json_answer(200, &json!([])) } else { owner() })
    });
}

fn look_ups(stage: &Stage) -> Vec<Received> {
    let ends = [CONVERSATION, RUN];
    stage
        .upstream
        .requests()
        .into_iter()
        .filter(|request| ends.iter().any(|end| request.path().ends_with(end)))
        .collect()
}

#[test]
fn twenty_at_once_ask_once() {
    let stage = Stage::new();
    let token = stage.token();
    stage
        .upstream
        .answer_by(|request| request.path().ends_with("/messages").then(|| json_answer(200, &json!([]))));
    let mut wires: Vec<_> = (0..20).map(|_| stage.connect()).collect();
    for wire in &mut wires {
        wire.write(&in_conversation().by(&token).bytes());
    }
    let look_up = stage.upstream.next();
    // All of them have come: a connection's requests are taken in the order of their coming.
    assert_eq!(stage.ask(&Ask::get("/readyz")).status, 200);
    look_up.answer_json(200, &json!({"id": CONVERSATION, "agent_id": AGENT}));
    for wire in &mut wires {
        wire.answer("GET").expect(200);
    }
    assert_eq!(look_ups(&stage).len(), 1);
    assert_eq!(stage.upstream.requests().len(), 21);
}

#[test]
fn an_owner_is_asked_for_with_the_servers_own_secret_and_nothing_of_the_clients() {
    let stage = Stage::new();
    answer_look_ups(&stage, || json_answer(200, &json!({"agent_id": AGENT})));
    for (ask, line) in [
        (in_conversation(), format!("GET {} HTTP/1.1", conversation())),
        (Ask::get(&format!("/v1/runs/{RUN}/usage")), format!("GET /v1/runs/{RUN} HTTP/1.1")),
    ] {
        stage
            .ask(&ask.by(&stage.token()).header("x-stainless-lang", "js").header("user-agent", "page"))
            .expect(200);
        let look_up = look_ups(&stage).pop().unwrap();
        assert_eq!(look_up.line(), line);
        assert_eq!(look_up.header("authorization"), Some(format!("Bearer {UPSTREAM_TOKEN}")));
        assert!(look_up.body.is_empty() && !look_up.head.contains("page"), "{look_up:?}");
        assert_eq!((look_up.header("origin"), look_up.header("x-stainless-lang")), (None, None));
    }
}

#[test]
fn an_owner_is_remembered() {
    let stage = Stage::new();
    answer_look_ups(&stage, || json_answer(200, &json!({"agent_id": AGENT})));
    for _ in 0..5 {
        stage.ask(&in_conversation().by(&stage.token())).expect(200);
    }
    // For whom it isn't, too: the answer is about the thing and not about the token.
    let other = stage.token_for(OTHER_AGENT, &ALL);
    stage.ask(&in_conversation().by(&other)).problem(403, "forbidden", "not_granted");
    assert_eq!(look_ups(&stage).len(), 1);
}

#[test]
fn an_absence_is_remembered_for_five_seconds() {
    let stage = Stage::new();
    answer_look_ups(&stage, || json_answer(404, &json!({"detail": "no such conversation"})));
    let token = stage.token();
    let began = Instant::now();
    for _ in 0..5 {
        stage.ask(&in_conversation().by(&token)).problem(403, "forbidden", "not_granted");
    }
    let asked = look_ups(&stage).len();
    assert!(asked == 1 || began.elapsed() > Duration::from_secs(4), "{asked} look-ups");
    // It may be made meanwhile.
    answer_look_ups(&stage, || json_answer(200, &json!({"agent_id": AGENT})));
    until("the conversation is found", PATIENCE, || stage.ask(&in_conversation().by(&token)).status == 200);
    assert!(began.elapsed() > Duration::from_secs(4), "after {:?}", began.elapsed());
}

/// What two answers must have in common.
fn comparable(answer: &Answer) -> (Vec<(String, String)>, Value) {
    let varies = ["x-request-id", "date", "content-length"];
    let headers =
        answer.headers.iter().filter(|(name, _)| !varies.contains(&name.as_str())).cloned().collect();
    (headers, answer.json())
}

#[test]
fn what_is_absent_and_what_is_foreign_look_the_same() {
    let stage = Stage::new();
    let absent = "conv-55555555-5555-4555-8555-555555555555";
    stage.upstream.answer_by(move |request| {
        let is_absent = request.path().contains(absent) || request.path().contains("run-6");
        let answer = if is_absent {
            (404, json!({"detail": "none"}))
        } else {
            (200, json!({"agent_id": OTHER_AGENT}))
        };
        Some(json_answer(answer.0, &answer.1))
    });
    let token = stage.token();
    let ask = |target: &str| {
        let answer = stage.ask(&Ask::get(target).by(&token));
        answer.problem(403, "forbidden", "not_granted");
        assert!(!answer.text().contains(OTHER_AGENT), "{answer}");
        answer
    };
    let foreign = ask(&in_foreign(CONVERSATION));
    assert_eq!(comparable(&foreign), comparable(&ask(&in_foreign(absent))));
    // Once it is remembered, too.
    assert_eq!(comparable(&foreign), comparable(&ask(&in_foreign(CONVERSATION))));
    let run = |id: &str| format!("/v1/runs/{id}/usage");
    let (foreign, absent) = (ask(&run(RUN)), ask(&run("run-66666666-6666-4666-8666-666666666666")));
    assert_eq!(comparable(&foreign), comparable(&absent));
    assert!(stage.upstream.requests().iter().all(|request| !request.path().ends_with("/messages")));
}

fn in_foreign(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}/messages")
}

#[test]
fn a_look_up_that_fails_says_nothing_and_is_not_remembered() {
    let stage = Stage::new();
    let token = stage.token();
    let json = [("content-type", "application/json")];
    let failures = [
        (whole(500, &json, b"hunter2"), Some("upstream-failed")),
        (whole(401, &json, b"hunter2"), Some("upstream-auth")),
        (whole(403, &json, b"hunter2"), Some("upstream-auth")),
        (whole(307, &[("location", "/hunter2")], b""), Some("upstream-failed")),
        (whole(200, &json, b"hunter2"), None),
        (whole(200, &json, b"{}"), None),
        (whole(200, &json, br#"{"agent_id": null}"#), None),
        (whole(200, &json, br#"{"agent_id": ["hunter2"]}"#), None),
        (whole(200, &json, b"[]"), None),
        (whole(204, &[], b""), None),
        (whole(422, &json, br#"{"detail": "hunter2"}"#), None),
        (b"hunter2\r\n\r\n".to_vec(), None),
    ];
    for (n, (answer, kind)) in failures.into_iter().enumerate() {
        stage.upstream.answer_by(move |_| Some(answer.clone()));
        let own = format!("conv-33333333-3333-4333-8333-{n:012}");
        let refused = stage.ask(&Ask::get(&format!("/v1/conversations/{own}/messages")).by(&token));
        let found = refused.json()["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        assert!(kind.is_none_or(|kind| kind == found) && found.starts_with("upstream-"), "{refused}");
        refused.upstream_fault(502, &found);
        assert!(!refused.text().contains("hunter2"), "{refused}");
        let passed_on = stage.upstream.requests().iter().any(|request| request.path().ends_with("/messages"));
        assert!(!passed_on, "nobody knows whose it is");
    }
    // Whoever asks right afterwards may be told the same, nobody later.
    stage.upstream.answer_json(&json!({"agent_id": AGENT}));
    let again = Ask::get("/v1/conversations/conv-33333333-3333-4333-8333-000000000000/messages").by(&token);
    until("it is asked again", Duration::from_secs(1), || stage.ask(&again).status == 200);
}

#[test]
fn a_look_up_that_never_ends_is_given_up() {
    let stage = Stage::new();
    let mut wire = stage.connect();
    wire.write(&in_conversation().by(&stage.token()).bytes());
    let mut exchange = stage.upstream.next();
    exchange.begin("application/json");
    exchange.chunk(r#"{"text": ""#);
    let mebibyte = "x".repeat(1 << 20);
    let given_up = (0..512).any(|_| exchange.try_chunk(&mebibyte).is_err());
    assert!(given_up, "it took 512 MiB");
    let answer = wire.answer("GET");
    assert_eq!(answer.status, 502, "{answer}");
}

#[test]
fn nobody_is_asked_for_who_may_do_nothing_there_anyway() {
    let stage = Stage::new();
    answer_look_ups(&stage, || json_answer(200, &json!({"agent_id": AGENT})));
    let token = stage.token();
    let elsewhere = in_conversation().bearer(&token).header("origin", "https://evil.example.net");
    stage.ask(&elsewhere).problem(403, "forbidden", "origin_mismatch");
    let body = json!({"messages": [{"role": "system", "content": "x"}]});
    let bad = Ask::post(&format!("{}/messages", conversation()), &body).by("no.token.here");
    stage.ask(&bad).problem(401, "invalid-token", "invalid_token");
    stage.upstream.assert_untouched();
}
