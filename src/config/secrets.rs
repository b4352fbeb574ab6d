//! The secrets that never stand in the configuration file.

use std::fmt;

use zeroize::Zeroizing;

use super::ConfigError;
use crate::keys::{DEV_API_KEY, MasterKey, has_key_form};

const SHORTEST_API_KEY: usize = 16;

/// Secrets, which come by environment variable or by a file that one names, never in the
/// configuration file.
#[derive(Default)]
pub struct Secrets {
    /// One API key of project `default`, with the gateway right, besides those in the database.
    pub api_key: Option<Zeroizing<String>>,
    pub master_key: Option<MasterKey>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    pub(super) fn set_api_key(&mut self, variable: &str, key: Zeroizing<String>) -> Result<(), ConfigError> {
        let wrong =
            |problem: &str| Err(ConfigError::new(format!("environment variable `{variable}`"), problem));
        if self.api_key.is_some() {
            return wrong(
                "the API key is given twice; set one of `HALLPASS_API_KEY` and `HALLPASS_API_KEY_FILE`",
            );
        }
        if *key == DEV_API_KEY {
            return wrong(
                "this is the API key of `hallpass dev`, which everybody knows; make one of your own",
            );
        }
        if key.len() < SHORTEST_API_KEY {
            let problem =
                format!("the API key must have at least {SHORTEST_API_KEY} characters, got {}", key.len());
            return wrong(&problem);
        }
        if !key.bytes().all(|c| c.is_ascii_graphic()) {
            return wrong("the API key must consist of visible ASCII characters: it travels in a header");
        }
        if key.starts_with("sk-hp-") && !has_key_form(&key) {
            return wrong(
                "the API key begins with `sk-hp-` but its checksum is wrong: it is cut short or mistyped",
            );
        }
        self.api_key = Some(key);
        Ok(())
    }

    pub(super) fn set_master_key(
        &mut self,
        variable: &str,
        text: Zeroizing<String>,
    ) -> Result<(), ConfigError> {
        let wrong = |problem: String| ConfigError::new(format!("environment variable `{variable}`"), problem);
        if self.master_key.is_some() {
            let problem = "the master key is given twice; set one of `HALLPASS_MASTER_KEY` and `HALLPASS_MASTER_KEY_FILE`";
            return Err(wrong(problem.to_owned()));
        }
        self.master_key = Some(MasterKey::parse(&text).map_err(|error| wrong(error.to_string()))?);
        Ok(())
    }
}
