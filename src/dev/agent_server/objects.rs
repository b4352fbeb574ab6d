//! The objects in which Letta shows agents, blocks and passages, with all their members.

use serde_json::{Value, json};

use super::agent::{Agent, Block, Passage};
use super::seed::Seed;
use super::time::exact;
use super::tools;

/// The one user of a Letta server that was told of no other.
pub(super) const USER: &str = "user-00000000-0000-4000-8000-000000000000";
/// The organisation of that user.
pub(super) const ORGANIZATION: &str = "org-00000000-0000-4000-8000-000000000000";

/// Which of an agent's parts are shown. Without being asked, Letta shows none.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) blocks: bool,
    pub(super) tools: bool,
    pub(super) tags: bool,
}

impl Agent {
    /// The agent as an object.
    pub(super) fn shown(&self, parts: Parts) -> Value {
        let blocks: Vec<_> = self.blocks.iter().filter(|_| parts.blocks).map(Block::shown).collect();
        let tools = if parts.tools { tools::shown() } else { Vec::new() };
        let tags = if parts.tags { self.tags.as_slice() } else { &[] };
        let mut object = same_for_all();
        let own = json!({
            "created_at": exact(self.created_at), "updated_at": exact(self.updated_at), "id": self.id,
            "name": self.name, "message_ids": self.ids_in(None), "system": self.system,
            "llm_config": self.llm_config(), "model": self.model, "model_settings": self.model_settings(),
            "compaction_settings": self.compaction_settings(), "description": self.description,
            "metadata": self.metadata, "memory": memory(&blocks), "blocks": blocks, "tools": tools,
            "tags": tags, "last_stop_reason": self.last_stop_reason, "timezone": self.timezone,
            "hidden": self.hidden
        });
        if let (Value::Object(object), Value::Object(own)) = (&mut object, own) {
            object.extend(own);
        }
        object
    }

    fn compaction_settings(&self) -> Value {
        json!({
            "model": self.model, "model_settings": null, "prompt": "Sum up what was said so far.",
            "prompt_acknowledgement": false, "clip_chars": 50_000, "mode": "sliding_window",
            "sliding_window_percentage": 0.3
        })
    }

    fn llm_config(&self) -> Value {
        let name = self.model.rsplit('/').next().unwrap_or_default();
        json!({
            "model": name, "display_name": null, "model_endpoint_type": "openai",
            "model_endpoint": ENDPOINT, "provider_name": "openai", "provider_category": "base",
            "model_wrapper": null, "context_window": self.context_window,
            "put_inner_thoughts_in_kwargs": false, "handle": self.model, "temperature": 1.0,
            "max_tokens": self.max_tokens, "enable_reasoner": false, "reasoning_effort": null,
            "max_reasoning_tokens": 0, "effort": null, "frequency_penalty": null,
            "compatibility_type": null, "verbosity": null, "tier": null, "parallel_tool_calls": false,
            "response_format": null, "strict": false, "return_logprobs": false, "top_logprobs": null,
            "return_token_ids": false, "tool_call_parser": null
        })
    }

    fn model_settings(&self) -> Value {
        self.model_settings.clone().unwrap_or_else(|| {
            json!({
                "max_output_tokens": self.max_tokens, "parallel_tool_calls": true,
                "provider_type": "openai", "temperature": 1.0,
                "reasoning": { "reasoning_effort": "minimal" }, "response_format": null, "strict": false
            })
        })
    }
}

const AGENT_TYPE: &str = "letta_v1_agent";
const EMBEDDING: &str = "mock/mock-embedding";
/// Never asked: nothing listens on the port for discarded bytes.
const ENDPOINT: &str = "http://127.0.0.1:9/v1";

/// What is the same for all agents here.
fn same_for_all() -> Value {
    json!({
        "created_by_id": USER, "last_updated_by_id": USER, "tool_rules": [], "agent_type": AGENT_TYPE,
        "embedding_config": embedding_config(), "embedding": EMBEDDING, "response_format": null,
        "sources": [], "tool_exec_environment_variables": [], "secrets": [], "project_id": null,
        "template_id": null, "base_template_id": null, "deployment_id": null, "entity_id": null,
        "identity_ids": [], "identities": [], "pending_approval": null,
        "message_buffer_autoclear": false, "enable_sleeptime": null, "multi_agent_group": null,
        "managed_group": null, "last_run_completion": null, "last_run_duration_ms": null,
        "max_files_open": 5, "per_file_view_window_char_limit": 15_000
    })
}

/// The memory of an agent as an object.
pub(super) fn memory(blocks: &[Value]) -> Value {
    json!({
        "agent_type": AGENT_TYPE, "git_enabled": false, "blocks": blocks, "file_blocks": [],
        "prompt_template": ""
    })
}

fn embedding_config() -> Value {
    json!({
        "embedding_endpoint_type": "openai", "embedding_endpoint": ENDPOINT,
        "embedding_model": "mock-embedding", "embedding_dim": DIMENSIONS, "embedding_chunk_size": 300,
        "handle": EMBEDDING, "batch_size": 32, "azure_endpoint": null, "azure_version": null,
        "azure_deployment": null
    })
}

const DIMENSIONS: u16 = 1536;

impl Block {
    pub(super) fn shown(&self) -> Value {
        json!({
            "value": self.value, "limit": self.limit, "project_id": null, "template_name": null,
            "is_template": false, "template_id": null, "base_template_id": null, "deployment_id": null,
            "entity_id": null, "preserve_on_migration": false, "label": self.label, "read_only": false,
            "description": self.description, "metadata": {}, "hidden": null, "id": self.id,
            "created_by_id": null, "last_updated_by_id": null, "tags": []
        })
    }
}

impl Passage {
    /// The passage as an object, with an embedding as long as a real one and without meaning.
    pub(super) fn shown(&self, seed: Seed, agent: &str) -> Value {
        let drawn = seed.draw("embedding", &self.text);
        let embedding: Vec<_> = (0..DIMENSIONS)
            .map(|place| f64::from(drawn[usize::from(place) % 16] ^ place.to_be_bytes()[1]) / 8192.0)
            .collect();
        json!({
            "created_by_id": USER, "last_updated_by_id": USER, "created_at": exact(self.created_at),
            "updated_at": exact(self.updated_at), "is_deleted": false, "organization_id": ORGANIZATION,
            "archive_id": seed.id("archive", agent), "source_id": null, "file_id": null,
            "file_name": null, "metadata": {}, "tags": self.tags, "id": self.id, "text": self.text,
            "embedding": embedding, "embedding_config": embedding_config()
        })
    }
}
