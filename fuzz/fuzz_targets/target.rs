//! A request's target, read and written again: whatever the bytes, what is taken is plain, and what is
//! written is the same target to whoever reads it next.

#![no_main]

use hallpass::access::Target;
use libfuzzer_sys::fuzz_target;

const MOST_REFUSAL_BYTES: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    match Target::parse(raw) {
        Ok(target) => {
            assert!(raw.starts_with('/') && raw.is_ascii() && !raw.contains(['#', '\\', ';', ' ']));
            for segment in &target.segments {
                assert!(!matches!(&**segment, "" | "." | ".."), "{raw:?}");
                let plain = |c: u8| c.is_ascii_alphanumeric() || b"._~-".contains(&c);
                assert!(segment.bytes().all(plain), "{raw:?}");
            }
            for text in target.query.iter().flat_map(|(key, value)| [key, value]) {
                assert!(!text.contains(char::is_control), "{raw:?}");
            }
            let written = target.to_string();
            let again = Target::parse(&written).unwrap_or_else(|e| panic!("{raw:?} as {written:?}: {e}"));
            assert_eq!(again, target, "{raw:?} as {written:?}");
            assert_eq!(again.to_string(), written);
        }
        Err(refusal) => {
            assert!(refusal.0.len() <= MOST_REFUSAL_BYTES, "{} bytes", refusal.0.len());
            assert!(!["eyJ", "sk-", "ck-"].iter().any(|mark| refusal.0.contains(mark)), "{refusal}");
            assert!(!refusal.0.contains(char::is_control), "{refusal:?}");
        }
    }
});
