//! Which agent a conversation or run belongs to. Only the agent server knows, so it is asked, with its
//! own secret, and what it says is remembered for a while.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::ACCEPT;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::buffer::Buffers;
use super::upstream::Upstream;
use crate::access::{Owned, Owner};
use crate::token::AgentId;
use crate::web::{Kind, Problem};

/// What is remembered, at most; some 200 bytes each.
const MOST: u64 = 16_384;

/// For how many the cache is laid out; it grows.
const USUAL: usize = 512;

/// An agent's conversations and runs stay its own.
const KEEP_FOUND: Duration = Duration::from_secs(600);

/// What isn't there may be there soon.
const KEEP_ABSENT: Duration = Duration::from_secs(5);

/// Questions that are open at a time.
const MOST_QUESTIONS: usize = 256;

/// Largest answer that is read.
const MOST_BYTES: usize = 1 << 20;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Entry {
    outcome: Result<Owner, Box<Problem>>,
    /// When the answer came.
    at: Instant,
    /// A failure is told to all who waited for it, and not kept.
    keep: Duration,
}

impl Entry {
    /// Whether it answers what was asked at `asked`.
    fn serves(&self, asked: Instant) -> bool {
        asked <= self.at || self.at.elapsed() < self.keep
    }
}

pub(super) struct Owners {
    known: Cache<Owned, Entry, UnitWeighter>,
    questions: Semaphore,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::with_weighter(USUAL, MOST, UnitWeighter),
            questions: Semaphore::new(MOST_QUESTIONS),
        }
    }

    /// Whose it is. Who asks for the same at the same time gets the same answer.
    pub(super) async fn find(
        &self,
        upstream: &Upstream,
        buffers: &Buffers,
        owned: &Owned,
    ) -> Result<Owner, Problem> {
        let asked = Instant::now();
        loop {
            match self.known.get_value_or_guard_async(owned).await {
                Ok(entry) if entry.serves(asked) => {
                    return entry.outcome.map_err(|problem| *problem);
                }
                Ok(stale) => drop(self.known.remove_if(owned, |entry| entry.at == stale.at)),
                Err(place) => {
                    let outcome = self.ask(upstream, buffers, owned).await.map_err(Box::new);
                    let keep = match &outcome {
                        Ok(Owner::Agent(_)) => KEEP_FOUND,
                        Ok(Owner::Absent) => KEEP_ABSENT,
                        Err(_) => Duration::ZERO,
                    };
                    let entry = Entry { outcome: outcome.clone(), at: Instant::now(), keep };
                    // It fails only if somebody cleared the place, and then it is asked again.
                    let _ = place.insert(entry);
                    return outcome.map_err(|problem| *problem);
                }
            }
        }
    }

    async fn ask(&self, upstream: &Upstream, buffers: &Buffers, owned: &Owned) -> Result<Owner, Problem> {
        let too_slow = || {
            let detail = "the agent server did not say in time whose this is";
            Problem::new(Kind::UpstreamTimeout, detail)
        };
        let ask = async {
            let _turn = self.questions.acquire().await.map_err(Problem::internal)?;
            let path = match owned {
                Owned::Conversation(id) => format!("/v1/conversations/{id}"),
                Owned::Run(id) => format!("/v1/runs/{id}"),
            };
            let path = PathAndQuery::try_from(path).map_err(Problem::internal)?;
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
            let response = upstream.send(Method::GET, path, headers, Body::empty()).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(Owner::Absent),
                status => return Err(super::answer::upstream_refusal(status)),
            }
            let unreadable = || {
                let detail = "the agent server did not say whose this is";
                Problem::new(Kind::UpstreamInvalid, detail)
            };
            let body = response.into_body();
            let body = buffers.read(body, MOST_BYTES, PATIENCE).await.map_err(|_| unreadable())?;
            owner_in(&body.bytes).ok_or_else(unreadable)
        };
        tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(too_slow()))
    }
}

/// The agent that an object names.
fn owner_in(json: &[u8]) -> Option<Owner> {
    #[derive(Deserialize)]
    struct Named {
        agent_id: AgentId,
    }
    serde_json::from_slice(json).ok().map(|Named { agent_id }| Owner::Agent(agent_id))
}
