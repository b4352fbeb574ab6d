//! A secret among the settings.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny};
use zeroize::Zeroizing;

/// A text that is shown nowhere: neither printed with the settings nor quoted in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A plain `String` would quote in its error what it got in place of a text.
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            Other(IgnoredAny),
        }
        match Given::deserialize(deserializer)? {
            Given::Text(text) => Ok(Self(Zeroizing::new(text))),
            Given::Other(_) => Err(Error::custom("must be a text, in quotes")),
        }
    }
}
