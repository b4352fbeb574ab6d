//! API keys: the text that a backend holds, the hash that is stored, and the view of all live keys
//! that each request is checked against.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::random_bytes;
use crate::clock::Timestamp;
use crate::token::AgentId;

/// What every key begins with, so that secret scanners know one when they see it.
const PREFIX: &str = "sk-hp-";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const SECRET_CHARS: usize = 43;
/// 62^6 > 2^32.
const CHECKSUM_CHARS: usize = 6;

/// The id under which a [`StaticKey`] appears.
pub const STATIC_KEY_ID: &str = "static";

/// The API key of `hallpass dev`: everybody knows it, so nothing else takes it.
pub const DEV_API_KEY: &str = "sk-hallpass-dev-not-a-secret";

/// An API key that is given at the start, of project `default`; it is not in the database.
pub struct StaticKey {
    pub secret: Zeroizing<String>,
    /// Whether it may pass the gateway whole.
    pub gateway: bool,
}

/// An API key's id, such as `key_4fQ0dBz1Xk`. It names the key and grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ApiKeyId(pub Arc<str>);

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of an API key. Equality takes the same time wherever two hashes differ.
#[derive(Clone, Copy)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKeyHash {
    /// The hash of a key as it was presented.
    pub fn of(key: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for ApiKeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ApiKeyHash {}

impl Hash for ApiKeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash([redacted])")
    }
}

/// A key just made. The secret is shown once and not kept.
pub struct NewApiKey {
    pub id: ApiKeyId,
    pub secret: Zeroizing<String>,
}

impl NewApiKey {
    /// Makes a key of 32 random bytes: `sk-hp-`, the bytes in base62, and a CRC-32 in base62 by
    /// which a scanner tells a key from a look-alike.
    pub fn generate() -> Self {
        let secret = Zeroizing::new(base62(&random_bytes::<32>(), SECRET_CHARS));
        let checksum = checksum(&secret);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + SECRET_CHARS + CHECKSUM_CHARS));
        text.push_str(PREFIX);
        text.push_str(&secret);
        text.push_str(&checksum);
        Self { id: ApiKeyId(format!("key_{}", base62(&random_bytes::<7>(), 10)).into()), secret: text }
    }
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether a text has the form of a key made by [`NewApiKey::generate`], checksum included.
pub fn has_key_form(text: &str) -> bool {
    let Some((secret, sum)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(SECRET_CHARS))
    else {
        return false;
    };
    secret.bytes().all(|c| BASE62.contains(&c)) && checksum(secret) == sum
}

fn checksum(secret: &str) -> String {
    base62(&crc32fast::hash(secret.as_bytes()).to_be_bytes(), CHECKSUM_CHARS)
}

/// A big-endian number in base 62, padded with zeros to `width` characters.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = Zeroizing::new(vec![b'0'; width]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte =
                u8::try_from(value / 62).expect("the remainder is under 62, so the quotient is under 256");
            remainder = value % 62;
        }
        *digit = BASE62[remainder as usize];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// A project: whose tokens its keys see, and which agents they may issue for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub id: i64,
    pub name: String,
    /// `None`: any agent.
    pub agents: Option<Vec<AgentId>>,
}

impl Project {
    /// Whether this project's keys may issue tokens for the agent.
    pub fn may_grant(&self, agent: &AgentId) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(agent))
    }
}

/// A live API key.
#[derive(Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub project: Arc<Project>,
    /// Whether it may pass the gateway whole.
    pub gateway: bool,
    /// Milliseconds since the epoch; 0 is never. Kept here and written now and then, so that a
    /// request costs no write.
    last_used_at: AtomicI64,
    /// The last of them that was written.
    noted_at: AtomicI64,
}

impl ApiKey {
    pub fn new(id: ApiKeyId, project: Arc<Project>, gateway: bool) -> Self {
        Self { id, project, gateway, last_used_at: AtomicI64::new(0), noted_at: AtomicI64::new(0) }
    }
}

/// All live API keys.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_hash: HashMap<ApiKeyHash, Arc<ApiKey>>,
}

impl ApiKeys {
    pub fn new(keys: impl IntoIterator<Item = (ApiKeyHash, ApiKey)>) -> Self {
        Self { by_hash: keys.into_iter().map(|(hash, key)| (hash, Arc::new(key))).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Whether a key that was presented earlier is still live.
    pub fn contains(&self, id: &ApiKeyId) -> bool {
        self.by_hash.values().any(|key| key.id == *id)
    }

    /// The key that was presented, if it is live; its last use is noted.
    pub fn authenticate(&self, presented: &str, now: Timestamp) -> Option<Arc<ApiKey>> {
        let key = self.by_hash.get(&ApiKeyHash::of(presented))?;
        key.last_used_at.store(now.millis(), Ordering::Relaxed);
        Some(key.clone())
    }

    /// The keys used since their use was last noted, with the time. The static key has no record
    /// that could say so.
    pub fn unnoted_uses(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let keys = self.by_hash.values().filter(|key| &*key.id.0 != STATIC_KEY_ID);
        keys.filter_map(|key| {
            let at = key.last_used_at.load(Ordering::Relaxed);
            (at != key.noted_at.load(Ordering::Relaxed)).then(|| (key.id.clone(), Timestamp::from_millis(at)))
        })
        .collect()
    }

    /// Remembers that these uses are written down.
    pub fn mark_noted(&self, uses: &[(ApiKeyId, Timestamp)]) {
        for key in self.by_hash.values() {
            if let Some((_, at)) = uses.iter().find(|(id, _)| *id == key.id) {
                key.noted_at.store(at.millis(), Ordering::Relaxed);
            }
        }
    }

    /// Takes over what an earlier view knew of uses.
    pub fn inherit_uses(&self, earlier: &ApiKeys) {
        for (hash, key) in &self.by_hash {
            if let Some(before) = earlier.by_hash.get(hash) {
                key.last_used_at.store(before.last_used_at.load(Ordering::Relaxed), Ordering::Relaxed);
                key.noted_at.store(before.noted_at.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(secret: &str) -> ApiKeys {
        let project = Arc::new(Project { id: 1, name: "default".to_owned(), agents: None });
        ApiKeys::new([(ApiKeyHash::of(secret), ApiKey::new(ApiKeyId("key_1".into()), project, false))])
    }

    #[test]
    fn a_new_key_has_the_form_that_scanners_know() {
        let key = NewApiKey::generate();
        assert_eq!(key.secret.len(), 55);
        assert!(has_key_form(&key.secret), "{}", *key.secret);
        assert!(key.id.0.starts_with("key_") && key.id.0.len() == 14);
        assert_ne!(*key.secret, *NewApiKey::generate().secret);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = NewApiKey::generate();
        assert!(!format!("{key:?} {:?}", ApiKeyHash::of(&key.secret)).contains(&key.secret[6..]));
    }

    #[test]
    fn only_the_key_itself_is_authenticated() {
        let keys = keys("sk-hp-right");
        let now = Timestamp::from_millis(1);
        assert!(keys.authenticate("sk-hp-right", now).is_some());
        for wrong in ["", "sk-hp-righ", "sk-hp-right ", "SK-HP-RIGHT"] {
            assert!(keys.authenticate(wrong, now).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_use_is_told_until_it_is_noted() {
        let keys = keys("sk-hp-right");
        assert!(keys.unnoted_uses().is_empty());
        keys.authenticate("sk-hp-right", Timestamp::from_millis(5));
        keys.authenticate("sk-hp-right", Timestamp::from_millis(7));
        let uses = keys.unnoted_uses();
        assert_eq!(uses, [(ApiKeyId("key_1".into()), Timestamp::from_millis(7))]);
        assert_eq!(keys.unnoted_uses(), uses, "a write that fails is tried again");
        keys.mark_noted(&uses);
        assert!(keys.unnoted_uses().is_empty());
    }

    #[test]
    fn a_new_view_of_the_keys_knows_their_uses() {
        let before = keys("sk-hp-right");
        before.authenticate("sk-hp-right", Timestamp::from_millis(5));
        let after = keys("sk-hp-right");
        after.inherit_uses(&before);
        assert_eq!(after.unnoted_uses(), before.unnoted_uses());
    }

    #[test]
    fn a_project_with_a_list_grants_those_agents_only() {
        let agent = |id: &str| AgentId::parse(id).unwrap();
        let mut project = Project { id: 1, name: "p".to_owned(), agents: None };
        assert!(project.may_grant(&agent("agent-1")));
        project.agents = Some(vec![agent("agent-2")]);
        assert!(!project.may_grant(&agent("agent-1")) && project.may_grant(&agent("agent-2")));
    }

    #[test]
    fn base62_counts_as_numbers_do() {
        assert_eq!(base62(&[0, 61], 3), "00z");
        assert_eq!(base62(&[0, 62], 3), "010");
        assert_eq!(base62(&[0xff; 32], SECRET_CHARS).len(), SECRET_CHARS);
    }

    proptest! {
        #[test]
        fn a_key_with_one_changed_character_fails_its_checksum(place in 6usize..55, to in "[0-9A-Za-z]") {
            let key = NewApiKey::generate();
            prop_assume!(key.secret[place..=place] != to);
            let changed = format!("{}{to}{}", &key.secret[..place], &key.secret[place + 1..]);
            prop_assert!(!has_key_form(&changed));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}|sk-hp-[0-9A-Za-zé]{0,60}") {
            has_key_form(&text);
        }
    }
}
