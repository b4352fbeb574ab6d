//! The token's id.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;

/// A token's `jti`: a UUID of version 7 (RFC 9562, section 5.7), so that ids sort by time of issue.
/// It names a token in logs and grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(Uuid);

impl TokenId {
    /// An id made at `now` from ten random bytes.
    pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    /// The id's sixteen bytes, as they are stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id back from its stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl TryFrom<String> for TokenId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> String {
        id.to_string()
    }
}

/// Reads the hyphenated form only, the one that tokens carry.
impl FromStr for TokenId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<uuid::fmt::Hyphenated>().map(|id| Self(id.into_uuid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_of_issue() {
        let earlier = TokenId::new(Timestamp::from_millis(1_000), &[0xff; 10]);
        let later = TokenId::new(Timestamp::from_millis(1_001), &[0; 10]);
        assert!(earlier < later);
    }

    #[test]
    fn text_and_bytes_come_back() {
        let id = TokenId::new(Timestamp::from_millis(1_769_860_800_000), &[7; 10]);
        assert_eq!(id.to_string().parse::<TokenId>().unwrap(), id);
        assert_eq!(TokenId::from_bytes(*id.as_bytes()), id);
    }
}
