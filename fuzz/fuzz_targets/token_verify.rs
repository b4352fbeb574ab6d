//! Verification: nothing verifies but what the ring's keys signed and the claims allow.
//!
//! The ring is a fixed one, so that an input found today repeats tomorrow. An input is
//! - a text that begins with `{`: claims, which one of the ring's own keys signs, so that the checks
//!   behind the signature are reached; or
//! - a token, written plainly or put together from parts of known ones: between dots, `h0`, `p1` and
//!   `s2` stand for the header, payload and signature of tokens 0, 1 and 2, and `={"alg":"none"}`
//!   for that text in base64url.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::keys::{Algorithm, KeyRing, MasterKey, SigningKey, VerifyError};
use hallpass::token::{EXPIRY_LEEWAY, UnverifiedClaims, is_expired, unverified_id};
use hallpass_fuzz::{AUDIENCE, ISSUER, MASTER_KEY, NOW, base64url, claims, read_ring};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

struct Known {
    ring: KeyRing,
    /// What the ring issued: one token by each algorithm.
    issued: Vec<String>,
    /// Those, and tokens that nobody may take for them.
    all: Vec<String>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let master = MasterKey::parse(MASTER_KEY).expect("32 bytes in base64");
    let rows = read_ring(include_str!("../inputs/ring.txt"));
    let ring = KeyRing::open(&rows, &master, ISSUER, AUDIENCE).expect("the ring opens");
    let issued: Vec<_> = include_str!("../inputs/tokens.txt").lines().map(str::to_owned).collect();
    let now = Timestamp::from_millis(NOW);
    for token in &issued {
        let verified = ring.verify(token, now).expect("what the ring issued verifies");
        assert!(is_expired(verified.exp, now.after(Duration::from_secs(305))));
        let over = ring.verify(token, now.after(Duration::from_secs(300)).after(EXPIRY_LEEWAY));
        assert!(matches!(over, Err(VerifyError::Expired { .. })), "{over:?}");
    }
    let all = issued.iter().cloned().chain(impostors(&ring)).collect();
    Known { ring, issued, all }
});

fuzz_target!(|text: &str| {
    let known = &*KNOWN;
    if text.starts_with('{') {
        check_claims(&known.ring, text);
    } else {
        check_token(known, &put_together(known, text));
    }
});

/// A token by the ring's own key whose claims break a rule, and tokens by another's key.
fn impostors(ring: &KeyRing) -> Vec<String> {
    let own = ed25519(ring);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        sign(own, &claims.to_string())
    };
    let mut impostors = vec![
        with("iss", json!("https://elsewhere.example")),
        with("aud", json!("another")),
        with("exp", json!(NOW / 1000 - 5)),
        with("policy", json!({"version": "1", "data": []})),
    ];
    let pkcs8 = SigningKey::generate_pkcs8(Algorithm::EdDSA).expect("a key can be made");
    let stranger = SigningKey::from_pkcs8(Algorithm::EdDSA, &pkcs8).expect("the key was just made");
    let theirs = sign(&stranger, &claims().to_string());
    let (_, unheaded) = theirs.split_once('.').expect("a token has dots");
    // Under our header, and as it is.
    let header = impostors[0].split('.').next().expect("a token has a header").to_owned();
    impostors.push(format!("{header}.{unheaded}"));
    impostors.push(theirs);
    let now = Timestamp::from_millis(NOW);
    for token in &impostors {
        assert!(ring.verify(token, now).is_err(), "{token}");
    }
    impostors
}

fn check_token(known: &Known, token: &str) {
    let id = unverified_id(token);
    let Ok(verified) = known.ring.verify(token, Timestamp::from_millis(NOW)) else { return };

    let input = |token: &str| token.rsplit_once('.').map(|(input, _)| input.to_owned());
    let original = known.issued.iter().find(|issued| input(issued) == input(token));
    let original = original.unwrap_or_else(|| panic!("this was never issued: {token}"));
    // ECDSA has several signatures for one input; the others have one, and one way to write it.
    let header = token.split_once('.').expect("what verifies has dots").0;
    let key =
        known.ring.keys().iter().map(|key| &*key.signing).find(|key| sign(key, "{}").starts_with(header));
    let key = key.expect("it verified by a key, whose tokens all begin so");
    assert!(key.algorithm() == Algorithm::ES256 || token == original, "{token}");
    assert_eq!(id, Some(verified.jti));
    let payload = serde_json::to_string(&*verified).expect("claims can be written");
    let unverified: UnverifiedClaims = serde_json::from_str(&payload).expect("and read back");
    assert_eq!((&unverified.hostname, &unverified.policy), (&verified.hostname, &verified.policy));
}

fn check_claims(ring: &KeyRing, claims: &str) {
    let token = sign(ed25519(ring), claims);
    for now in [0, NOW, Timestamp::MAX.millis()].map(Timestamp::from_millis) {
        let Ok(verified) = ring.verify(&token, now) else { continue };
        assert_eq!((verified.iss.as_str(), verified.aud.as_str()), (ISSUER, AUDIENCE));
        assert!(!is_expired(verified.exp, now), "over, and verified");
        let grants = verified.policy.data.grants();
        assert!((1..=100).contains(&grants.len()) && grants.iter().all(|grant| !grant.access.is_empty()));
        assert_eq!(unverified_id(&token), Some(verified.jti));
    }
}

fn put_together(known: &Known, text: &str) -> String {
    let part = |part: &str| {
        if let Some(plain) = part.strip_prefix('=') {
            return base64url(plain.as_bytes());
        }
        let [place, number] = part.as_bytes() else { return part.to_owned() };
        let place = match place {
            b'h' => 0,
            b'p' => 1,
            b's' => 2,
            _ => return part.to_owned(),
        };
        let token = known.all.get(usize::from(number.wrapping_sub(b'0')));
        token.and_then(|token| token.split('.').nth(place)).unwrap_or(part).to_owned()
    };
    text.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn ed25519(ring: &KeyRing) -> &SigningKey {
    let keys = ring.keys().iter().map(|key| &*key.signing);
    keys.into_iter().find(|key| key.algorithm() == Algorithm::EdDSA).expect("the ring has such a key")
}

fn sign(key: &SigningKey, claims: &str) -> String {
    key.sign(claims).expect("the key signs")
}
