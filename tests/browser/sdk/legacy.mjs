// The calls that a page makes with the older TypeScript SDK, which has no conversations, and gives times as dates and
// its own names to fields. The same text for every server; `agent`, `other` and `unknown` as in `current.mjs`.

import { LettaClient } from "letta-client-legacy";
import { OTID, hasEnded, record, says, until } from "./shape.mjs";

const ONCE = { maxRetries: 0 };

export function run({ url, token, agent, other, unknown }) {
  const client = new LettaClient({ baseUrl: url, token });
  return record(async (call) => {
    const stage = { client, agent, other, unknown, call };
    for (const part of [reading, talking, onItsOwn, refusals]) await part(stage);
  });
}

async function reading({ client, agent, call }) {
  await call("health.check", () => client.health.check());
  await call("agents.retrieve", () => client.agents.retrieve(agent));
  await call("agents.modify", () => client.agents.modify(agent, { description: "Answers questions" }));
  await call("agents.messages.list, before a word", () => client.agents.messages.list(agent));
  await call("agents.coreMemory.retrieve", () => client.agents.coreMemory.retrieve(agent));
  await call("agents.blocks.list", () => client.agents.blocks.list(agent));
  await call("agents.blocks.retrieve", () => client.agents.blocks.retrieve(agent, "human"));
  await call("agents.blocks.modify", () => client.agents.blocks.modify(agent, "human", { value: "Likes tea" }));
  await call("agents.passages.list, none", () => client.agents.passages.list(agent));
  await call("agents.passages.create", () => client.agents.passages.create(agent, { text: "Tea is at five", tags: ["tea"] }));
  await call("agents.passages.list", () => client.agents.passages.list(agent, { limit: 5 }));
  await call("agents.passages.search", () => client.agents.passages.search(agent, { query: "tea", topK: 1 }));
}

async function talking({ client, agent, call }) {
  const { messages } = client.agents;
  await call("agents.messages.create", () => messages.create(agent, says("[words 3]")));
  const parts = [{ type: "text", text: "[words 3]" }];
  await call("agents.messages.create, parts", () =>
    messages.create(agent, { messages: [{ role: "user", content: parts, otid: OTID }], maxSteps: 3 }));
  await call("agents.messages.create, a tool", () => messages.create(agent, says("[tool conversation_search] [words 3]")));
  await call("agents.messages.createStream", () => messages.createStream(agent, says("[words 3]")));
  await call("agents.messages.createStream, tokens", () => messages.createStream(agent, says("[words 5]", { streamTokens: true })));
  await call("agents.messages.createStream, a tool", () =>
    messages.createStream(agent, says("[tool conversation_search] [words 3]", { streamTokens: true, includePings: true })));
  await call("agents.messages.list", () => messages.list(agent, { limit: 50 }));
}

async function onItsOwn({ client, agent, call }) {
  const { messages } = client.agents;
  const run = await call("agents.messages.createAsync", () => messages.createAsync(agent, says("[words 3]")));
  await until(() => client.runs.retrieve(run.id), hasEnded, "the end of a run");
  await call("runs.retrieve", () => client.runs.retrieve(run.id));
  // It names agents in a way that doesn't pass the gateway.
  await call("runs.list", () => client.runs.list({ agentIds: [agent], limit: 3 }));
  await call("runs.messages.list", () => client.runs.messages.list(run.id));
  await call("runs.usage.retrieve", () => client.runs.usage.retrieve(run.id));
  await call("agents.messages.create, failing", () => messages.create(agent, says("[error 500]"), ONCE));

  await call("agents.messages.cancel, nothing runs", () => messages.cancel(agent, {}, ONCE));
  await call("agents.messages.createAsync, long", () => messages.createAsync(agent, says("[slow 100] [words 40]")));
  await call("agents.messages.cancel", () => messages.cancel(agent));
}

async function refusals({ client, agent, other, unknown, call }) {
  await call("no message", () => client.agents.messages.create(agent, { messages: [] }, ONCE));
  await call("a block that is not there", () => client.agents.blocks.retrieve(agent, "nothing"));
  await call("a run that is not there", () => client.runs.retrieve(`run-${unknown}`));
  await call("another agent", () => client.agents.retrieve(other));
  await call("what is denied to all", () => client.agents.delete(agent));
}
