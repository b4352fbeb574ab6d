//! How often something may be done.

use std::hash::Hash;
use std::time::Duration;

/// Stand-in.
pub struct Limiter<K>(std::marker::PhantomData<K>);
impl<K: Hash + Eq + Clone> Limiter<K> {
    pub fn per_minute(_most: u32) -> Self {
        Self(std::marker::PhantomData)
    }
    pub fn take(&self, _key: &K) -> Result<(), Duration> {
        Ok(())
    }
    pub fn tidy(&self) {}
}
