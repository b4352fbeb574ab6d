//! Requests that two readers could take differently: odd paths, odd framing, headers that try to be others.
//! Each test is named after the attack.

use serde_json::json;

use crate::answer::Answer;
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, OTHER_AGENT, OTHER_ORIGIN, Stage, TOKENS, UPSTREAM_TOKEN};
use crate::wire::Ask;

/// Sends a request for this target with a good token. It must be refused as it stands, by whoever reads it
/// first, and must not reach the agent server.
#[track_caller]
fn assert_target_refused(stage: &Stage, token: &str, target: &str) {
    let mut wire = stage.connect();
    wire.write(&Ask::get(target).by(token).bytes());
    let answer = wire.answer("GET");
    assert_eq!(answer.status, 400, "{target}: {answer}");
    // What isn't even HTTP is refused before there is anything to explain.
    if !answer.body.is_empty() {
        answer.problem(400, "invalid-request", "target_not_valid");
    }
    stage.upstream.assert_untouched();
}

#[track_caller]
fn assert_targets_refused(targets: &[&str]) {
    let (stage, token) = open_stage();
    for target in targets {
        let target = target.replace("{a}", AGENT).replace("{b}", OTHER_AGENT);
        assert_target_refused(&stage, &token, &target);
    }
}

#[test]
fn an_encoded_slash_hides_another_route() {
    assert_targets_refused(&[
        "/v1/agents/{a}%2Fexport",
        "/v1/agents/{a}%2fexport",
        "/v1/agents%2F{a}",
        "/v1%2Fagents/{a}",
        "/%2Fv1/agents/{a}",
        "/v1/agents/{a}/core-memory/blocks/human%2F..%2F..",
    ]);
}

#[test]
fn a_double_encoding_is_decoded_once_too_often() {
    assert_targets_refused(&[
        "/v1/agents/{a}%252Fexport",
        "/v1/agents/{a}/%252e%252e/{b}",
        "/v1/%2561gents/{a}",
        "/v1/agents/{a}%25",
        "/v1/agents/{a}/core-memory/blocks/a%2520b",
    ]);
}

#[test]
fn dot_segments_walk_to_another_agent() {
    assert_targets_refused(&[
        "/v1/agents/{a}/../{b}",
        "/v1/agents/{a}/..",
        "/v1/agents/{a}/.",
        "/v1/./agents/{a}",
        "/v1/agents/{a}/%2e%2e/{b}",
        "/v1/agents/{a}/%2E%2E/{b}",
        "/v1/agents/{a}/.%2e/{b}",
        "/v1/agents/{a}/%2e./{b}",
        "/v1/agents/{a}/core-memory/blocks/..",
        "/v1/agents/{a}/core-memory/blocks/%2e",
        "/../v1/agents/{a}",
    ]);
}

#[test]
fn path_parameters_are_cut_off_by_some_servers() {
    assert_targets_refused(&[
        "/v1/agents/{a};x=1",
        "/v1/agents;x/{a}",
        "/v1/agents/{a}/..;/{b}",
        "/v1/agents/{a}%3Bx",
        "/v1/agents/{a}/core-memory/blocks/human;x",
    ]);
}

#[test]
fn a_backslash_is_a_slash_to_some_servers() {
    assert_targets_refused(&[
        "/v1/agents/{a}\\export",
        "/v1\\agents/{a}",
        "/v1/agents/{a}%5Cexport",
        "\\v1/agents/{a}",
    ]);
}

#[test]
fn overlong_utf_8_hides_a_slash_or_a_dot() {
    assert_targets_refused(&[
        "/v1/agents/{a}%c0%afexport",
        "/v1/agents/{a}%e0%80%afexport",
        "/v1/agents/{a}/%c0%ae%c0%ae/{b}",
        "/v1/agents/{a}/core-memory/blocks/%ff",
        "/v1/agents/{a}/core-memory/blocks/%ef%bc%8f",
        "/v1/agents/{a}/core-memory/blocks/%u002f",
    ]);
}

#[test]
fn empty_segments_are_merged_by_some_servers() {
    assert_targets_refused(&[
        "//v1/agents/{a}",
        "/v1//agents/{a}",
        "/v1/agents//{a}",
        "/v1/agents/{a}//",
        "/v1/agents/{a}//messages",
        "//evil.example.net/v1/agents/{a}",
    ]);
}

#[test]
fn control_characters_and_broken_escapes_end_paths_early() {
    assert_targets_refused(&[
        "/v1/agents/{a}%00",
        "/v1/agents/{a}%0a",
        "/v1/agents/{a}%0d%0ax:%20y",
        "/v1/agents/{a}%09",
        "/v1/agents/{a}%20",
        "/v1/agents/{a}%7f",
        "/v1/agents/{a}%",
        "/v1/agents/{a}%2",
        "/v1/agents/{a}%zz",
        "/v1/agents/{a}%23export",
        "/v1/agents/{a}%3Fexport",
        "/v1/agents/{a}\u{e9}",
        "/v1/agents/{a}\u{0}",
        "/v1/agents/{a}\u{7f}",
        "/v1/agents/{a}\u{1}x",
    ]);
}

#[test]
fn a_fragment_goes_no_further() {
    let (stage, token) = open_stage();
    let path = format!("/v1/agents/{AGENT}/messages");
    for target in [format!("{path}#/../../export"), format!("{path}?limit=1#&limit=2"), format!("{path}#")] {
        let answer = stage.ask(&Ask::get(&target).by(&token));
        if answer.status == 400 {
            stage.upstream.assert_untouched();
            continue;
        }
        answer.expect(200);
        let before = target.split('#').next().unwrap();
        assert_eq!(stage.upstream.take_one().line(), format!("GET {before} HTTP/1.1"));
        stage.upstream.forget();
    }
}

#[test]
fn another_form_of_target_names_another_server() {
    assert_targets_refused(&[
        "http://127.0.0.1/v1/agents/{a}",
        "http://hallpass.test/v1/agents/{a}",
        "https://evil.example.net/v1/agents/{a}",
        "*",
        "v1/agents/{a}",
        "?agent_id={a}",
        "hallpass.test:80",
    ]);
}

#[test]
fn harmless_escapes_reach_the_agent_server_in_plain() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let token = stage.token();
    for target in
        ["/v1/%61gents/{a}/messages", "/%76%31/agents/{a}/messages/", "/v1/agents/{a}/%6Dessages?%6Cimit=%37"]
    {
        stage.ask(&Ask::get(&target.replace("{a}", AGENT)).by(&token)).expect(200);
        let line = stage.upstream.take_one().line().to_owned();
        let query = if target.contains('?') { "?limit=7" } else { "" };
        assert_eq!(line, format!("GET /v1/agents/{AGENT}/messages{query} HTTP/1.1"));
    }
}

#[test]
fn a_query_value_smuggles_another_pair() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!([]));
    let token = stage.token();
    for value in ["1%26agent_id%3Dx", "1%23", "1%0d%0aHost:x", "a+b%2Bc", "%C3%A9", "%25", "1;agent_id=x"] {
        let answer = stage.ask(&Ask::get(&format!("/v1/agents/{AGENT}/messages?before={value}")).by(&token));
        if answer.status == 400 {
            stage.upstream.assert_untouched();
            continue;
        }
        answer.expect(200);
        let line = stage.upstream.take_one().line().to_owned();
        stage.upstream.forget();
        let query = line.trim_end_matches(" HTTP/1.1").split_once('?').unwrap().1;
        assert!(query.starts_with("before="), "{line}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~*%+".contains(c);
        assert!(query["before=".len()..].chars().all(is_plain), "{line}");
    }
}

#[test]
fn the_token_endpoints_in_odd_spellings_are_never_proxied() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"proxied": true}));
    let (token, bare) = (stage.token(), TOKENS.trim_start_matches("/v1/"));
    let mut spellings: Vec<_> = [
        "/v1/{t}/",
        "/v1/{t}//",
        "/v1//{t}",
        "//v1/{t}",
        "/v1/./{t}",
        "/v1/x/../{t}",
        "/v1/{t}/.",
        "/v1/{t}/%2e",
        "/v1/{t}%2F",
        "/v1%2F{t}",
        "/v1/{t};x",
        "/v1/{t}%3Bx",
        "/v1/{t}%3Fx",
        "/v1/{t}#x",
        "/v1\\{t}",
        "/v1/{t}%00",
        "/v1/{t}%20",
        "/%76%31/{t}",
        "/v1/{t}/a/b",
        "/v1/{t}/a%2Fb",
        "/v1/{t}?x=1",
        "http://hallpass.test/v1/{t}",
        "http://127.0.0.1:1/v1/{t}/x",
    ]
    .iter()
    .map(|spelling| spelling.replace("{t}", bare))
    .collect();
    spellings.push(format!("/v1/{}", bare.replace('-', "%2D")));
    spellings.push(format!("/v1/{}", bare.replace('c', "%63")));
    spellings.push(format!("/v1/{}", bare.replace('-', "%252D")));
    let mut proxied = Vec::new();
    for target in &spellings {
        for method in ["GET", "POST", "DELETE", "PUT"] {
            for ask in [Ask::new(method, target).by(&token), Ask::new(method, target).bearer(STATIC_KEY)] {
                let ask = if method == "POST" { ask.json(&json!({})) } else { ask };
                stage.ask(&ask);
                proxied.extend(stage.upstream.requests().iter().map(|request| request.line().to_owned()));
                stage.upstream.forget();
            }
        }
    }
    assert!(proxied.is_empty(), "{proxied:#?}");
}

#[test]
fn other_paths_of_this_server_in_odd_spellings_are_never_proxied() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"proxied": true}));
    for target in [
        "/oauth//introspect",
        "/oauth/%69ntrospect",
        "/oauth/introspect/",
        "/oauth/./introspect",
        "/.well-known//jwks.json",
        "/.well-known/%6awks.json",
        "/%2ewell-known/jwks.json",
        "/healthz/",
        "/%68ealthz",
        "/forward-auth/",
        "/%66orward-auth",
        "/forward%2Dauth",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            let answer = stage.ask(&Ask::new(method, target).bearer(STATIC_KEY));
            // Metrics are another listener's: here the path is nobody's, or the agent server's.
            if target != "/metrics" {
                assert!(!answer.text().contains("proxied"), "{method} {target}: {answer}");
                stage.upstream.assert_untouched();
            }
        }
    }
}

/// Sends bytes with a second request hidden in them. Whatever is made of the first, the second must be
/// answered by nobody and must reach no one.
#[track_caller]
fn assert_not_smuggled(stage: &Stage, bytes: &[u8]) -> Option<Answer> {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let mut wire = stage.connect();
    // A server that refuses early need not read on.
    let _ = wire.try_write(bytes);
    let answers = wire.answers("POST");
    assert!(answers.len() <= 1, "{} answers to {shown}", answers.len());
    for request in stage.upstream.requests() {
        assert!(!request.head.contains("smuggled"), "{request:?} of {shown}");
        assert!(!String::from_utf8_lossy(&request.body).contains("smuggled"), "{request:?} of {shown}");
    }
    stage.upstream.forget();
    answers.into_iter().next()
}

/// A POST of a message with these lines among its headers and this body.
fn post(token: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/agents/{AGENT}/messages HTTP/1.1\r\nhost: hallpass.test\r\nauthorization: Bearer {token}\r\n\
         origin: {ORIGIN}\r\ncontent-type: application/json\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

const HELLO: &str = r#"{"messages":[{"role":"user","content":"hello"}]}"#;

fn smuggled(token: &str) -> String {
    format!(
        "GET /v1/agents/{AGENT}?smuggled HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\norigin: {ORIGIN}\r\n\r\n"
    )
}

/// The stage for smuggling: an agent server that answers whatever gets through.
fn open_stage() -> (Stage, String) {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({"messages": []}));
    let token = stage.token();
    (stage, token)
}

#[test]
fn content_length_and_transfer_encoding_together() {
    let (stage, token) = open_stage();
    let hidden = smuggled(&token);
    let chunked = format!("{:x}\r\n{HELLO}\r\n0\r\n\r\n", HELLO.len());
    for lines in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunked.len() + hidden.len()),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", chunked.len() + hidden.len()),
        "content-length: 4\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "content-length: 0\r\ntransfer-encoding: chunked\r\n".to_owned(),
    ] {
        assert_not_smuggled(&stage, &post(&token, &lines, &format!("{chunked}{hidden}")));
    }
}

#[test]
fn two_content_lengths() {
    let (stage, token) = open_stage();
    let (hidden, length) = (smuggled(&token), HELLO.len());
    let longer = length + hidden.len();
    for lines in [
        format!("content-length: {length}\r\ncontent-length: {longer}\r\n"),
        format!("content-length: {longer}\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}, {longer}\r\n"),
        format!("content-length: {length}, {length}\r\n"),
        format!("content-length: +{length}\r\n"),
        format!("content-length: -{length}\r\n"),
        format!("content-length: 0x{length:x}\r\n"),
        format!("content-length: {length}x\r\n"),
        "content-length: 99999999999999999999999\r\n".to_owned(),
        "content-length: \r\n".to_owned(),
    ] {
        let answer = assert_not_smuggled(&stage, &post(&token, &lines, &format!("{HELLO}{hidden}")));
        assert_eq!(answer.map(|answer| answer.status), Some(400), "{lines}");
    }
}

#[test]
fn transfer_encodings_that_only_some_understand() {
    let (stage, token) = open_stage();
    let body = format!("0\r\n\r\n{}", smuggled(&token));
    for lines in [
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding:\u{b}chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
    ] {
        assert_not_smuggled(&stage, &post(&token, lines, &body));
    }
}

#[test]
fn spaces_folds_and_stray_line_ends_around_headers() {
    let (stage, token) = open_stage();
    let (hidden, length) = (smuggled(&token), HELLO.len());
    let body = format!("{HELLO}{hidden}");
    for lines in [
        format!("content-length : {length}\r\n"),
        format!("content-length\t: {length}\r\n"),
        format!(" content-length: {length}\r\n"),
        format!("x-a: b\r\n content-length: {}\r\ncontent-length: {length}\r\n", length + hidden.len()),
        format!("x-a: b\r\n\ttransfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("x-a: b\rtransfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("x-a: b\0c\r\ncontent-length: {length}\r\n"),
        format!("x-a\0: b\r\ncontent-length: {length}\r\n"),
        format!("x a: b\r\ncontent-length: {length}\r\n"),
        format!(": b\r\ncontent-length: {length}\r\n"),
        format!("no-colon\r\ncontent-length: {length}\r\n"),
        format!("x-\u{e9}: b\r\ncontent-length: {length}\r\n"),
    ] {
        let answer = assert_not_smuggled(&stage, &post(&token, &lines, &body));
        assert_eq!(answer.map(|answer| answer.status), Some(400), "{lines:?}");
    }
}

#[test]
fn bare_line_feeds_end_lines_for_some() {
    let (stage, token) = open_stage();
    let lines = "x-a: b\ntransfer-encoding: chunked\n";
    let body = format!("0\r\n\r\n{}", smuggled(&token));
    assert_not_smuggled(&stage, &post(&token, lines, &body));
}

#[test]
fn chunks_of_doubtful_size() {
    let (stage, token) = open_stage();
    let hidden = smuggled(&token);
    for body in [
        format!("ffffffffffffffff1\r\n{HELLO}\r\n0\r\n\r\n{hidden}"),
        format!("-1\r\n{HELLO}\r\n0\r\n\r\n{hidden}"),
        format!("0x{:x}\r\n{HELLO}\r\n0\r\n\r\n{hidden}", HELLO.len()),
        format!("{:x}\n{HELLO}\n0\n\n{hidden}", HELLO.len()),
        format!("{:x} \0\r\n{HELLO}\r\n0\r\n\r\n{hidden}", HELLO.len()),
        format!("{:x}\r\n{HELLO}xx0\r\n\r\n{hidden}", HELLO.len()),
        format!("\r\n{HELLO}\r\n0\r\n\r\n{hidden}"),
    ] {
        assert_not_smuggled(&stage, &post(&token, "transfer-encoding: chunked\r\n", &body));
    }
}

#[test]
fn a_trailer_is_taken_for_a_header() {
    let (stage, token) = open_stage();
    let body = format!("{:x}\r\n{HELLO}\r\n0\r\nuser_id: user-1\r\nx-smuggled: 1\r\n\r\n", HELLO.len());
    let lines = "transfer-encoding: chunked\r\ntrailer: user_id\r\n";
    assert_not_smuggled(&stage, &post(&token, lines, &body));
}

#[test]
fn a_body_on_a_get_is_taken_for_a_request() {
    let (stage, token) = open_stage();
    let hidden = smuggled(&token);
    let ask = Ask::get(&format!("/v1/agents/{AGENT}/messages")).by(&token).body("text/plain", hidden.clone());
    assert_not_smuggled(&stage, &ask.bytes());
    // Refused before the body was read, too.
    let ask = Ask::get(&format!("/v1/agents/{OTHER_AGENT}")).by(&token).body("text/plain", hidden);
    assert_not_smuggled(&stage, &ask.bytes());
}

#[test]
fn a_request_behind_another_borrows_its_credential() {
    let (stage, token) = open_stage();
    let path = format!("/v1/agents/{AGENT}/messages");
    let good = Ask::get(&path).by(&token).bytes();
    let requests = [
        good.clone(),
        Ask::get(&path).header("origin", ORIGIN).bytes(),
        Ask::get(&path).bearer(&token).bytes(),
        Ask::get(&format!("/v1/agents/{OTHER_AGENT}/messages")).by(&token).bytes(),
        good,
    ];
    let mut wire = stage.connect();
    wire.write(&requests.concat());
    let statuses: Vec<_> = requests.iter().map(|_| wire.answer("GET").status).collect();
    assert_eq!(statuses, [200, 401, 403, 403, 200]);
    assert_eq!(stage.upstream.requests().len(), 2);
}

#[test]
fn chunks_in_http_1_0() {
    let (stage, token) = open_stage();
    let body = format!("0\r\n\r\n{}", smuggled(&token));
    let request =
        String::from_utf8(post(&token, "connection: keep-alive\r\ntransfer-encoding: chunked\r\n", &body));
    assert_not_smuggled(&stage, request.unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes());
}

#[test]
fn a_request_line_that_is_not_one() {
    let (stage, token) = open_stage();
    let rest = format!("\r\nhost: h\r\nauthorization: Bearer {token}\r\norigin: {ORIGIN}\r\n\r\n");
    for line in [
        format!("GET  /v1/agents/{AGENT} HTTP/1.1"),
        format!("GET /v1/agents/{AGENT}  HTTP/1.1"),
        format!("GET /v1/agents/{AGENT} x HTTP/1.1"),
        format!("GET /v1/agents/{AGENT} HTTP/1.2"),
        format!("GET /v1/agents/{AGENT} HTTP/0.9"),
        format!("GET /v1/agents/{AGENT}"),
        format!("GET\t/v1/agents/{AGENT}\tHTTP/1.1"),
        format!(" GET /v1/agents/{AGENT} HTTP/1.1"),
        format!("G\u{0}T /v1/agents/{AGENT} HTTP/1.1"),
        format!("PRI * HTTP/2.0{rest}SM{rest}GET /v1/agents/{AGENT}?smuggled HTTP/1.1"),
    ] {
        let answer = assert_not_smuggled(&stage, format!("{line}{rest}").as_bytes());
        let status = answer.map(|answer| answer.status);
        assert!(status.is_none_or(|status| matches!(status, 400..500 | 505)), "{line:?}: {status:?}");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn connection_names_the_headers_that_protect() {
    let (stage, token) = open_stage();
    let path = format!("/v1/agents/{AGENT}/messages");
    for names in [
        "authorization",
        "close, authorization, origin, host, x-stainless-package-version",
        "keep-alive, Authorization",
    ] {
        let ask = Ask::get(&path).header("connection", names).by(&token);
        stage.ask(&ask).expect(200);
        let request = stage.upstream.take_one();
        assert_eq!(request.header("authorization"), Some(format!("Bearer {UPSTREAM_TOKEN}")));
        assert!(request.header("x-stainless-package-version").is_some(), "{request:?}");
        stage.ask(&Ask::get(&path).header("connection", names).bearer(STATIC_KEY)).expect(200);
        assert_eq!(
            stage.upstream.take_one().header("authorization"),
            Some(format!("Bearer {UPSTREAM_TOKEN}"))
        );
        stage.upstream.forget();
        let ask = Ask::get(&path).header("connection", names).bearer(&token).header("origin", OTHER_ORIGIN);
        stage.ask(&ask).problem(403, "forbidden", "origin_mismatch");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn a_header_that_counts_is_sent_twice() {
    let (stage, token) = open_stage();
    let path = format!("/v1/agents/{AGENT}/messages");
    for (first, second) in
        [(token.as_str(), STATIC_KEY), (STATIC_KEY, &token), (&token, "x"), ("x", &token), (&token, &token)]
    {
        let answer = stage.ask(&Ask::get(&path).by(first).bearer(second));
        assert!(matches!(answer.status, 400 | 401), "{answer}");
        stage.upstream.assert_untouched();
    }
    for (first, second) in
        [(ORIGIN, ORIGIN), (ORIGIN, OTHER_ORIGIN), (OTHER_ORIGIN, ORIGIN), (ORIGIN, "null")]
    {
        let answer =
            stage.ask(&Ask::get(&path).bearer(&token).header("origin", first).header("origin", second));
        answer.problem(403, "forbidden", "origin_mismatch");
        stage.upstream.assert_untouched();
    }
    for host in ["hallpass.test", "evil.example.net"] {
        let answer = stage.ask(&Ask::get(&path).by(&token).header("host", host));
        assert_eq!(answer.status, 400, "two hosts: {answer}");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn a_header_claims_to_be_somebody() {
    let (stage, token) = open_stage();
    let names = [
        "user_id",
        "USER_ID",
        "user-id",
        "User-Id",
        "userid",
        "X-User-Id",
        "x-bare-password",
        "X-BARE-PASSWORD",
        "x_bare_password",
        "X-BARE_PASSWORD",
        "x-organization-id",
        "X_Organization_Id",
        "organization_id",
        "X-Billing-Plan",
        "X_Billing_Plan",
        "X-Billing-Cost-Source",
        "X-Experimental-Letta",
        "x_experimental_letta",
        "X-Letta-Source",
        "X_Letta_Source",
        "X-Letta-Environment",
        "X-Agent-Id",
        "x_agent_id",
        "X-Run-Id",
        "x_run_id",
        "X-Project",
        "X-Project-Id",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "X_Forwarded_For",
        "X-Forwarded-User",
        "X-Real-IP",
        "X-Original-URL",
        "X-Original-URI",
        "X-Rewrite-URL",
        "Via",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "Proxy-Authorization",
        "Proxy-Connection",
        "X-Authorization",
        "X-Api-Key",
        "Authorization_",
        "x_stainless_lang",
        "xx-stainless-lang",
        "Tracestate",
        "Baggage",
        "Sec-Fetch-Site",
        "Referer",
        "Cache-Control",
        "X-Hallpass-Token-Id",
        "X-Hallpass-Agent-Id",
        "Te",
        "Trailer",
        "Keep-Alive",
        "Content-Encoding",
        "Expect-CT",
        "Max-Forwards",
        "Early-Data",
    ];
    let path = format!("/v1/agents/{AGENT}/messages");
    stage.ask(&Ask::get(&path).by(&token)).expect(200);
    let plain = stage.upstream.take_one().headers();
    for name in names {
        stage.ask(&Ask::get(&path).by(&token).header(name, "spoofed")).expect(200);
        assert_eq!(stage.upstream.take_one().headers(), plain, "{name} got through");
    }
    let all = names.iter().fold(Ask::get(&path), |ask, name| ask.header(name, "spoofed"));
    stage.ask(&all.by(&token)).expect(200);
    assert_eq!(stage.upstream.take_one().headers(), plain);
}

#[test]
fn the_head_is_larger_than_anyone_needs() {
    let (stage, token) = open_stage();
    let path = format!("/v1/agents/{AGENT}/messages");
    let many =
        (0..500).fold(Ask::get(&path).by(&token), |ask, n| ask.header(&format!("x-stainless-{n}"), "x"));
    for ask in [
        Ask::get(&path).by(&token).header("x-stainless-a", &"x".repeat(200_000)),
        Ask::get(&format!("{path}?before={}", "x".repeat(200_000))).by(&token),
        Ask::get(&path).bearer(&"x".repeat(200_000)),
        many,
    ] {
        let mut wire = stage.connect();
        let _ = wire.try_write(&ask.bytes());
        let answers = wire.answers("GET");
        assert!(answers.iter().all(|answer| matches!(answer.status, 400..500)), "{answers:?}");
        stage.upstream.assert_untouched();
    }
}
