"""A token reaches the agent that it names, with the access that it names, from where it is for."""

import json

import pytest

from gateway import ALL, ORIGIN, issue, ok, page, quiet, refused, say, unknown

RM, WM, RA, WA = ALL


def conversation(agent):
    return f"/v1/conversations/{agent.conversation}"


def run(agent):
    return f"/v1/runs/{agent.run}"


# One request for each row of the table, with the access that it needs.
ROWS = [
    (RA, "GET", lambda x: x.path, None),
    (WA, "PATCH", lambda x: x.path, {"description": "x"}),
    (RM, "GET", lambda x: f"{x.path}/messages", None),
    (WM, "POST", lambda x: f"{x.path}/messages", say("x")),
    (WM, "POST", lambda x: f"{x.path}/messages/stream", say("x")),
    (WM, "POST", lambda x: f"{x.path}/messages/async", say("x")),
    (WM, "POST", lambda x: f"{x.path}/messages/cancel", {}),
    (RA, "GET", lambda x: f"{x.path}/core-memory", None),
    (RA, "GET", lambda x: f"{x.path}/core-memory/blocks", None),
    (RA, "GET", lambda x: f"{x.path}/core-memory/blocks/human", None),
    (WA, "PATCH", lambda x: f"{x.path}/core-memory/blocks/human", {"value": "x"}),
    (RA, "GET", lambda x: f"{x.path}/archival-memory", None),
    (RA, "GET", lambda x: f"{x.path}/archival-memory/search?query=x", None),
    (WA, "POST", lambda x: f"{x.path}/archival-memory", {"text": "x"}),
    (RM, "GET", lambda x: f"/v1/conversations/?agent_id={x.id}", None),
    (WM, "POST", lambda x: f"/v1/conversations/?agent_id={x.id}", {}),
    (RM, "GET", conversation, None),
    (RM, "GET", lambda x: f"{conversation(x)}/messages", None),
    (WM, "POST", lambda x: f"{conversation(x)}/messages", say("x", streaming=False)),
    (WM, "POST", lambda x: f"{conversation(x)}/cancel", {}),
    (RM, "GET", lambda x: f"/v1/runs/?agent_id={x.id}", None),
    (RM, "GET", run, None),
    (RM, "GET", lambda x: f"{run(x)}/messages", None),
    (RM, "GET", lambda x: f"{run(x)}/usage", None),
]


class Sample:
    """Stands for an agent in the names of tests."""

    path, id, conversation, run = "agent", "agent", "conversation", "run"


row = pytest.mark.parametrize(
    ("needed", "method", "path", "body"), ROWS, ids=[f"{method} {path(Sample)}" for _, method, path, _ in ROWS]
)


def send(http, method, path, body):
    return http.request(method, path, **({} if body is None else {"json": body}))


def heard_but_owners(relay, mark):
    """What reached the server, but for the gateway's own question whose a thing is."""
    return [seen for seen in relay.since(mark) if not is_owner_lookup(seen)]


def is_owner_lookup(seen):
    parts = seen.target.split("/")
    return seen.method == "GET" and len(parts) == 4 and parts[2] in ("conversations", "runs") and parts[3] != ""


@row
def test_needs_its_access(server, a, relay, needed, method, path, body):
    with page(server, issue(server, a, [access for access in ALL if access != needed])) as http:
        mark = relay.mark()
        assert refused(send(http, method, path(a), body), 403, reason="access_missing")["needed_access"] == needed
        assert heard_but_owners(relay, mark) == []


@row
def test_is_given_by_its_access_alone(server, a, key, needed, method, path, body):
    with page(server, issue(server, a, [needed])) as http:
        expected = 200
        if path(a).endswith("/cancel"):
            # The server itself says that there is nothing to cancel.
            quiet(key, a)
            expected = 409
        answer = send(http, method, path(a), body)
        assert answer.status_code == expected, answer.text


@row
def test_does_not_reach_another_agent(http, b, relay, needed, method, path, body):
    mark = relay.mark()
    by_owner = path(b).startswith((conversation(b), run(b)))
    reason = "not_granted" if by_owner else "agent_not_granted"
    refused(send(http, method, path(b), body), 403, reason=reason)
    assert heard_but_owners(relay, mark) == []


@pytest.mark.parametrize(("kind", "path"), [
    ("conv", "/v1/conversations/{}"), ("conv", "/v1/conversations/{}/messages"), ("run", "/v1/runs/{}"),
    ("run", "/v1/runs/{}/messages"), ("run", "/v1/runs/{}/usage"),
])
def test_does_not_tell_what_is_absent_from_what_is_not_its_own(http, b, kind, path):
    foreign = refused(http.get(path.format(b.conversation if kind == "conv" else b.run)), 403)
    absent = refused(http.get(path.format(unknown(kind))), 403)
    for body in (foreign, absent):
        body.pop("instance", None)
        body.pop("request_id", None)
    assert foreign == absent


@pytest.mark.parametrize("made", [
    lambda a, b: f"/v1/conversations/{a.id}/messages",
    lambda a, b: f"/v1/conversations/{b.id}/messages",
    lambda a, b: f"/v1/conversations/default/messages?agent_id={b.id}",
    lambda a, b: f"/v1/agents/{a.id.upper()}",
    lambda a, b: f"/v1/agents/{a.id.replace('agent', 'Agent')}",
    lambda a, b: f"/v1/agents/{a.id}x",
    lambda a, b: "/v1/agents/default",
    lambda a, b: f"/v1/runs/{a.conversation}",
    lambda a, b: f"/v1/conversations/?agent_id={a.id}&agent_id={b.id}",
    lambda a, b: f"/v1/conversations/?agent_id={b.id}&agent_id={a.id}",
    lambda a, b: f"/v1/conversations/?agent_id={b.id}",
    lambda a, b: "/v1/conversations/",
    lambda a, b: "/v1/runs/",
    lambda a, b: f"/v1/runs/?agent_ids={a.id}",
    lambda a, b: f"/v1/runs/?Agent_id={a.id}",
])
def test_another_spelling_opens_nothing(http, a, b, relay, made):
    mark = relay.mark()
    refused(http.get(made(a, b)), 400, 403)
    assert relay.since(mark) == []


def test_no_query_selects_what_is_not_its_own(http, a, b):
    def texts(path):
        return json.dumps(ok(http.get(path)))

    for query in (f"conversation_id={b.conversation}", f"agent_id={b.id}", "group_id=group-x"):
        assert b.name not in texts(f"{a.path}/messages?{query}")
    assert b.name not in texts(f"{conversation(a)}/messages?agent_id={b.id}")
    assert b.id not in texts(f"/v1/runs/?agent_id={a.id}&agent_ids={b.id}")
    assert b.id not in texts(f"/v1/runs/?agent_id={a.id}&conversation_id={b.conversation}")
    assert b.name not in texts(f"/v1/conversations/?agent_id={a.id}&summary_search={b.name}")
    assert b.name not in texts(f"{a.path}/archival-memory/search?query=what+{b.name}+knows&agent_id={b.id}")
    assert b.name not in texts(f"{a.path}/archival-memory?search={b.name}")


@pytest.mark.parametrize(("origin", "reason"), [
    ("https://evil.example.com", "origin_mismatch"),
    (f"{ORIGIN}.evil.example", "origin_mismatch"),
    (f"{ORIGIN}:444", "origin_mismatch"),
    (f"{ORIGIN}/", "origin_mismatch"),
    ("http://app.example.com", "origin_mismatch"),
    ("null", "origin_mismatch"),
    (None, "origin_missing"),
])
def test_is_bound_to_its_origin(server, token, a, relay, origin, reason):
    mark = relay.mark()
    with page(server, token, origin) as http:
        refused(http.get(a.path), 403, reason=reason)
        refused(http.post(f"{a.path}/messages", json=say("x")), 403, reason=reason)
    assert relay.since(mark) == []


@pytest.mark.parametrize("bad", ["", "x", "Bearer", "sk-wrong-0123456789abcdef"])
def test_what_is_no_token_is_refused(server, a, relay, bad):
    mark = relay.mark()
    with page(server, bad or "e30.e30.e30") as http:
        refused(http.get(a.path), 401, reason="invalid_token")
    assert relay.since(mark) == []


def test_a_page_may_read_answers_and_refusals_of_its_own_origin(server, token, a, b, relay):
    with page(server, token) as http:
        answer = http.get(a.path)
        assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert http.get(b.path).headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert "access-control-allow-credentials" not in answer.headers
    mark = relay.mark()
    with page(server, "x") as http:
        prefix = "Access-Control-Request"
        asked = {f"{prefix}-Method": "POST", f"{prefix}-Headers": "authorization,content-type"}
        answer = http.options(f"{a.path}/messages", headers=asked)
        assert answer.status_code in (200, 204)
        assert answer.headers["access-control-allow-origin"] in (ORIGIN, "*")
    assert relay.since(mark) == []
