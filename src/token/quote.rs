//! Quoting what a client sent in an error text, without repeating a secret or a flood.

const MOST_CHARS: usize = 64;

/// The value in backticks, cut at 64 characters, control characters escaped. A value that looks
/// like a token or an API key is masked: error texts end up in logs and tickets.
pub fn quote(value: &str) -> String {
    if looks_secret(value) {
        return "`[masked]`".to_owned();
    }
    let mut quoted = String::from("`");
    let mut chars = value.chars();
    for c in chars.by_ref().take(MOST_CHARS) {
        if c.is_control() || c == '`' {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted.push_str(if chars.next().is_some() { "…`" } else { "`" });
    quoted
}

/// A JWT's header begins `{"`, which is `eyJ` in base64url; keys begin `sk-`, Letta's tokens `ck-`.
pub fn looks_secret(value: &str) -> bool {
    ["eyJ", "sk-", "ck-"].iter().any(|mark| value.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quote(&"x".repeat(65)), format!("`{}…`", "x".repeat(64)));
        assert_eq!(quote(&"x".repeat(64)), format!("`{}`", "x".repeat(64)));
    }

    #[test]
    fn tokens_and_keys_are_masked() {
        for secret in ["eyJhbGciOiJFZERTQSJ9.e30.c2ln", "Bearer sk-hp-abc", "ck-let-1"] {
            assert_eq!(quote(secret), "`[masked]`");
        }
    }

    #[test]
    fn control_characters_cannot_forge_a_log_line() {
        assert_eq!(quote("a\nb`c"), "`a\\u{a}b\\u{60}c`");
    }
}
