//! What the fuzz targets know: a key ring that stays the same from run to run. Its keys were made
//! for this (`examples/make_inputs.rs`) and sign nothing else.

use hallpass::clock::Timestamp;
use hallpass::keys::SealedKey;
use serde_json::{Value, json};

pub const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
pub const ISSUER: &str = "https://tokens.example.com";
pub const AUDIENCE: &str = "letta";
/// When the tokens were issued, 2026-01-31T12:00:00Z, in milliseconds; they live for 300 s.
pub const NOW: i64 = 1_769_860_800_000;

/// The claims of the ring's tokens.
pub fn claims() -> Value {
    let data = json!([
        {"type": "agent", "id": "agent-1", "access": ["read_messages", "write_messages"]},
        {"type": "agent", "id": "agent-2", "access": ["read_agent"]},
    ]);
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "default", "jti": "019c1463-1c00-7101-8101-010101010101",
        "iat": NOW / 1000, "exp": NOW / 1000 + 300,
        "hostname": "https://app.example.com", "origin": "https://app.example.com",
        "policy": {"version": "1", "data": data},
    })
}

/// The ring as it is stored, from `inputs/ring.txt`: a retired Ed25519 key, a retired P-256 key, an
/// active and a next RSA key.
pub fn read_ring(text: &str) -> Vec<SealedKey> {
    text.lines().map(read_row).collect()
}

/// A row as a line: kid, algorithm, state, three dates (`-` for none), the sealed key in hexadecimal.
pub fn write_row(row: &SealedKey) -> String {
    let date = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.millis().to_string());
    let sealed: String = row.sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    let (created, activated, ends) = (date(Some(row.created_at)), date(row.activated_at), date(row.ends_at));
    format!("{} {} {} {created} {activated} {ends} {sealed}", row.kid, row.algorithm, row.state)
}

fn read_row(line: &str) -> SealedKey {
    let date = |text: &str| text.parse().ok().map(Timestamp::from_millis);
    let [kid, algorithm, state, created, activated, ends, sealed] = line.split(' ').collect::<Vec<_>>()[..]
    else {
        panic!("a row has seven columns: {line}");
    };
    let byte = |at| u8::from_str_radix(&sealed[at..at + 2], 16).expect("hexadecimal digits");
    SealedKey {
        kid: kid.to_owned(),
        algorithm: algorithm.to_owned(),
        state: state.to_owned(),
        created_at: date(created).expect("a row has a date of creation"),
        activated_at: date(activated),
        ends_at: date(ends),
        sealed: (0..sealed.len()).step_by(2).map(byte).collect(),
    }
}

/// Base64url without padding (RFC 4648, section 5).
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sextets = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = move |i: usize| char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(sextets).collect()
}
