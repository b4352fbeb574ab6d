"""The calls of an app with the newer Python SDK, in the order in which they build on each other: the same text for
every server. `agent` is an agent that nobody has talked with, `other` one that the token isn't for.
"""

from letta_client import Letta

from shape import OTID, are_measured, has_ended, until


def says(content):
    return [{"role": "user", "content": content}]


def script(call, stage):
    origin = {"Origin": stage.origin}
    client = Letta(api_key=stage.token, base_url=stage.url, default_headers=origin, max_retries=0)
    for part in (reading, talking, streaming, on_its_own, conversations, refusals):
        part(call, client, stage)


def reading(call, client, stage):
    agents, agent = client.agents, stage.agent
    call("health", client.health)
    call("agents.retrieve", lambda: agents.retrieve(agent))
    call("agents.update", lambda: agents.update(agent, description="Answers questions"))
    call("agents.messages.list, before a word", lambda: agents.messages.list(agent))
    call("agents.blocks.list", lambda: agents.blocks.list(agent))
    call("agents.blocks.retrieve", lambda: agents.blocks.retrieve("human", agent_id=agent))
    call("agents.blocks.update", lambda: agents.blocks.update("human", agent_id=agent, value="Likes tea"))
    call("agents.passages.create", lambda: agents.passages.create(agent, text="Tea is at five", tags=["tea"]))
    call("agents.passages.list", lambda: agents.passages.list(agent, limit=5))
    call("agents.passages.search", lambda: agents.passages.search(agent, query="tea", tags=["tea"], top_k=1))


def talking(call, client, stage):
    messages, agent = client.agents.messages, stage.agent
    call("agents.messages.create", lambda: messages.create(agent, messages=says("[words 3]")))
    parts = [{"role": "user", "content": [{"type": "text", "text": "[words 3]"}], "otid": OTID}]
    call("agents.messages.create, parts", lambda: messages.create(agent, messages=parts, max_steps=3))
    call("agents.messages.create, a tool", lambda: messages.create(
        agent, messages=says("[tool conversation_search] [words 3]"),
    ))


def streaming(call, client, stage):
    messages, agent = client.agents.messages, stage.agent
    call("agents.messages.stream", lambda: messages.stream(agent, messages=says("[words 3]")))
    call("agents.messages.stream, a tool and tokens", lambda: messages.stream(
        agent, messages=says("[tool conversation_search] [words 3]"), stream_tokens=True, include_pings=True,
    ))
    call("agents.messages.stream, broken", lambda: messages.stream(
        agent, messages=says("[error stream]"), stream_tokens=True,
    ))
    call("agents.messages.list, by pages", lambda: messages.list(agent, order="asc", limit=7))
    call("agents.messages.list, a page", lambda: messages.list(agent, limit=4).items)


def on_its_own(call, client, stage):
    messages, runs, agent = client.agents.messages, client.runs, stage.agent
    run = call("agents.messages.create_async", lambda: messages.create_async(agent, messages=says("[words 3]")))
    until(lambda: runs.retrieve(run.id), has_ended, "the end of a run")
    call("runs.retrieve", lambda: runs.retrieve(run.id))
    call("runs.messages.list", lambda: runs.messages.list(run.id))
    call("runs.usage.retrieve", lambda: runs.usage.retrieve(run.id))
    call("agents.messages.create, failing", lambda: messages.create(agent, messages=says("[error 500]")))
    until(lambda: runs.list(agent_id=agent, limit=3).items, are_measured, "the time that runs took")
    call("runs.list", lambda: runs.list(agent_id=agent, limit=3).items)

    # Last of all: Letta overwrites the end of such a run when the model has answered after all.
    call("agents.messages.cancel, nothing runs", lambda: messages.cancel(agent))
    call("agents.messages.create_async, long", lambda: messages.create_async(
        agent, messages=says("[slow 100] [words 40]"),
    ))
    call("agents.messages.cancel", lambda: messages.cancel(agent))


def conversations(call, client, stage):
    conversations, agent = client.conversations, stage.agent
    made = call("conversations.create", lambda: conversations.create(agent_id=agent, summary="An order"))
    call("conversations.list", lambda: conversations.list(agent_id=agent, limit=5))
    call("conversations.retrieve", lambda: conversations.retrieve(made.id))
    call("conversations.messages.create", lambda: conversations.messages.create(made.id, messages=says("[words 3]")))
    call("conversations.messages.list", lambda: conversations.messages.list(made.id, order="asc"))
    call("conversations.cancel, nothing runs", lambda: conversations.cancel(made.id))


def refusals(call, client, stage):
    agents, agent, nobody = client.agents, stage.agent, stage.unknown
    call("no message", lambda: agents.messages.create(agent, messages=[]))
    call("an order that is none", lambda: agents.messages.list(agent, order="sideways"))
    call("a block that is not there", lambda: agents.blocks.retrieve("nothing", agent_id=agent))
    call("a conversation that is not there", lambda: client.conversations.retrieve(f"conv-{nobody}"))
    call("a run that is not there", lambda: client.runs.retrieve(f"run-{nobody}"))
    call("another agent", lambda: agents.retrieve(stage.other))
    call("what is denied to all", lambda: agents.delete(agent))
