"""What stands on either side of the gateway in these tests: a backend with its API key, pages with their tokens."""

import uuid
from dataclasses import dataclass

import httpx
import letta_client

from hallpass import TOKENS, wait_until
from model import EMBEDDING_HANDLE, MODEL_HANDLE

API_KEY = "sk-test-0123456789abcdef"
ORIGIN = "https://app.example.com"
ALL = ["read_messages", "write_messages", "read_agent", "write_agent"]
# Of each agent; none of these texts may come through the gateway to a page.
SECRET, SOURCE, PROMPT = "secret-of-a-tool-7d1e", "source-of-a-tool-93aa", "prompt-of-an-agent-41c8"

TOOL = f'''
def look_up(name: str) -> str:
    """Looks something up.

    Args:
        name (str): what to look up
    """
    return "{SOURCE}"
'''


@dataclass
class Agent:
    """An agent and one of each thing that belongs to it."""

    name: str
    id: str
    block: str
    conversation: str
    passage: str
    message: str
    run: str

    @property
    def path(self):
        return f"/v1/agents/{self.id}"


def backend(server):
    """With the API key, which passes the gateway whole."""
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60)


def issue(server, agent, access=ALL, **more):
    """A token for pages of `ORIGIN`."""
    request = {"hostname": ORIGIN, "policy": [{"type": "agent", "id": agent.id, "access": access}]} | more
    with backend(server) as http:
        return ok(http.post(TOKENS, json=request), 201)["token"]


def page(server, token, origin=ORIGIN):
    """Sends what a script of a page can send, and is as patient as one."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Origin": origin} if origin else {})
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


def connect(server, token):
    """The SDK outside a browser, which doesn't send an origin by itself."""
    return letta_client.Letta(
        api_key=token, base_url=server.url, default_headers={"Origin": ORIGIN}, max_retries=0, timeout=60
    )


def say(text, **more):
    return {"messages": [{"role": "user", "content": text}]} | more


def ok(answer, status=200):
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    return answer.json()


def refused(answer, *statuses, reason=None):
    """Holds a refusal to the form of every error, and returns its body."""
    assert answer.status_code in statuses, f"{answer.status_code}: {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["message"] == body["detail"] != ""
    assert reason is None or body["reason"] == reason, body
    return body


def make_agent(http, name):
    """Makes an agent with secrets and a tool, and talks with it, so that it has a history."""
    tool = ok(http.put("/v1/tools/", json={"source_code": TOOL, "source_type": "python"}))
    agent = ok(http.post("/v1/agents/", json={
        "name": name, "model": MODEL_HANDLE, "embedding": EMBEDDING_HANDLE, "system": PROMPT, "tool_ids": [tool["id"]],
        "secrets": {"TOKEN": SECRET}, "memory_blocks": [{"label": "human", "value": f"who talks with {name}"}],
    }))
    path = f"/v1/agents/{agent['id']}"
    conversation = ok(http.post("/v1/conversations/", params={"agent_id": agent["id"]}, json={"summary": name}))
    said = ok(http.post(f"{path}/messages", json=say(f"first words to {name}")))
    # It streams unless told otherwise; of an answer in one piece the server keeps a run that never ends.
    aside = http.post(f"/v1/conversations/{conversation['id']}/messages", json=say(f"aside to {name}"))
    assert aside.status_code == 200, aside.text
    passage = ok(http.post(f"{path}/archival-memory", json={"text": f"what {name} knows"}))
    return Agent(
        name, agent["id"], agent["blocks"][0]["id"], conversation["id"], passage[0]["id"],
        said["messages"][0]["id"], said["messages"][0]["run_id"],
    )


def quiet(key, agent):
    """Ends whatever an agent is still about, until the server says that there is nothing to cancel."""
    wait_until(lambda: key.post(f"{agent.path}/messages/cancel").status_code == 409, "cancelling what runs")


def unknown(kind):
    return f"{kind}-{uuid.uuid4()}"
