//! The tools that every agent has: enough to show what a tool looks like. Nothing is ever run.

use serde_json::{Value, json};

use super::objects::USER;
use super::seed::Seed;

/// The tools as objects. They are the same on each server, so that their ids don't need its seed.
pub(super) fn shown() -> Vec<Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    vec![
        tool(
            "conversation_search",
            "letta_core",
            "Searches what was said before.",
            json!({
                "query": text("What to search for"),
                "roles": {
                    "type": "array", "items": { "type": "string", "enum": ["assistant", "user", "tool"] },
                    "description": "Who must have said it"
                },
                "limit": { "type": "integer", "description": "How much to find at most" },
                "start_date": text("Since when"), "end_date": text("Until when")
            }),
            &[],
        ),
        tool(
            "memory_insert",
            "letta_sleeptime_core",
            "Adds a text to a block of memory.",
            json!({
                "label": text("The block's label"), "new_string": text("What to add"),
                "insert_line": { "type": "integer", "description": "After which line to add it" }
            }),
            &["label", "new_string"],
        ),
        tool(
            "memory_replace",
            "letta_sleeptime_core",
            "Replaces a text in a block of memory.",
            json!({
                "label": text("The block's label"), "old_string": text("What to replace"),
                "new_string": text("What to put in its place")
            }),
            &["label", "old_string", "new_string"],
        ),
    ]
}

fn tool(name: &str, kind: &str, description: &str, properties: Value, required: &[&str]) -> Value {
    json!({
        "id": Seed(0).id("tool", name), "tool_type": kind, "description": description,
        "source_type": "python", "name": name, "tags": [kind], "source_code": null,
        "json_schema": {
            "name": name, "description": description,
            "parameters": { "type": "object", "properties": properties, "required": required }
        },
        "args_json_schema": null, "return_char_limit": 50_000, "pip_requirements": null,
        "npm_requirements": null, "default_requires_approval": null,
        "enable_parallel_execution": kind == "letta_core", "created_by_id": USER,
        "last_updated_by_id": USER, "metadata_": {}, "project_id": null
    })
}
