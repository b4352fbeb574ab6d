//! A mock of Letta's server: it answers what client tokens may ask for, as Letta's REST interface does it,
//! from memory and without a language model. The same seed and the same requests give the same ids and the
//! same replies. Who may ask what is decided before: behind it is the gateway, as before a real one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

use crate::clock::Clock;
use seed::Seed;
use world::World;

mod agent;
mod end;
mod failure;
mod given;
mod ids;
mod messages;
mod objects;
mod plan;
mod purpose;
mod reply;
mod request;
mod routes;
mod seed;
mod steering;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod tools;
mod work;
mod world;

/// The mock, with all that it remembers.
pub struct AgentServer {
    clock: Arc<dyn Clock>,
    seed: Seed,
    /// Held for as long as it takes to read or write it, never while waiting.
    world: Mutex<World>,
}

impl AgentServer {
    /// A mock whose ids and replies come from the seed, and its times from the clock.
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Arc<Self> {
        let seed = Seed(seed);
        let world = Mutex::new(World::new(seed, 0, clock.now()));
        Arc::new(Self { clock, seed, world })
    }

    /// Takes requests with `Authorization: Bearer <secret>` alone; others get 401 as Letta answers.
    pub fn router(self: &Arc<Self>, secret: &str) -> Router {
        routes::router(Arc::clone(self), secret)
    }

    /// Forgets all that was said and changed, and ends what is going on: as it was at the start.
    pub fn reset(&self) {
        let mut world = self.world();
        *world = World::new(self.seed, world.generation + 1, self.clock.now());
    }

    /// The id and the name of each agent that is there from the start.
    pub fn agents(&self) -> Vec<(String, String)> {
        world::from_the_start(self.seed).map(|(id, name)| (id, name.to_owned())).collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere leaves at worst a half-made object of a mock behind.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, if it hasn't been forgotten since.
    fn world_of(&self, generation: u64) -> Option<MutexGuard<'_, World>> {
        Some(self.world()).filter(|world| world.generation == generation)
    }
}
