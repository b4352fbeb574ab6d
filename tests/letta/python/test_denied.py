"""What is denied on purpose stays denied whatever a token grants, and Letta's server never hears of it."""

import json
import re
from http.client import HTTPConnection

import pytest

from gateway import refused, unknown
from hallpass import wait_until

# All that a client token may ever do; everything else that the server offers must be refused.
OPEN = {
    ("GET", "/v1/agents/{agent_id}"),
    ("PATCH", "/v1/agents/{agent_id}"),
    ("GET", "/v1/agents/{agent_id}/messages"),
    ("POST", "/v1/agents/{agent_id}/messages"),
    ("POST", "/v1/agents/{agent_id}/messages/stream"),
    ("POST", "/v1/agents/{agent_id}/messages/async"),
    ("POST", "/v1/agents/{agent_id}/messages/cancel"),
    ("GET", "/v1/agents/{agent_id}/core-memory"),
    ("GET", "/v1/agents/{agent_id}/core-memory/blocks"),
    ("GET", "/v1/agents/{agent_id}/core-memory/blocks/{block_label}"),
    ("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/{block_label}"),
    ("GET", "/v1/agents/{agent_id}/archival-memory"),
    ("POST", "/v1/agents/{agent_id}/archival-memory"),
    ("GET", "/v1/agents/{agent_id}/archival-memory/search"),
    ("GET", "/v1/conversations/"),
    ("POST", "/v1/conversations/"),
    ("GET", "/v1/conversations/{conversation_id}"),
    ("GET", "/v1/conversations/{conversation_id}/messages"),
    ("POST", "/v1/conversations/{conversation_id}/messages"),
    ("POST", "/v1/conversations/{conversation_id}/cancel"),
    ("GET", "/v1/runs/"),
    ("GET", "/v1/runs/{run_id}"),
    ("GET", "/v1/runs/{run_id}/messages"),
    ("GET", "/v1/runs/{run_id}/usage"),
    ("GET", "/v1/health/"),
}
METHODS = ("get", "post", "put", "patch", "delete")
# The token is good, its origin is right, and it grants all there is for the agent: only these are left.
REASONS = ("route_not_allowed", "id_not_valid", "target_not_valid")


@pytest.fixture(scope="module")
def operations(admin):
    """What the server itself says that it offers."""
    paths = admin.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods if method in METHODS}
    assert OPEN <= found, OPEN - found
    return sorted(found)


def state(admin, *agents):
    """What a request could have changed, as the server itself has it."""
    lists = [
        "agents", "tools", "blocks", "conversations", "runs", "sources", "folders", "archives", "groups", "identities",
        "providers", "mcp-servers", "jobs", "messages",
    ]
    whole = {name: admin.get(f"/v1/{name}/", params={"limit": 200}).json() for name in lists}
    for agent in agents:
        for part in ("", "/messages", "/core-memory", "/archival-memory", "/tools", "/folders", "/files"):
            whole[agent.path + part] = admin.get(agent.path + part).json()
    return whole


@pytest.fixture(scope="module", autouse=True)
def nothing_changes(admin, model, a, b):
    # What other tests began may still go on, even if it was cancelled.
    wait_until(model.is_idle, "an end of all answers", deadline=30)
    seen = [None, state(admin, a, b)]
    while seen[-2] != (before := seen[-1]):
        assert len(seen) < 50, "there is no end of changes"
        seen.append(state(admin, a, b))
    yield
    after = state(admin, a, b)
    assert {name for name in before if before[name] != after[name]} == set()


def fill(path, agent):
    """A path of the agent's own things, so that only the route can be the reason to refuse."""
    own = {
        "agent_id": agent.id, "conversation_id": agent.conversation, "run_id": agent.run, "message_id": agent.message,
        "block_id": agent.block, "block_label": "human", "memory_id": agent.passage, "passage_id": agent.passage,
        "tool_name": "look_up",
    }
    return re.sub(r"\{(\w+)\}", lambda match: own.get(match[1]) or unknown(match[1].removesuffix("_id")), path)


def test_every_other_operation_of_the_server_is_refused(http, a, relay, operations):
    mark, tried = relay.mark(), 0
    for method, path in operations:
        for prefix in ("/v1", "/latest"):
            if prefix == "/v1" and (method, path) in OPEN:
                continue
            target = prefix + fill(path, a).removeprefix("/v1")
            # A query that would name the agent where that counted.
            for query in ("", f"?agent_id={a.id}"):
                content = {} if method == "GET" else {"json": {}}
                answer = http.request(method, target + query, **content)
                assert answer.status_code in (400, 403), f"{method} {target}: {answer.status_code} {answer.text[:300]}"
                assert refused(answer, 400, 403)["reason"] in REASONS, f"{method} {target}: {answer.text}"
                tried += 1
    assert tried > 700
    assert relay.since(mark) == []


# Each with what it would take to work, if it were passed.
NEAR = [
    ("DELETE", "{agent}", None),
    ("GET", "{agent}/export", None),
    ("POST", "/v1/agents/import", {"file": "x"}),
    ("POST", "/v1/agents/", {"name": "another", "model": "openai-proxy/fake-gpt"}),
    ("GET", "/v1/agents/", None),
    ("PATCH", "{agent}/tools/attach/{tool}", None),
    ("PATCH", "{agent}/tools/detach/{tool}", None),
    ("PATCH", "{agent}/tools/approval/look_up", {"requires_approval": False}),
    ("POST", "{agent}/tools/look_up/run", {"args": {"name": "x"}}),
    ("GET", "{agent}/tools", None),
    ("POST", "/v1/tools/run", {"source_code": "def f():\n    '''f'''\n    return 1", "args": {}}),
    ("PATCH", "{agent}/core-memory/blocks/attach/{foreign_block}", None),
    ("PATCH", "{agent}/core-memory/blocks/detach/{block}", None),
    ("PATCH", "/v1/blocks/{block}", {"value": "x"}),
    ("GET", "/v1/blocks/{foreign_block}", None),
    ("DELETE", "{agent}/archival-memory/{passage}", None),
    ("DELETE", "{agent}/archival-memory/{foreign_passage}", None),
    ("GET", "/v1/messages/{message}", None),
    ("GET", "/v1/messages/", None),
    ("POST", "/v1/messages/search", {"query": "words"}),
    ("POST", "/v1/agents/messages/search", {"query": "words"}),
    ("POST", "/v1/passages/search", {"query": "knows"}),
    ("PATCH", "{agent}/messages/{message}", {"message_type": "assistant_message", "content": "x"}),
    ("PATCH", "{agent}/reset-messages", {}),
    ("POST", "{agent}/generate", {"prompt": "x"}),
    ("POST", "{agent}/summarize", {}),
    ("POST", "{agent}/recompile", {}),
    ("POST", "{agent}/messages/preview-raw-payload", {"messages": [{"role": "user", "content": "x"}]}),
    ("POST", "{agent}/messages/capture", {}),
    ("GET", "{agent}/context", None),
    ("PATCH", "/v1/conversations/{conversation}", {"summary": "x"}),
    ("DELETE", "/v1/conversations/{conversation}", None),
    ("POST", "/v1/conversations/{conversation}/fork", {}),
    ("POST", "/v1/conversations/{conversation}/compact", {}),
    ("POST", "/v1/conversations/{conversation}/recompile", {}),
    ("POST", "/v1/conversations/{conversation}/stream", {}),
    ("DELETE", "/v1/runs/{run}", None),
    ("POST", "/v1/runs/{run}/stream", {}),
    ("GET", "/v1/runs/{run}/steps", None),
    ("GET", "/v1/runs/active", None),
    ("GET", "/v1/steps/", None),
    ("GET", "/v1/tags/", None),
    ("POST", "/v1/chat/completions", {"model": "{agent_id}", "messages": [{"role": "user", "content": "x"}]}),
    ("GET", "/latest/agents/{agent_id}", None),
    ("GET", "{agent}%2Fexport", None),
    ("GET", "{agent}/../../tools", None),
    ("GET", "{agent}/%2e%2e/%2e%2e/tools", None),
    ("GET", "//v1/agents/{agent_id}", None),
    ("GET", "{agent}/messages/..;/export", None),
    ("POST", "{agent}/messages/search", {"query": "x"}),
    ("HEAD", "{agent}", None),
    ("PUT", "{agent}", {"description": "x"}),
    # Tokens are a backend's: a token makes, lists and deletes none.
    ("POST", "/v1/client-side-access-tokens", {"hostname": "https://app.example.com", "policy": []}),
    ("GET", "/v1/client-side-access-tokens", None),
    ("DELETE", "/v1/client-side-access-tokens/x", None),
]


@pytest.mark.parametrize(("method", "path", "body"), NEAR, ids=[f"{method} {path}" for method, path, _ in NEAR])
def test_what_lies_near_is_refused(server, token, a, b, relay, admin, method, path, body):
    tool = admin.get(f"{a.path}/tools").json()[0]["id"]
    names = {
        "agent": a.path, "agent_id": a.id, "tool": tool, "block": a.block, "foreign_block": b.block,
        "passage": a.passage, "foreign_passage": b.passage, "message": a.message, "conversation": a.conversation,
        "run": a.run,
    }

    def named(text):
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], text)

    mark = relay.mark()
    status, text = raw(server, method, named(path), token, body and named(json.dumps(body)))
    if "client-side" in path:
        # Where tokens are made, only an API key counts.
        assert status == 401, f"{status}: {text}"
    elif method != "HEAD":
        assert status in (400, 403) and json.loads(text)["reason"] in REASONS, f"{status}: {text}"
    else:
        assert status == 403
    assert relay.since(mark) == []


def raw(server, method, target, token, body):
    """Sends a target as it is, which HTTP libraries tidy."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://app.example.com"}
    if body:
        headers["Content-Type"] = "application/json"
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in (headers | ({"Content-Length": str(len(body))} if body else {})).items():
        connection.putheader(name, value)
    connection.endheaders(body.encode() if body else None)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("field", [
    "system", "model", "llm_config", "tool_ids", "tool_exec_environment_variables", "secrets", "tags", "metadata",
    "message_ids", "block_ids", "identity_ids", "project_id", "hidden", "tool_rules", "max_files_open",
])
def test_a_field_of_an_agent_that_is_not_for_pages_is_refused(http, a, relay, field):
    mark = relay.mark()
    body = refused(http.patch(a.path, json={"name": "x", field: None}), 403, reason="field_not_allowed")
    assert body["field"] == field
    assert relay.since(mark) == []


@pytest.mark.parametrize("field", ["label", "read_only", "hidden", "metadata", "tags", "project_id"])
def test_a_field_of_a_block_that_is_not_for_pages_is_refused(http, a, relay, field):
    mark = relay.mark()
    refused(http.patch(f"{a.path}/core-memory/blocks/human", json={field: "x"}), 403, reason="field_not_allowed")
    assert relay.since(mark) == []


@pytest.mark.parametrize("field", ["model", "model_settings", "agent_id"])
def test_a_field_of_a_conversation_that_is_not_for_pages_is_refused(http, a, relay, field):
    mark = relay.mark()
    answer = http.post("/v1/conversations/", params={"agent_id": a.id}, json={field: "x"})
    refused(answer, 403, reason="field_not_allowed")
    assert relay.since(mark) == []
