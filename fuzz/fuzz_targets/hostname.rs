//! The hostname of a request: what is taken has an origin that a browser could send, and that is
//! its own origin; what is refused is refused in a few words that repeat no secret.

#![no_main]

use hallpass::token::Hostname;
use libfuzzer_sys::fuzz_target;

const MOST_BYTES: usize = 2048;
const MOST_REFUSAL_BYTES: usize = 1024;

fuzz_target!(|text: &str| {
    match Hostname::parse(text) {
        Ok(hostname) => {
            assert!(text.len() <= MOST_BYTES);
            assert_eq!(hostname.as_str(), text, "it is echoed as it was given");
            let origin = hostname.origin().as_str();
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let host = host.unwrap_or_else(|| panic!("an origin has a scheme: {origin:?}"));
            assert!(!host.is_empty());
            assert!(host.bytes().all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase()), "{origin:?}");
            assert!(!host.contains(['/', '\\', '@', '?', '#', '*', '<', '>', '^', '|', '%']), "{origin:?}");
            assert!(!host.ends_with(":80") || origin.starts_with("https:"), "{origin:?}");
            assert!(!host.ends_with(":443") || origin.starts_with("http:"), "{origin:?}");
            let again = Hostname::parse(origin).unwrap_or_else(|e| panic!("{origin:?}: {e}"));
            assert_eq!(again.origin(), hostname.origin(), "an origin is its own origin");
        }
        Err(refusal) => {
            assert!(refusal.len() <= MOST_REFUSAL_BYTES, "{} bytes", refusal.len());
            assert!(!["eyJ", "sk-", "ck-"].iter().any(|mark| refusal.contains(mark)), "{refusal}");
            assert!(!refusal.contains(char::is_control), "{refusal:?}");
        }
    }
});
