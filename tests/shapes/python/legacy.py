"""The calls of an app with the older Python SDK, which has no conversations: the same text for every server. `agent`
and `other` as in `current.py`.
"""

import httpx
from letta_client import Letta, MessageCreate, TextContent

from shape import OTID, are_measured, has_ended, until

ONCE = {"max_retries": 0}


def says(content, **more):
    return [MessageCreate(role="user", content=content, **more)]


def script(call, stage):
    http = httpx.Client(headers={"Origin": stage.origin}, timeout=60)
    client = Letta(token=stage.token, base_url=stage.url, httpx_client=http)
    for part in (reading, talking, on_its_own, refusals):
        part(call, client, stage)


def reading(call, client, stage):
    agents, agent = client.agents, stage.agent
    call("health.check", client.health.check)
    call("agents.retrieve", lambda: agents.retrieve(agent))
    call("agents.modify", lambda: agents.modify(agent, description="Answers questions"))
    call("agents.messages.list, before a word", lambda: agents.messages.list(agent))
    call("agents.core_memory.retrieve", lambda: agents.core_memory.retrieve(agent))
    call("agents.blocks.list", lambda: agents.blocks.list(agent))
    call("agents.blocks.retrieve", lambda: agents.blocks.retrieve(agent, "human"))
    call("agents.blocks.modify", lambda: agents.blocks.modify(agent, "human", value="Likes tea"))
    call("agents.passages.create", lambda: agents.passages.create(agent, text="Tea is at five", tags=["tea"]))
    call("agents.passages.list", lambda: agents.passages.list(agent, limit=5))
    call("agents.passages.search", lambda: agents.passages.search(agent, query="tea", top_k=1))


def talking(call, client, stage):
    messages, agent = client.agents.messages, stage.agent
    call("agents.messages.create", lambda: messages.create(agent, messages=says("[words 3]")))
    parts = says([TextContent(text="[words 3]")], otid=OTID)
    call("agents.messages.create, parts", lambda: messages.create(agent, messages=parts, max_steps=3))
    call("agents.messages.create, a tool", lambda: messages.create(
        agent, messages=says("[tool conversation_search] [words 3]"),
    ))
    call("agents.messages.create_stream", lambda: messages.create_stream(agent, messages=says("[words 3]")))
    call("agents.messages.create_stream, tokens", lambda: messages.create_stream(
        agent, messages=says("[words 5]"), stream_tokens=True, include_pings=False,
    ))
    call("agents.messages.list", lambda: messages.list(agent, limit=50))


def on_its_own(call, client, stage):
    messages, runs, agent = client.agents.messages, client.runs, stage.agent
    run = call("agents.messages.create_async", lambda: messages.create_async(agent, messages=says("[words 3]")))
    until(lambda: runs.retrieve(run.id), has_ended, "the end of a run")
    call("runs.retrieve", lambda: runs.retrieve(run.id))
    call("runs.messages.list", lambda: runs.messages.list(run.id))
    call("runs.usage.retrieve", lambda: runs.usage.retrieve(run.id))
    call("agents.messages.create, failing", lambda: messages.create(
        agent, messages=says("[error 500]"), request_options=ONCE,
    ))
    until(lambda: runs.list(agent_id=agent, limit=3), are_measured, "the time that runs took")
    call("runs.list", lambda: runs.list(agent_id=agent, limit=3))

    # Last of all: Letta overwrites the end of such a run when the model has answered after all.
    call("agents.messages.cancel, nothing runs", lambda: messages.cancel(agent, request_options=ONCE))
    call("agents.messages.create_async, long", lambda: messages.create_async(
        agent, messages=says("[slow 100] [words 40]"),
    ))
    call("agents.messages.cancel", lambda: messages.cancel(agent))


def refusals(call, client, stage):
    agents, agent = client.agents, stage.agent
    call("no message", lambda: agents.messages.create(agent, messages=[], request_options=ONCE))
    call("a block that is not there", lambda: agents.blocks.retrieve(agent, "nothing"))
    call("a run that is not there", lambda: client.runs.retrieve(f"run-{stage.unknown}"))
    call("another agent", lambda: agents.retrieve(stage.other))
    call("what is denied to all", lambda: agents.delete(agent))
