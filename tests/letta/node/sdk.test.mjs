// The official TypeScript SDK, unchanged, with a client token, through the gateway to the real Letta server. Python has
// started all of that: HALLPASS_URL, HALLPASS_TOKEN (all access, for HALLPASS_AGENT alone), HALLPASS_OTHER (an agent).

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";

// The SDK is where the end-to-end tests have it.
const { default: Letta } = createRequire(new URL("../../e2e/package.json", import.meta.url))("letta-current");

const { HALLPASS_URL: baseURL, HALLPASS_TOKEN: apiKey, HALLPASS_AGENT: agent, HALLPASS_OTHER: other } = process.env;
const defaultHeaders = { origin: "https://app.example.com" };
const client = new Letta({ baseURL, apiKey, defaultHeaders, maxRetries: 0 });

const say = (content) => ({ messages: [{ role: "user", content }] });

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const kinds = (messages) => messages.map((message) => message.message_type);

describe("a client token", () => {
  it("sends a message", async () => {
    const answer = await client.agents.messages.create(agent, say("good morning"));
    assert.deepEqual(answer.messages.map((message) => message.content), ["You said: good morning"]);
  });

  it("streams an answer, word by word", async () => {
    const events = await collect(
      await client.agents.messages.stream(agent, { ...say("[words 3]"), stream_tokens: true, background: false }),
    );
    assert.deepEqual(kinds(events), [
      "ping", "assistant_message", "assistant_message", "assistant_message", "stop_reason", "usage_statistics",
    ]);
  });

  it("lists messages without the prompt", async () => {
    const messages = await collect(client.agents.messages.list(agent, { order: "asc" }));
    assert.ok(kinds(messages).includes("user_message"));
    assert.ok(!kinds(messages).includes("system_message"));
  });

  it("reads the agent without its secrets", async () => {
    const read = await client.agents.retrieve(agent, { include: ["agent.secrets", "agent.tools"] });
    assert.equal(read.id, agent);
    assert.deepEqual(read.secrets, []);
  });

  it("holds a conversation", async () => {
    const conversation = await client.conversations.create({ agent_id: agent, summary: "from Node" });
    const events = await collect(await client.conversations.messages.create(conversation.id, say("hello")));
    assert.ok(kinds(events).includes("assistant_message"));
    const messages = await collect(client.conversations.messages.list(conversation.id, { order: "asc" }));
    assert.deepEqual(kinds(messages), ["user_message", "assistant_message"]);
  });

  it("does not reach another agent, and says why", async () => {
    await assert.rejects(client.agents.messages.create(other, say("hello")), (error) => {
      assert.ok(error instanceof Letta.PermissionDeniedError, error.constructor.name);
      assert.equal(error.error.reason, "agent_not_granted");
      assert.ok(error.message.includes(error.error.message), error.message);
      return true;
    });
  });

  it("does not delete the agent", async () => {
    await assert.rejects(client.agents.delete(agent), { status: 403 });
  });
});
