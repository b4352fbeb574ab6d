"""What a token grants works as without the gateway, with the SDK as it is."""

import json

import letta_client
import pytest

from gateway import ALL, PROMPT, SECRET, SOURCE, backend, connect, issue, ok, page, quiet, refused, say
from hallpass import wait_until


def kinds(messages):
    return [message.message_type for message in messages]


def user(text):
    return [{"role": "user", "content": text}]


class TestMessages:
    def test_a_message_is_answered(self, sdk, a):
        answer = sdk.agents.messages.create(a.id, messages=user("good morning"))
        assert [message.content for message in answer.messages] == ["You said: good morning"]
        assert answer.stop_reason.stop_reason == "end_turn"
        assert answer.usage.step_count == 1

    def test_an_answer_streams_word_by_word(self, sdk, a):
        events = list(sdk.agents.messages.stream(
            a.id, messages=user("[words 4]"), stream_tokens=True, background=False, include_pings=True
        ))
        assert kinds(events) == ["ping", *["assistant_message"] * 4, "stop_reason", "usage_statistics"]
        words = [event.content for event in events if event.message_type == "assistant_message"]
        assert words == ["word0 ", "word1 ", "word2 ", "word3"]

    def test_the_one_method_streams_when_asked(self, sdk, a):
        events = list(sdk.agents.messages.create(a.id, messages=user("[words 2]"), streaming=True))
        assert kinds(events) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]

    def test_a_tool_that_the_agent_has_is_called(self, sdk, a):
        events = list(sdk.agents.messages.stream(a.id, messages=user('[call conversation_search {"query":"x"}]')))
        assert {"tool_call_message", "tool_return_message"} <= set(kinds(events))

    def test_a_photo_travels_in_the_request(self, sdk, a, model):
        image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        content = [{"type": "text", "text": "a photo 5b21"}, {"type": "image", "source": image}]
        sdk.agents.messages.create(a.id, messages=[{"role": "user", "content": content}])
        (prompt,) = model.prompts_with("a photo 5b21")
        assert "iVBORw0KGgo=" in json.dumps(prompt["messages"][-1])

    def test_a_message_may_run_on_its_own_and_be_cancelled(self, sdk, a, key):
        quiet(key, a)
        run = sdk.agents.messages.create_async(a.id, messages=user("[slow 100] [words 40]"))
        assert run.agent_id == a.id
        assert sdk.agents.messages.cancel(a.id) == {run.id: "cancelled"}
        wait_until(lambda: sdk.runs.retrieve(run.id).status == "cancelled", "cancelling a run")
        # Nothing runs any more: what the server says of it comes through.
        with pytest.raises(letta_client.ConflictError):
            sdk.agents.messages.cancel(a.id)

    def test_a_list_of_messages_holds_no_prompt(self, sdk, a, admin):
        whole = admin.get(f"{a.path}/messages").json()
        assert "system_message" in {message["message_type"] for message in whole}
        seen = list(sdk.agents.messages.list(a.id, order="asc"))
        assert "system_message" not in kinds(seen)
        said = [message.content for message in seen if message.message_type == "assistant_message"]
        assert f"You said: first words to {a.name}" in said

    def test_a_list_of_messages_may_be_narrowed(self, http, a):
        types = ["user_message", "system_message"]
        query = {"conversation_id": a.conversation, "order": "asc", "limit": "3", "include_return_message_types": types}
        listed = ok(http.get(f"{a.path}/messages", params=query))
        assert [message["content"] for message in listed] == [f"aside to {a.name}"]

    def test_the_operator_may_let_the_prompt_be_seen(self, start_server, a):
        server = start_server(HALLPASS_GATEWAY__SYSTEM_MESSAGES="true")
        with page(server, issue(server, a)) as http:
            assert PROMPT in http.get(f"{a.path}/messages").text


class TestAgent:
    def test_an_agent_is_read_without_its_secrets(self, sdk, a):
        agent = sdk.agents.retrieve(a.id)
        assert (agent.id, agent.name, agent.system) == (a.id, a.name, PROMPT)
        assert agent.secrets == [] == agent.tool_exec_environment_variables

    def test_an_agent_is_described_and_its_secrets_do_not_come_back(self, sdk, a, admin):
        agent = sdk.agents.update(a.id, description="changed by a page")
        assert agent.description == "changed by a page"
        # This answer is the one that holds all of an agent.
        assert [tool.source_code or "" for tool in agent.tools] == [""] * len(agent.tools) != []
        assert agent.secrets == [] == agent.tool_exec_environment_variables
        assert admin.get(a.path).json()["description"] == "changed by a page"

    def test_memory_is_read_and_edited(self, sdk, http, a, admin):
        assert [block.label for block in sdk.agents.blocks.list(a.id)] == ["human"]
        assert sdk.agents.blocks.retrieve("human", agent_id=a.id).id == a.block
        assert [block["id"] for block in ok(http.get(f"{a.path}/core-memory"))["blocks"]] == [a.block]
        sdk.agents.blocks.update("human", agent_id=a.id, value="edited by a page")
        assert admin.get(f"/v1/blocks/{a.block}").json()["value"] == "edited by a page"

    def test_memories_are_kept_and_found(self, sdk, a):
        (made,) = sdk.agents.passages.create(a.id, text="a page was here", tags=["page"])
        assert made.id in [passage.id for passage in sdk.agents.passages.list(a.id)]
        found = sdk.agents.passages.search(a.id, query="a page was here", tags=["page"], top_k=1)
        assert [result.id for result in found.results] == [made.id]


class TestConversations:
    def test_a_conversation_from_its_beginning_to_its_end(self, sdk, a, model):
        more = {"isolated_block_labels": ["human"]}
        made = sdk.conversations.create(agent_id=a.id, summary="from a page", extra_body=more)
        assert len(made.isolated_block_ids) == 1
        assert made.agent_id == a.id
        assert made.id in [each.id for each in sdk.conversations.list(agent_id=a.id)]
        assert sdk.conversations.retrieve(made.id).summary == "from a page"

        events = list(sdk.conversations.messages.create(made.id, messages=user("hello there 0c77")))
        assert kinds(events) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
        assert len(model.prompts_with("hello there 0c77")) == 1

        listed = list(sdk.conversations.messages.list(made.id, order="asc"))
        assert kinds(listed) == ["user_message", "assistant_message"]
        with pytest.raises(letta_client.ConflictError):
            sdk.conversations.cancel(made.id)

    def test_a_conversation_answers_whole_if_asked(self, http, a):
        answer = ok(http.post(f"/v1/conversations/{a.conversation}/messages", json=say("again", streaming=False)))
        assert [message["content"] for message in answer["messages"]] == ["You said: again"]


class TestRuns:
    def test_runs_are_read(self, sdk, a, b):
        runs = list(sdk.runs.list(agent_id=a.id, order="asc"))
        assert a.run in [run.id for run in runs]
        assert {run.agent_id for run in runs} == {a.id}
        assert sdk.runs.retrieve(a.run).status == "completed"
        assert f"You said: first words to {a.name}" in [
            message.content for message in sdk.runs.messages.list(a.run) if message.message_type == "assistant_message"
        ]
        assert sdk.runs.usage.retrieve(a.run).completion_tokens > 0


def test_the_servers_health_is_read(sdk):
    assert sdk.health().status == "ok"


def test_a_token_for_two_agents_reaches_both(server, a, b):
    policy = [{"type": "agent", "id": agent.id, "access": ALL} for agent in (a, b)]
    sdk = connect(server, issue(server, a, policy=policy))
    assert [sdk.agents.retrieve(agent.id).name for agent in (a, b)] == [a.name, b.name]
    assert sdk.conversations.retrieve(b.conversation).agent_id == b.id


def reads(agent):
    conversation, run = f"/v1/conversations/{agent.conversation}", f"/v1/runs/{agent.run}"
    return [
        agent.path, f"{agent.path}/messages", f"{agent.path}/core-memory", f"{agent.path}/core-memory/blocks",
        f"{agent.path}/core-memory/blocks/human", f"{agent.path}/archival-memory",
        f"{agent.path}/archival-memory/search?query=x", f"/v1/conversations/?agent_id={agent.id}", conversation,
        f"{conversation}/messages", f"/v1/runs/?agent_id={agent.id}", run, f"{run}/messages", f"{run}/usage",
    ]


# What makes Letta's server show secrets: the query asks for them, or the client looks like an old SDK.
VERSION, BROWSER = "x-stainless-package-version", ("user-agent", "Mozilla/5.0")
TRICKS = [
    ("", []),
    ("include=agent.secrets&include=agent.tools&include=agent.sources", []),
    ("include_relationships=tool_exec_environment_variables&include_relationships=tools", []),
    ("", [BROWSER, (VERSION, "")]),
    ("", [BROWSER, (VERSION, "1.12.1"), (VERSION, "")]),
    ("include=agent.secrets", [("user-agent", "old/0.1"), (VERSION.replace("-", "_"), "1.12.1")]),
]


@pytest.mark.parametrize(("query", "headers"), TRICKS, ids=range(len(TRICKS)))
def test_no_answer_holds_a_secret(http, admin, a, query, headers):
    assert SECRET in admin.get(a.path, params={"include": "agent.secrets"}).text
    for path in reads(a):
        answer = http.get(f"{path}{'&' if '?' in path else '?'}{query}", headers=headers)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert SECRET not in answer.text and SOURCE not in answer.text, path
        # The prompt is part of the agent, and of nothing else.
        assert path == a.path or PROMPT not in answer.text, path
    answer = http.patch(f"{a.path}?{query}", json={"description": "x"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text and SOURCE not in answer.text


def test_only_passages_tell_where_a_model_is(http, admin, a, model):
    """Lists of passages are large, and pass as they are: each names the address of its embedding model."""
    address = model.url.removeprefix("http://")
    assert address in admin.get(a.path).text
    assert [path for path in reads(a) if address in http.get(path).text] == [f"{a.path}/archival-memory"]
    assert address not in http.patch(a.path, json={"description": "x"}).text


def test_an_api_key_sees_all_and_is_not_for_pages(server, a):
    with backend(server) as http:
        assert SECRET in http.get(a.path, params={"include": "agent.secrets"}).text
        refused(http.get(a.path, headers={"Origin": "https://app.example.com"}), 403, reason="key_with_origin")
