//! Agents, their blocks and their passages.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Mock, each, text};

#[tokio::test(start_paused = true)]
async fn three_agents_are_there_and_others_come_into_being() {
    let mock = Mock::new();
    let list = mock.found("/v1/agents/?order=asc").await;
    let known = mock.server.agents();
    assert_eq!(each(&list, "id"), known.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
    assert_eq!(each(&list, "name"), ["Support assistant", "Travel planner", "Code reviewer"]);
    let id = "agent-123e4567-e89b-42d3-8456-426614174000";
    let agent = mock.found(&format!("/v1/agents/{id}")).await;
    assert_eq!((&agent["id"], &agent["name"]), (&json!(id), &json!("Assistant 123e")));
    let list = mock.found("/v1/agents/").await;
    assert_eq!(list[0]["id"], id);
    let names = async |query: &str| {
        let list = mock.found(&format!("/v1/agents/?{query}")).await;
        each(&list, "name").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("name=Travel%20planner").await, ["Travel planner"]);
    assert_eq!(names("query_text=REVIEW").await, ["Code reviewer"]);
    assert_eq!(names(&format!("after={id}&limit=1")).await, ["Code reviewer"]);
    assert_eq!(names("tags=x").await, Vec::<String>::new());
    assert_eq!(mock.get("/v1/agents/?limit=-1").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn an_agent_shows_its_parts_when_asked_and_when_changed() {
    let mock = Mock::new();
    let agent = mock.found(&mock.path("")).await;
    for part in
        ["blocks", "tools", "sources", "tags", "secrets", "tool_exec_environment_variables", "identities"]
    {
        assert_eq!(agent[part], json!([]), "{part}");
    }
    assert_eq!(agent["memory"]["blocks"], json!([]));
    assert_eq!(agent["agent_type"], "letta_v1_agent");
    assert_eq!(agent["llm_config"]["handle"], agent["model"]);
    assert_eq!((&agent["last_stop_reason"], &agent["hidden"]), (&Value::Null, &Value::Null));
    let more = mock.found(&mock.path("?include=agent.blocks&include=agent.tools")).await;
    assert_eq!(each(&more["blocks"], "label"), ["persona", "human"]);
    assert_eq!(more["memory"]["blocks"], more["blocks"]);
    assert_eq!(each(&more["tools"], "name"), ["conversation_search", "memory_insert", "memory_replace"]);
    let change = json!({
        "name": "Helper", "description": "Changed", "timezone": "Europe/Berlin", "tags": ["a"], "hidden": false,
        "metadata": { "owner": "x" }, "system": "Be brief.", "model": "other/model",
        "context_window_limit": 9000, "max_tokens": 100, "unknown": 1
    });
    let (status, changed) = mock.patch(&mock.path(""), &change).await;
    assert_eq!(status, StatusCode::OK);
    for member in ["name", "description", "timezone", "tags", "hidden", "metadata", "system", "model"] {
        assert_eq!(changed[member], change[member], "{member}");
    }
    assert_eq!(changed["llm_config"]["model"], "model");
    assert_eq!(
        (&changed["llm_config"]["context_window"], &changed["llm_config"]["max_tokens"]),
        (&json!(9000), &json!(100))
    );
    assert_eq!(changed["blocks"], more["blocks"]);
    let members = |agent: &Value| agent.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&agent), members(&changed));
    assert_eq!(mock.found(&mock.path("")).await["name"], "Helper");
    let (_, kept) = mock.patch(&mock.path(""), &json!({ "name": null, "hidden": null })).await;
    assert_eq!((&kept["name"], &kept["hidden"]), (&json!("Helper"), &json!(false)));
    for wrong in [
        json!({ "name": 7 }),
        json!({ "metadata": "x" }),
        json!({ "tags": "x" }),
        json!({ "tags": [1] }),
        json!({ "hidden": 2 }),
    ] {
        let (status, body) = mock.patch(&mock.path(""), &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(text(&body["detail"]).contains("'loc': ('body', '"));
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_are_read_and_changed() {
    let mock = Mock::new();
    let memory = mock.found(&mock.path("/core-memory")).await;
    assert_eq!(each(&memory["blocks"], "label"), ["persona", "human"]);
    assert_eq!((&memory["file_blocks"], &memory["prompt_template"]), (&json!([]), &json!("")));
    let blocks = mock.found(&mock.path("/core-memory/blocks")).await;
    assert_eq!(memory["blocks"], blocks);
    let page = mock
        .found(&mock.path(&format!("/core-memory/blocks?limit=1&after={}", text(&blocks[0]["id"]))))
        .await;
    assert_eq!(page, json!([blocks[1]]));
    let human = mock.path("/core-memory/blocks/human");
    assert_eq!(mock.found(&human).await, blocks[1]);
    let mut wanted = blocks[1].clone();
    let (_, changed) = mock.patch(&human, &json!({ "value": "Likes tea." })).await;
    wanted["value"] = json!("Likes tea.");
    assert_eq!(changed, wanted);
    let (_, changed) =
        mock.patch(&human, &json!({ "value": "x".repeat(20), "limit": 5, "description": "new" })).await;
    assert_eq!(
        (&changed["value"], &changed["limit"], &changed["description"]),
        (&json!("x".repeat(20)), &json!(5), &json!("new"))
    );
    assert_eq!(mock.found(&human).await, changed);
    for wrong in [json!({ "value": 7 }), json!({ "limit": "x" }), json!([])] {
        assert_eq!(mock.patch(&human, &wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let nothing = mock.path("/core-memory/blocks/nothing");
    let detail =
        json!({ "detail": format!("No block with label 'nothing' found for agent '{}'", mock.agent) });
    assert_eq!(mock.get(&nothing).await, (StatusCode::NOT_FOUND, detail.clone()));
    assert_eq!(mock.patch(&nothing, &json!({ "value": "x" })).await, (StatusCode::NOT_FOUND, detail));
    let (status, prompt) =
        mock.post(&format!("/v1/conversations/?agent_id={}", mock.agent), &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let prompt = mock.found(&format!("/v1/conversations/{}/messages", text(&prompt["id"]))).await;
    assert!(text(&prompt[0]["content"]).contains(&"x".repeat(20)));
}

#[tokio::test(start_paused = true)]
async fn passages_are_added_listed_and_found() {
    let mock = Mock::new();
    let path = mock.path("/archival-memory");
    assert_eq!(mock.found(&path).await, json!([]));
    let add = async |body: Value| mock.post(&path, &body).await.1[0].clone();
    let tea = add(json!({ "text": "Tea is served at five.", "tags": ["tea", "time"] })).await;
    let coffee =
        add(json!({ "text": "Coffee is served at nine.", "created_at": "2026-01-02T03:04:05Z" })).await;
    assert_eq!(tea["embedding"].as_array().unwrap().len(), 1536);
    assert_eq!(
        (&coffee["created_at"], &coffee["tags"]),
        (&json!("2026-01-02T03:04:05.000000Z"), &Value::Null)
    );
    assert_eq!(mock.found(&path).await, json!([coffee, tea]));
    let list = async |query: &str| mock.found(&format!("{path}?{query}")).await;
    assert_eq!(list("ascending=false&limit=1").await, json!([tea]));
    assert_eq!(list("search=COFFEE").await, json!([coffee]));
    assert_eq!(list(&format!("after={}", text(&coffee["id"]))).await, json!([tea]));
    assert_eq!(list(&format!("before={}", text(&tea["id"]))).await, json!([coffee]));
    let search = async |query: &str| mock.found(&format!("{path}/search?{query}")).await;
    let found = search("query=when+is+tea+served&top_k=2").await;
    assert_eq!(each(&found["results"], "id"), [text(&tea["id"]), text(&coffee["id"])]);
    assert_eq!(found["count"], 2);
    let first = json!({
        "id": tea["id"], "timestamp": "2026-01-31T12:00:00.000000+00:00", "content": "Tea is served at five.",
        "tags": ["tea", "time"]
    });
    assert_eq!(found["results"][0], first);
    assert_eq!(found["results"][1]["tags"], json!([]));
    for (query, count) in [
        ("query=x&top_k=1", 1),
        ("query=x&tags=tea&tags=y", 1),
        ("query=x&tags=tea&tags=y&tag_match_mode=all", 0),
        ("query=x&tags=tea&tags=time&tag_match_mode=all", 1),
        ("query=x&start_datetime=2026-01-03", 1),
        ("query=x&end_datetime=2026-01-03T00:00:00", 1),
        ("query=x&top_k=-1", 0),
    ] {
        assert_eq!(search(query).await["count"], count, "{query}");
    }
    for query in ["", "query=x&top_k=x", "query=x&tag_match_mode=x", "query=x&end_datetime=x"] {
        assert_eq!(
            mock.get(&format!("{path}/search?{query}")).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{query}"
        );
    }
    for body in ["{}", r#"{"text":7}"#, r#"{"text":null}"#, r#"{"text":"x","created_at":"then"}"#, ""] {
        assert_eq!(
            mock.answer("POST", &path, Body::from(body)).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn passages_are_bounded() {
    let mock = Mock::new();
    let path = mock.path("/archival-memory");
    for number in 0..205 {
        mock.post(&path, &json!({ "text": number.to_string() })).await;
    }
    let list = mock.found(&format!("{path}?limit=1000")).await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["text"]), (200, &json!("5")));
}
