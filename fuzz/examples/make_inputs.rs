//! Makes what `token_verify` starts from anew: `cargo run --manifest-path fuzz/Cargo.toml --example
//! make_inputs`. Only a change of the ring's stored form or of the claims asks for that.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::keys::{Algorithm, KeyRing, KeyState, MasterKey, RingKey};
use hallpass_fuzz::{AUDIENCE, ISSUER, MASTER_KEY, NOW, claims, write_row};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let master = MasterKey::parse(MASTER_KEY).expect("32 bytes in base64");
    let now = Timestamp::from_millis(NOW);
    let last_expiry = now.after(Duration::from_secs(86_400));
    let mut rows = KeyRing::first(Algorithm::EdDSA, &master, now).expect("keys can be made");
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        rows = KeyRing::rotate(&rows, algorithm, last_expiry, true, &master, now)
            .expect("a forced rotation is done");
    }
    let lines: Vec<_> = rows.iter().map(write_row).collect();
    fs::write(here.join("inputs/ring.txt"), lines.join("\n") + "\n").expect("the folder is there");

    let ring = KeyRing::open(&rows, &master, ISSUER, AUDIENCE).expect("the ring was just made");
    let claims = claims().to_string();
    let mut tokens = String::new();
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let signs = |key: &&RingKey| key.signing.algorithm() == algorithm && key.state != KeyState::Next;
        let key = ring.keys().iter().find(signs).expect("each algorithm has had its turn");
        let token = key.signing.sign(&claims).expect("the key signs");
        let seed = format!("corpus/token_verify/seed-{}", algorithm.as_str().to_lowercase());
        fs::write(here.join(seed), &token).expect("the folder is there");
        tokens.push_str(&token);
        tokens.push('\n');
    }
    fs::write(here.join("inputs/tokens.txt"), tokens).expect("the folder is there");
    fs::write(here.join("corpus/token_verify/seed-claims"), claims).expect("the folder is there");
}
