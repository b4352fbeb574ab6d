//! The oldest live token, so that a list of live ones stops there instead of passing by every token of
//! the last weeks. Without it a list is as right, only slower: where it can't be found, the last known
//! one is used, or none.

use std::sync::{Mutex, PoisonError};

/// How long a floor is used before it is looked up again.
const AGE_MILLIS: i64 = 30_000;

/// An id that no live token is below. Ids are never used twice, so as time goes on it only rises and
/// an old answer is right too, unless the clock was set back.
#[derive(Default)]
pub(super) struct LiveFloor(Mutex<Option<Known>>);

#[derive(Clone, Copy)]
struct Known {
    id: i64,
    live_from: i64,
}

impl LiveFloor {
    /// The floor for tokens that end at `live_from` or later, in milliseconds.
    pub(super) async fn at(
        &self,
        live_from: i64,
        look_up: impl Future<Output = Result<i64, sqlx::Error>>,
    ) -> i64 {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.filter(|floor| floor.live_from <= live_from);
        if let Some(floor) = known
            && live_from - floor.live_from < AGE_MILLIS
        {
            return floor.id;
        }
        let id = look_up.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot find the oldest live token; lists are slower");
            known.map_or(i64::MIN, |floor| floor.id)
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { id, live_from });
        id
    }
}
