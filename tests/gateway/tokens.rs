//! Attacks on tokens (RFC 8725), each over HTTP with a request that is good in all else. None may reach the
//! agent server, and none may be told how close it came.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::forge::{Forge, ISSUER, claims, encoded};
use crate::home::STATIC_KEY;
use crate::stage::{AGENT, ORIGIN, Stage, TOKENS, now};
use crate::wire::Ask;

struct Attack {
    stage: Stage,
    forge: Forge,
}

impl Attack {
    fn new() -> Self {
        let stage = Stage::new();
        stage.upstream.answer_json(&json!({"reached": true}));
        Self { forge: Forge::of(&stage), stage }
    }

    fn ask(&self, token: &str) -> Ask {
        Ask::get(&format!("/v1/agents/{AGENT}")).by(token)
    }

    /// What tokens must be like to be taken: without this nothing is shown by a refusal.
    fn good(&self) -> String {
        let token = self.forge.sign(&claims());
        self.stage.ask(&self.ask(&token)).expect(200);
        self.stage.upstream.forget();
        token
    }

    #[track_caller]
    fn assert_refused(&self, what: &str, token: &str) {
        let answer = self.stage.ask(&self.ask(token));
        assert_eq!(answer.status, 401, "{what}: {answer}");
        answer.problem(401, "invalid-token", "invalid_token");
        // Connections that stay open from before are known; it is requests that must not come.
        assert!(self.stage.upstream.requests().is_empty(), "{what} reached the agent server");
    }

    /// Another header over the same claims, signed by whoever.
    fn with_header(&self, header: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims().to_string()));
        let signature = encoded(sign(&signed));
        format!("{signed}.{signature}")
    }
}

#[test]
fn no_algorithm() {
    let attack = Attack::new();
    let good = attack.good();
    let signature = URL_SAFE_NO_PAD.decode(good.rsplit('.').next().unwrap()).unwrap();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        for header in [
            json!({"alg": alg, "typ": "at+jwt"}),
            json!({"alg": alg, "typ": "at+jwt", "kid": attack.forge.kid()}),
        ] {
            attack.assert_refused(alg, &attack.with_header(&header, |_| Vec::new()));
            attack.assert_refused(alg, &attack.with_header(&header, |_| signature.clone()));
            let unsigned = attack.with_header(&header, |_| Vec::new());
            attack.assert_refused(alg, unsigned.trim_end_matches('.'));
        }
    }
    attack.assert_refused("no header", &attack.with_header(&json!({}), |_| signature.clone()));
}

#[test]
fn a_public_key_as_a_shared_secret() {
    let attack = Attack::new();
    attack.good();
    let jwk = attack.forge.public_key();
    let raw = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    let secrets =
        [raw, jwk.to_string().into_bytes(), jwk["x"].as_str().unwrap().into(), Vec::new(), vec![0; 32]];
    for (alg, algorithm) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in &secrets {
            let key = hmac::Key::new(algorithm, secret);
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": attack.forge.kid()});
            let token =
                attack.with_header(&header, |signed| hmac::sign(&key, signed.as_bytes()).as_ref().to_vec());
            attack.assert_refused(alg, &token);
        }
    }
}

#[test]
fn a_key_of_the_attackers_in_the_header() {
    let attack = Attack::new();
    attack.good();
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk =
        json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()), "kid": "mine"});
    let fetched = format!("http://{}/jwks.json", attack.stage.upstream.address());
    let kid = attack.forge.kid();
    for more in [
        json!({"kid": "mine"}),
        json!({"kid": kid, "jwk": jwk}),
        json!({"jwk": jwk}),
        json!({"kid": kid, "jku": fetched}),
        json!({"kid": "mine", "jku": fetched}),
        json!({"kid": kid, "x5u": fetched}),
        json!({"kid": kid, "x5c": [encoded("certificate")]}),
        json!({"kid": kid, "crit": ["exp"]}),
        json!({"kid": kid, "b64": false, "crit": ["b64"]}),
        json!({"kid": kid, "zip": "DEF"}),
    ] {
        let mut header = json!({"alg": "EdDSA", "typ": "at+jwt"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = attack.with_header(&header, |signed| pair.sign(signed.as_bytes()).as_ref().to_vec());
        attack.assert_refused(&more.to_string(), &token);
    }
}

#[test]
fn a_key_id_that_is_a_path_or_a_query() {
    let attack = Attack::new();
    let good = attack.good();
    let signature = good.rsplit('.').next().unwrap();
    for kid in [
        json!("../../../../dev/null"),
        json!("/proc/self/environ"),
        json!("' OR '1'='1"),
        json!("x' UNION SELECT 'key"),
        json!("| sleep 1"),
        json!(""),
        json!(null),
        json!(0),
        json!([attack.forge.kid()]),
        json!({"kid": attack.forge.kid()}),
        json!(format!("{}\u{0}", attack.forge.kid())),
        json!(attack.forge.kid().to_uppercase()),
    ] {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid});
        let token = attack.with_header(&header, |_| URL_SAFE_NO_PAD.decode(signature).unwrap());
        attack.assert_refused(&kid.to_string(), &token);
    }
}

#[test]
fn another_type_or_algorithm_over_a_good_signature() {
    let attack = Attack::new();
    let good = attack.good();
    let [_, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for header in [
        json!({"alg": "EdDSA", "typ": "JWT", "kid": attack.forge.kid()}),
        json!({"alg": "EdDSA", "typ": "at+JWT", "kid": attack.forge.kid()}),
        json!({"alg": "EdDSA", "kid": attack.forge.kid()}),
        json!({"alg": "Ed25519", "typ": "at+jwt", "kid": attack.forge.kid()}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": attack.forge.kid()}),
        json!({"alg": "RS256", "typ": "at+jwt", "kid": attack.forge.kid()}),
        json!({"alg": ["EdDSA"], "typ": "at+jwt", "kid": attack.forge.kid()}),
    ] {
        attack.assert_refused(
            &header.to_string(),
            &format!("{}.{payload}.{signature}", encoded(header.to_string())),
        );
    }
}

#[test]
fn another_spelling_of_a_good_token() {
    let attack = Attack::new();
    let good = attack.good();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    // The order of the group (RFC 8032, section 5.1), added to the scalar: the same point for a lax verifier.
    let mut malleated = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + add;
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    // 64 bytes leave four bits of the last character without a meaning.
    let last = char::from(signature.as_bytes()[85]);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let same_bits = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    for token in [
        format!("{header}.{payload}.{}", encoded(malleated)),
        format!("{header}.{payload}.{}{same_bits}", &signature[..85]),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload} .{signature}"),
        format!("{header}.{payload}.{signature},{header}.{payload}.{signature}"),
        format!("{header} {payload} {signature}"),
        format!("{header}%2E{payload}%2E{signature}"),
        format!("\"{good}\""),
        good.to_uppercase(),
    ] {
        attack.assert_refused(&token, &token);
    }
}

#[test]
fn claims_of_one_token_under_the_signature_of_another() {
    let attack = Attack::new();
    let good = attack.good();
    let [header, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let mut wider = claims();
    wider["exp"] = (now().seconds() + 1_000_000).into();
    attack.assert_refused("wider claims", &format!("{header}.{}.{signature}", encoded(wider.to_string())));
    let again = attack.forge.sign(&wider);
    let mixed = format!("{}.{signature}", again.rsplit_once('.').unwrap().0);
    attack.assert_refused("another's signature", &mixed);
}

#[test]
fn a_good_signature_over_claims_that_are_not_ours() {
    let attack = Attack::new();
    attack.good();
    for (claim, value) in [
        ("iss", json!("https://evil.example.net")),
        ("iss", json!(format!("{ISSUER}/"))),
        ("iss", json!([ISSUER, "https://evil.example.net"])),
        ("iss", json!(null)),
        ("aud", json!("other")),
        ("aud", json!("")),
        ("aud", json!(["other"])),
        ("aud", json!(null)),
        ("exp", json!("9999999999")),
        ("exp", json!(null)),
        ("exp", json!(9_999_999_999.5)),
        ("exp", json!(true)),
        ("jti", json!("1")),
        ("jti", json!(null)),
        ("origin", json!(null)),
        ("policy", json!(null)),
        ("policy", json!([])),
        ("policy", json!({"version": "1", "data": []})),
        (
            "policy",
            json!({"version": "1", "data": [{"type": "agent", "id": AGENT, "access": ["everything"]}]}),
        ),
        (
            "policy",
            json!({"version": "1", "data": [{"type": "organization", "id": AGENT, "access": ["read_agent"]}]}),
        ),
    ] {
        let mut changed = claims();
        changed[claim] = value.clone();
        attack.assert_refused(&format!("{claim} = {value}"), &attack.forge.sign(&changed));
        changed.as_object_mut().unwrap().remove(claim);
        attack.assert_refused(&format!("no {claim}"), &attack.forge.sign(&changed));
    }
    for payload in ["", "{}", "null", "[]", "\"text\"", "{"] {
        attack.assert_refused(payload, &attack.forge.sign_text(payload));
    }
}

#[test]
fn a_token_for_no_origin_lets_no_page_in() {
    let attack = Attack::new();
    attack.good();
    for origin in ["null", "", "*", "https://app.example.com/"] {
        let mut changed = claims();
        changed["origin"] = origin.into();
        let token = attack.forge.sign(&changed);
        for sent in [origin, "null", ORIGIN] {
            let ask = Ask::get(&format!("/v1/agents/{AGENT}")).bearer(&token).header("origin", sent);
            let answer = attack.stage.ask(&ask);
            assert!(matches!(answer.status, 401 | 403), "{origin:?} from {sent:?}: {answer}");
            assert!(attack.stage.upstream.requests().is_empty());
        }
    }
}

#[test]
fn a_claim_that_is_there_twice() {
    let attack = Attack::new();
    attack.good();
    let good = claims();
    for claim in ["exp", "iss", "aud", "jti", "origin", "policy"] {
        let again = json!({(claim): good[claim]}).to_string();
        let twice = format!("{},{}", good.to_string().trim_end_matches('}'), again.trim_start_matches('{'));
        let escaped = twice.replacen(
            &format!("\"{claim}\""),
            &format!("\"\\u{:04x}{}\"", claim.as_bytes()[0], &claim[1..]),
            1,
        );
        // Cutting the braces must have left an object.
        let twice = balanced(&twice);
        attack.assert_refused(&format!("{claim} twice"), &attack.forge.sign_text(&twice));
        attack.assert_refused(
            &format!("{claim} twice, once escaped"),
            &attack.forge.sign_text(&balanced(&escaped)),
        );
    }
}

/// With the braces at its end that it lacks or without those that it has too many.
fn balanced(text: &str) -> String {
    let count = |c: char| text.chars().filter(|found| *found == c).count();
    assert!(count('{') >= count('}'), "{text}");
    text.to_owned() + &"}".repeat(count('{') - count('}'))
}

#[test]
fn a_token_of_a_key_that_is_published_but_does_not_sign_yet() {
    let attack = Attack::new();
    let good = attack.good();
    let jwks = attack.stage.ask(&Ask::get("/.well-known/jwks.json")).expect(200).json();
    let next = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] != attack.forge.kid()).unwrap();
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": next["kid"]});
    let signature = URL_SAFE_NO_PAD.decode(good.rsplit('.').next().unwrap()).unwrap();
    attack.assert_refused("under the next key", &attack.with_header(&header, |_| signature.clone()));
}

#[test]
fn a_token_where_no_token_belongs() {
    let stage = Stage::new();
    let (token, path) = (stage.token(), format!("/v1/agents/{AGENT}"));
    for ask in [
        Ask::get(&format!("{path}?access_token={token}")),
        Ask::get(&format!("{path}?token={token}")),
        Ask::get(&path).header("cookie", &format!("access_token={token}; token={token}")),
        Ask::get(&path).header("x-api-key", &token),
        Ask::get(&path).header("x-bare-password", &format!("password {token}")),
        Ask::get(&path).header("proxy-authorization", &format!("Bearer {token}")),
        Ask::new("POST", &format!("{path}/messages"))
            .body("application/x-www-form-urlencoded", format!("access_token={token}")),
    ] {
        stage.ask(&ask.header("origin", ORIGIN)).problem(401, "invalid-token", "token_missing");
        stage.upstream.assert_untouched();
    }
}

#[test]
fn the_word_bearer_may_be_written_in_any_case() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let token = stage.token();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let ask = Ask::get(&format!("/v1/agents/{AGENT}")).header("origin", ORIGIN);
        stage.ask(&ask.header("authorization", &format!("{scheme} {token}"))).expect(200);
    }
}

#[test]
fn a_client_token_is_no_api_key() {
    let stage = Stage::new();
    let token = stage.token();
    let request =
        json!({"hostname": ORIGIN, "policy": [{"type": "agent", "id": AGENT, "access": ["read_agent"]}]});
    for ask in [
        Ask::post(TOKENS, &request),
        Ask::get(TOKENS),
        Ask::new("DELETE", &format!("{TOKENS}/{token}")),
        Ask::new("POST", "/oauth/introspect")
            .body("application/x-www-form-urlencoded", format!("token={token}")),
    ] {
        for ask in [ask.clone().by(&token), ask.bearer(&token)] {
            assert_eq!(stage.ask(&ask).status, 401);
            stage.upstream.assert_untouched();
        }
    }
}

#[test]
fn tokens_of_a_revoked_key_are_refused() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let (id, key) = stage.api_key(&[]);
    let policy = json!([{"type": "agent", "id": AGENT, "access": ["read_agent"]}]);
    let token = stage.issue(&key, &json!({"hostname": ORIGIN, "policy": policy}));
    let ask = Ask::get(&format!("/v1/agents/{AGENT}")).by(&token);
    stage.ask(&ask).expect(200);
    stage.home.run(&["api-key", "revoke", &id]);
    crate::until("the token is refused", crate::PATIENCE, || stage.ask(&ask).status == 401);
    stage.ask(&ask).problem(401, "invalid-token", "token_revoked");
    assert_ne!(key, STATIC_KEY);
}

#[test]
fn a_token_outlives_the_rotation_of_its_key() {
    let stage = Stage::new();
    stage.upstream.answer_json(&json!({}));
    let old = stage.token();
    let before = Forge::of(&stage).kid().to_owned();
    stage.home.run(&["signing-key", "rotate", "--force"]);
    let ask = |token: &str| Ask::get(&format!("/v1/agents/{AGENT}")).by(token);
    let kid = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    crate::until("the new key signs", crate::PATIENCE, || kid(&stage.token()) != before);
    stage.ask(&ask(&old)).expect(200);
    stage.ask(&ask(&stage.token())).expect(200);
}
