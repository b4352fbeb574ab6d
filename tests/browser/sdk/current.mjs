// The calls that a page makes with the newer TypeScript SDK, in the order in which they build on each other: the same
// text for every server. `agent` is an agent that nobody has talked with, `other` one that the token isn't for.

import Letta from "@letta-ai/letta-client";
import { OTID, hasEnded, isMeasured, record, says, until } from "./shape.mjs";

export function run({ url, token, agent, other, unknown }) {
  const client = new Letta({ baseURL: url, apiKey: token, maxRetries: 0 });
  return record(async (call) => {
    const stage = { client, agent, other, unknown, call };
    for (const part of [reading, talking, histories, streaming, onItsOwn, conversations, refusals]) await part(stage);
  });
}

async function reading({ client, agent, call }) {
  await call("health", () => client.health());
  await call("agents.retrieve", () => client.agents.retrieve(agent));
  await call("agents.retrieve, what the page sees of it", async () => {
    const { response } = await client.agents.retrieve(agent).withResponse();
    return { status: response.status, headers: Object.fromEntries([...response.headers.keys()].map((name) => [name, ""])) };
  });
  await call("agents.update", () => client.agents.update(agent, { description: "Answers questions" }));
  await call("agents.messages.list, before a word", () => client.agents.messages.list(agent));
  await call("agents.blocks.list", () => client.agents.blocks.list(agent));
  await call("agents.blocks.retrieve", () => client.agents.blocks.retrieve("human", { agent_id: agent }));
  await call("agents.blocks.update", () => client.agents.blocks.update("human", { agent_id: agent, value: "Likes tea" }));
  await call("agents.passages.list, none", () => client.agents.passages.list(agent));
  await call("agents.passages.create", () => client.agents.passages.create(agent, { text: "Tea is at five", tags: ["tea"] }));
  await call("agents.passages.list", () => client.agents.passages.list(agent, { limit: 5, ascending: true }));
  await call("agents.passages.search", () => client.agents.passages.search(agent, { query: "tea", top_k: 1 }));
  await call("client.get core-memory", () => client.get(`/v1/agents/${agent}/core-memory`));
}

async function talking({ client, agent, call }) {
  const { messages } = client.agents;
  await call("agents.messages.create", () => messages.create(agent, says("[words 3]")));
  const parts = [{ type: "text", text: "[words 3]" }];
  await call("agents.messages.create, parts", () =>
    messages.create(agent, { messages: [{ role: "user", content: parts, otid: OTID }], max_steps: 3 }));
  await call("agents.messages.create, a tool", () => messages.create(agent, says("[tool conversation_search] [words 3]")));
  await call("agents.messages.create, some types", () =>
    messages.create(agent, says("[words 3]", { include_return_message_types: ["assistant_message"] })));
  await call("agents.messages.create, input", () => messages.create(agent, { input: "[words 3]" }));
}

async function histories({ client, agent, call }) {
  const { messages } = client.agents;
  const page = async (query) => (await messages.list(agent, query)).items;
  await call("agents.messages.list, by pages", () => messages.list(agent, { order: "asc", limit: 7 }));
  const last = await call("agents.messages.list, a page", () => page({ limit: 2 }));
  await call("agents.messages.list, before", () => page({ limit: 4, before: last[0].id }));
  await call("agents.messages.list, some types", () =>
    page({ limit: 20, include_return_message_types: ["user_message", "assistant_message"] }));
}

async function streaming({ client, agent, call }) {
  const { messages } = client.agents;
  await call("agents.messages.create, streaming", () => messages.create(agent, says("[words 3]", { streaming: true })));
  await call("agents.messages.stream", () => messages.stream(agent, says("[words 3]")));
  await call("agents.messages.stream, tokens", () =>
    messages.stream(agent, says("[words 5]", { stream_tokens: true, include_pings: false, background: false })));
  await call("agents.messages.stream, a tool", () => messages.stream(agent, says("[tool conversation_search] [words 3]")));
  await call("agents.messages.stream, a tool and tokens", () =>
    messages.stream(agent, says("[tool conversation_search] [words 3]", { stream_tokens: true })));
  await call("agents.messages.stream, broken", () => messages.stream(agent, says("[error stream]", { stream_tokens: true })));
  await call("agents.messages.stream, stopped", async () => {
    const stream = await messages.stream(agent, says("[slow 100] [words 40]", { stream_tokens: true }));
    return stopping(stream, () => messages.cancel(agent));
  });
}

/** Passes a stream on and stops what makes it at its first word. */
async function* stopping(stream, stop) {
  let stopped = false;
  for await (const event of stream) {
    yield event;
    if (event.message_type === "assistant_message" && !stopped) {
      stopped = true;
      await stop();
    }
  }
}

async function onItsOwn({ client, agent, call }) {
  const { messages } = client.agents;
  const runs = (id) => () => client.runs.retrieve(id);

  const run = await call("agents.messages.createAsync", () => messages.createAsync(agent, says("[words 3]")));
  await until(runs(run.id), hasEnded, "the end of a run");
  await call("runs.retrieve", runs(run.id));
  await call("runs.messages.list", () => client.runs.messages.list(run.id));
  await call("runs.usage.retrieve", () => client.runs.usage.retrieve(run.id));

  await call("agents.messages.create, failing", () => messages.create(agent, says("[error 500]")));
  const listed = async (query) => (await client.runs.list({ agent_id: agent, ...query })).items;
  const [failed] = await until(() => listed({ limit: 2 }), (newest) => newest.every(isMeasured), "the time that runs took");
  await call("runs.retrieve, failed", runs(failed.id));
  await call("runs.list, one page", () => listed({ limit: 3, statuses: ["completed"] }));
  await call("runs.list", () => client.runs.list({ agent_id: agent, order: "asc" }));

  // Last of all: Letta overwrites the end of such a run when the model has answered after all.
  await call("agents.messages.cancel, nothing runs", () => messages.cancel(agent));
  const long = await call("agents.messages.createAsync, long", () => messages.createAsync(agent, says("[slow 100] [words 40]")));
  await call("agents.messages.cancel", () => messages.cancel(agent));
  await call("runs.retrieve, cancelled", runs(long.id));
}

async function conversations({ client, agent, call }) {
  const { messages } = client.conversations;
  const { id } = await call("conversations.create", () => client.conversations.create({ agent_id: agent, summary: "An order" }));
  await call("conversations.list", () => client.conversations.list({ agent_id: agent, limit: 5 }));
  await call("conversations.retrieve", () => client.conversations.retrieve(id));
  await call("conversations.messages.list, before a word", () => messages.list(id));
  await call("conversations.messages.create", () => messages.create(id, says("[words 3]")));
  await call("conversations.messages.create, whole", () => messages.create(id, says("[words 3]", { streaming: false })));
  await call("conversations.messages.list", () => messages.list(id, { order: "asc" }));
  await call("conversations.retrieve, after words", () => client.conversations.retrieve(id));
  await call("conversations.cancel, nothing runs", () => client.conversations.cancel(id));
  await call("conversations.messages.create, stopped", async () => {
    const stream = await messages.create(id, says("[slow 100] [words 40]", { stream_tokens: true }));
    return stopping(stream, () => call("conversations.cancel", () => client.conversations.cancel(id)));
  });
  await call("agents.messages.list, of a conversation", async () =>
    (await client.agents.messages.list(agent, { conversation_id: id, order: "asc", limit: 4 })).items);
  await call("runs.list, of a conversation", async () =>
    (await client.runs.list({ agent_id: agent, conversation_id: id, statuses: ["completed"] })).items);
}

async function refusals({ client, agent, other, unknown, call }) {
  await call("no message", () => client.agents.messages.create(agent, { messages: [] }));
  await call("no content", () => client.agents.messages.create(agent, { messages: [{ role: "user" }] }));
  await call("a stream without a message", () => client.agents.messages.stream(agent, {}));
  await call("a limit that is none", () => client.agents.messages.list(agent, { limit: "many" }));
  await call("an order that is none", () => client.agents.messages.list(agent, { order: "sideways" }));
  await call("a message that is not there", () => client.agents.messages.list(agent, { before: `message-${unknown}` }));
  await call("a block that is not there", () => client.agents.blocks.retrieve("nothing", { agent_id: agent }));
  await call("a block's value that is none", () => client.agents.blocks.update("human", { agent_id: agent, value: 7 }));
  await call("a memory without a text", () => client.agents.passages.create(agent, {}));
  await call("an isolated block that is not there", () =>
    client.conversations.create({ agent_id: agent, isolated_block_labels: ["nothing"] }));
  await call("an agent's name that is none", () => client.agents.update(agent, { name: 7 }));
  await call("a conversation that is not there", () => client.conversations.retrieve(`conv-${unknown}`));
  await call("a run that is not there", () => client.runs.retrieve(`run-${unknown}`));
  await call("another agent", () => client.agents.retrieve(other));
  await call("what is denied to all", () => client.agents.delete(agent));
}
