//! Any sequence of operations, against a model that is too simple to be wrong: a list of tokens.

use std::sync::Arc;
use std::time::Duration;

use hallpass::clock::Timestamp;
use hallpass::keys::ApiKeyId;
use hallpass::store::{IssuanceRecord, ListQuery, RevokeFilter, Status, Store};
use hallpass::token::{AgentId, TokenId, is_expired};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::database::Database;
use crate::draft::{agent, api_key, draft, key_id, origin, start};

const AGENTS: [&str; 3] = ["a", "b", "c"];
const HOSTNAMES: [&str; 2] = ["https://one.example", "https://two.example"];
const API_KEYS: [&str; 2] = ["key_a", "key_b"];
const PROJECTS: [i64; 2] = [1, 2];
const STATUSES: [Status; 4] = [Status::Active, Status::Expired, Status::Revoked, Status::All];

/// What may happen to a store. Choices are numbers, taken modulo what there is to choose from.
#[derive(Clone, Debug)]
enum Operation {
    Issue {
        project: usize,
        key: usize,
        hostname: usize,
        agents: Vec<usize>,
        millis: u64,
    },
    Revoke {
        token: usize,
        project: usize,
    },
    RevokeWhere {
        project: Option<usize>,
        agent: Option<usize>,
        hostname: Option<usize>,
        key: Option<usize>,
    },
    RevokeApiKey {
        key: usize,
        keep_tokens: bool,
    },
    Prune {
        retention_seconds: u64,
        batch: u32,
    },
    /// Forward, or back: clocks are set back too.
    MoveClock {
        seconds: i64,
    },
    List {
        project: usize,
        agent: Option<usize>,
        status: usize,
        limit: u32,
        offset: u64,
    },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let optional = || prop::option::weighted(0.3, 0..3usize);
    let agents = || prop::collection::vec(0..3usize, 1..4);
    let issue = (0..2usize, 0..2usize, 0..2usize, agents(), 0..60_000u64).prop_map(
        |(project, key, hostname, agents, millis)| Operation::Issue {
            project,
            key,
            hostname,
            agents,
            millis,
        },
    );
    let revoke =
        (any::<usize>(), 0..2usize).prop_map(|(token, project)| Operation::Revoke { token, project });
    let revoke_where = (optional(), optional(), optional(), optional())
        .prop_map(|(project, agent, hostname, key)| Operation::RevokeWhere { project, agent, hostname, key });
    let revoke_key = (0..2usize, any::<bool>())
        .prop_map(|(key, keep_tokens)| Operation::RevokeApiKey { key, keep_tokens });
    let prune = (0..60u64, 1..4u32)
        .prop_map(|(retention_seconds, batch)| Operation::Prune { retention_seconds, batch });
    let clock = (-20..40i64).prop_map(|seconds| Operation::MoveClock { seconds });
    let list = (0..2usize, optional(), 0..4usize, 1..5u32, 0..4u64).prop_map(
        |(project, agent, status, limit, offset)| Operation::List { project, agent, status, limit, offset },
    );
    let operation = prop_oneof![
        16 => issue, 6 => revoke, 2 => revoke_where, 1 => revoke_key, 2 => prune, 8 => clock, 12 => list
    ];
    prop::collection::vec(operation, 1..40)
}

struct Entry {
    record: IssuanceRecord,
    revoked_at: Option<Timestamp>,
}

impl Entry {
    fn is_over(&self, now: Timestamp) -> bool {
        is_expired(self.record.expires_at.seconds(), now)
    }

    fn has(&self, status: Status, now: Timestamp) -> bool {
        match status {
            Status::Active => self.revoked_at.is_none() && !self.is_over(now),
            Status::Expired => self.revoked_at.is_none() && self.is_over(now),
            Status::Revoked => self.revoked_at.is_some(),
            Status::All => true,
        }
    }
}

/// All tokens in the order of their issue.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    /// Revokes the live ones that fit, and says how many.
    fn revoke(&mut self, now: Timestamp, fits: impl Fn(&IssuanceRecord) -> bool) -> u64 {
        let live = self.0.iter_mut().filter(|entry| entry.has(Status::Active, now) && fits(&entry.record));
        live.map(|entry| entry.revoked_at = Some(now)).count() as u64
    }

    /// Revokes one, live or over, unless it was revoked before.
    fn revoke_one(&mut self, now: Timestamp, fits: impl Fn(&IssuanceRecord) -> bool) {
        if let Some(entry) = self.0.iter_mut().find(|entry| fits(&entry.record)) {
            entry.revoked_at.get_or_insert(now);
        }
    }

    fn list(&self, query: &ListQuery) -> (Vec<(TokenId, Option<Timestamp>)>, bool) {
        let mut fitting = self.0.iter().rev().filter(|entry| {
            let record = &entry.record;
            record.project_id == query.project_id
                && query.agent.as_ref().is_none_or(|agent| record.agents.contains(agent))
                && entry.has(query.status, query.now)
        });
        let offset = usize::try_from(query.offset).unwrap();
        let page = fitting.by_ref().skip(offset).take(query.limit as usize);
        let page: Vec<_> = page.map(|entry| (entry.record.jti, entry.revoked_at)).collect();
        (page, fitting.next().is_some())
    }
}

/// A store and its model, side by side.
struct Pair {
    store: Arc<dyn Store>,
    model: Model,
    now: Timestamp,
    issued: u16,
    revoked_keys: Vec<ApiKeyId>,
}

impl Pair {
    async fn new(database: &Database) -> Self {
        let store = database.open().await;
        assert_eq!(store.ensure_project("second", start()).await.unwrap().id, PROJECTS[1]);
        for key in API_KEYS {
            store.create_api_key(&api_key(key, start())).await.unwrap();
        }
        Self { store, model: Model::default(), now: start(), issued: 0, revoked_keys: Vec::new() }
    }

    async fn perform(&mut self, operation: Operation) {
        let (store, model, now) = (&*self.store, &mut self.model, self.now);
        match operation {
            Operation::Issue { project, key, hostname, agents, millis } => {
                let agents: Vec<_> = agents.into_iter().map(|agent| AGENTS[agent]).collect();
                self.issued += 1;
                let record = draft(self.issued)
                    .project(PROJECTS[project])
                    .api_key(API_KEYS[key])
                    .hostname(HOSTNAMES[hostname])
                    .agents(&agents)
                    .made(now)
                    .expires(now.after(Duration::from_millis(millis)))
                    .record();
                let key_is_good = !self.revoked_keys.contains(&record.api_key_id);
                assert_eq!(store.issue(record.clone()).await.unwrap(), key_is_good);
                if key_is_good {
                    model.0.push(Entry { record, revoked_at: None });
                }
            }
            Operation::Revoke { token, project } => {
                let project = PROJECTS[project];
                let known = model.0.get(token.checked_rem(model.0.len()).unwrap_or(0));
                let jti = known.map_or(draft(u16::MAX).jti(), |entry| entry.record.jti);
                let own = known.is_some_and(|entry| entry.record.project_id == project);
                model.revoke_one(now, |record| record.jti == jti && record.project_id == project);
                assert_eq!(store.revoke(project, jti, now).await.unwrap(), own);
            }
            Operation::RevokeWhere { project, agent: of_agent, hostname, key } => {
                let filter = RevokeFilter {
                    project_id: project.map(|project| PROJECTS[project % 2]),
                    agent: of_agent.map(|of_agent| agent(AGENTS[of_agent])),
                    origin: hostname.map(|hostname| origin(HOSTNAMES[hostname % 2])),
                    api_key: key.map(|key| key_id(API_KEYS[key % 2])),
                };
                let revoked = model.revoke(now, |record| {
                    filter.project_id.is_none_or(|project_id| record.project_id == project_id)
                        && filter.agent.as_ref().is_none_or(|agent| record.agents.contains(agent))
                        && filter.origin.as_ref().is_none_or(|origin| record.origin == *origin)
                        && filter.api_key.as_ref().is_none_or(|key| record.api_key_id == *key)
                });
                assert_eq!(store.revoke_where(&filter, now).await.unwrap(), revoked, "{filter:?}");
            }
            Operation::RevokeApiKey { key, keep_tokens } => {
                let key = key_id(API_KEYS[key]);
                let revoked = model.revoke(now, |record| !keep_tokens && record.api_key_id == key);
                assert_eq!(store.revoke_api_key(&key, keep_tokens, now).await.unwrap(), Some(revoked));
                self.revoked_keys.push(key);
            }
            Operation::Prune { retention_seconds, batch } => {
                let cutoff = now.before(Duration::from_secs(retention_seconds));
                let before = model.0.len();
                model.0.retain(|entry| entry.record.expires_at >= cutoff);
                let mut left = (before - model.0.len()) as u64;
                while left > 0 {
                    let removed = store.prune(cutoff, batch).await.unwrap();
                    assert_eq!(removed, left.min(batch.into()), "a full batch while there are enough");
                    left -= removed;
                }
                assert_eq!(store.prune(cutoff, batch).await.unwrap(), 0);
            }
            Operation::MoveClock { seconds } => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                self.now = if seconds < 0 { now.before(by) } else { now.after(by) };
            }
            Operation::List { project, agent: of_agent, status, limit, offset } => {
                let of_agent = of_agent.map(|of_agent| agent(AGENTS[of_agent]));
                self.compare(project, of_agent, STATUSES[status], limit, offset).await;
            }
        }
    }

    async fn compare(&self, project: usize, agent: Option<AgentId>, status: Status, limit: u32, offset: u64) {
        let query = ListQuery { project_id: PROJECTS[project], agent, status, now: self.now, limit, offset };
        let page = self.store.list(&query).await.unwrap();
        let listed: Vec<_> = page.tokens.iter().map(|token| (token.jti, token.revoked_at)).collect();
        assert_eq!((listed, page.has_next), self.model.list(&query), "{query:?}");
    }

    async fn compare_everything(&self) {
        for project in 0..PROJECTS.len() {
            for status in STATUSES {
                self.compare(project, None, status, 1000, 0).await;
                for of_agent in AGENTS {
                    self.compare(project, Some(agent(of_agent)), status, 1000, 0).await;
                }
            }
        }
        for entry in &self.model.0 {
            let found = self.store.find(entry.record.jti).await.unwrap().unwrap();
            assert_eq!((found.revoked_at, &found.payload), (entry.revoked_at, &entry.record.payload));
        }
    }
}

pub(crate) async fn any_sequence_of_operations_lists_what_a_simple_model_lists(database: &Database) {
    let backend = database.backend;
    let runtime = tokio::runtime::Handle::current();
    let config = Config { failure_persistence: None, ..Config::with_cases(64) };
    let check = |operations: Vec<Operation>| {
        runtime.block_on(async {
            let database = Database::new(backend);
            let mut pair = Pair::new(&database).await;
            for operation in operations {
                pair.perform(operation).await;
            }
            pair.compare_everything().await;
            pair.store.close().await;
        });
        Ok(())
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&operations(), check)).unwrap();
}
