"""Streams arrive as they come, and end when the token is no longer good."""

import contextlib
import json
import time

import letta_client
import pytest

from gateway import connect, issue, ok, page, say
from hallpass import TOKENS, wait_until
from model import FAILURE

# 40 s of words, unless something ends them.
SLOW = "[slow 200] [words 200]"


@contextlib.contextmanager
def stream(http, path, **body):
    with http.stream("POST", path, json=say(SLOW, stream_tokens=True, **body)) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def events(answer):
    """Each event as its type, its data and when it was whole."""
    kind, data = None, []
    for line in answer.iter_lines():
        if line.startswith("event:"):
            kind = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").strip())
        elif not line and data:
            yield kind, "\n".join(data), time.monotonic()
            kind, data = None, []
    assert data == [], "the stream ended within an event"


def is_word(event):
    return "assistant_message" in event[1]


def test_each_event_leaves_when_it_comes(http, a):
    with stream(http, f"{a.path}/messages/stream") as answer:
        at = [event[2] for event, _ in zip(filter(is_word, answer), range(6), strict=False)]
    # The model says a word each 200 ms; held back, they would come together again and again. Now and then they may: the
    # agent server itself stands still for a moment when there is much to do.
    apart = [later - earlier > 0.1 for earlier, later in zip(at, at[1:], strict=False)]
    assert len(apart) == 5 and apart.count(True) >= 3, at


@pytest.mark.parametrize("way", ["agent", "agent, the one method", "conversation"])
def test_revoking_a_token_ends_its_streams_within_a_second(server, key, a, way):
    token = issue(server, a)
    path, body = {
        "agent": (f"{a.path}/messages/stream", {}),
        "agent, the one method": (f"{a.path}/messages", {"streaming": True}),
        "conversation": (f"/v1/conversations/{a.conversation}/messages", {}),
    }[way]
    with page(server, token) as http, stream(http, path, **body) as answer:
        assert any(map(is_word, answer))
        assert key.delete(f"{TOKENS}/{token}").status_code == 204
        revoked_at = time.monotonic()
        *_, (kind, data, ended_at) = answer
    assert kind == "error"
    problem = json.loads(data)
    assert (problem["status"], problem["reason"]) == (401, "token_revoked")
    assert ended_at - revoked_at < 1.0
    with page(server, token) as http:
        assert http.get(a.path).status_code == 401


def test_the_sdk_sees_why_its_stream_ended(server, key, a):
    token = issue(server, a)
    words = 0
    with pytest.raises(letta_client.APIError) as caught:
        for event in connect(server, token).agents.messages.stream(
            a.id, messages=say(SLOW)["messages"], stream_tokens=True
        ):
            words += event.message_type == "assistant_message"
            if words == 1:
                assert key.delete(f"{TOKENS}/{token}").status_code == 204
    assert 0 < words < 20
    assert caught.value.body["reason"] == "token_revoked"


def test_another_tokens_streams_go_on(server, key, a, b):
    policy = [{"type": "agent", "id": b.id, "access": ["write_messages"]}]
    with page(server, issue(server, b, policy=policy)) as http:
        body = say("[slow 100] [words 15]", stream_tokens=True)
        with http.stream("POST", f"{b.path}/messages/stream", json=body) as answer:
            seen = events(answer)
            assert any(map(is_word, seen))
            assert key.delete(f"{TOKENS}/{issue(server, a)}").status_code == 204
            assert [data for _, data, _ in seen][-1] == "[DONE]"


def test_a_page_that_goes_away_leaves_nothing_open(server, a, letta):
    with page(server, issue(server, a)) as http, stream(http, f"{a.path}/messages/stream") as answer:
        assert any(map(is_word, answer))
        before = connections(letta)
    wait_until(lambda: connections(letta) < before, "closing the connection to Letta")


def connections(letta):
    """Established connections of the server, as the system counts them."""
    port = f"{int(letta.url.rsplit(':', 1)[1]):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[1].endswith(f":{port}") and row[3] == "01" for row in rows)


def test_the_sdk_does_not_say_again_what_may_have_been_heard(server, token, a, relay):
    sdk, mark = connect(server, token).with_options(max_retries=2), relay.mark()
    with pytest.raises(letta_client.InternalServerError):
        sdk.agents.messages.create(a.id, messages=say("[error 500]")["messages"])
    assert [str(seen) for seen in relay.since(mark)] == [f"POST {a.path}/messages"]


# What the server makes of the provider's refusals: for 401 it is as if the gateway's own secret were wrong.
@pytest.mark.parametrize(("code", "status"), [(400, 400), (401, 502), (429, 429), (500, 502)])
def test_the_language_models_failure_is_told_without_its_words(http, a, code, status):
    answer = http.post(f"{a.path}/messages", json=say(f"[error {code}]"))
    assert answer.status_code == status, answer.text
    assert FAILURE not in answer.text


@pytest.mark.parametrize("code", [401, 429])
def test_a_stream_tells_of_a_failure_without_its_words(http, a, code):
    with http.stream("POST", f"{a.path}/messages/stream", json=say(f"[error {code}]")) as answer:
        seen = list(events(answer))
    assert "error" in [kind for kind, _, _ in seen]
    assert [data for _, data, _ in seen if FAILURE in data] == []


def test_a_run_tells_of_a_failure_without_its_words(http, a):
    assert http.post(f"{a.path}/messages", json=say("[error 429]")).status_code == 429
    (run,) = ok(http.get("/v1/runs/", params={"agent_id": a.id, "limit": "1"}))
    assert run["status"] == "failed"
    assert FAILURE not in json.dumps(run["metadata"])
    assert FAILURE not in http.get(f"/v1/runs/{run['id']}").text
