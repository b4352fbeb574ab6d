// The comparison of shapes finds what it is there to find.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { differences } from "../../shapes/compare.mjs";
import { readRecording } from "../../shapes/recording.mjs";
import { record, shape } from "./shape.mjs";

const NAME = "typescript";

/** What is found after `change` was made to what the real server answered. */
function found(change, allowed = []) {
  const calls = readRecording(NAME);
  change(calls);
  return differences(NAME, calls, allowed);
}

describe("the comparison of shapes", () => {
  it("finds nothing where nothing differs", () => assert.deepEqual(found(() => {}), []));

  it("finds a field that is missing, one too many, and one of another type", () => {
    const differing = found(({ health }) => {
      delete health.returns.version;
      health.returns.versions = "text";
      health.returns.status = "=fine";
    });
    assert.deepEqual(differing, [
      "health/returns/status: =ok, but =fine",
      "health/returns/version: text, but it is missing",
      "health/returns/versions: isn't there, but text",
    ]);
  });

  it("finds a field of one event, and another order of events", () => {
    const name = "agents.messages.stream";
    assert.deepEqual(found((calls) => (calls[name].yields[1].run_id = "null")), [
      `${name}/yields[reasoning_message]/run_id: id run, but null`,
    ]);
    const [other] = found((calls) => calls[name].yields.reverse());
    assert.match(other, /^agents\.messages\.stream\/yields: =ping =reasoning.*, but =usage_statistics =stop_reason/);
  });

  it("finds another error, and a call that was never made", () => {
    const differing = found((calls) => {
      calls["another agent"].fails.status = 404;
      delete calls["what is denied to all"];
    });
    assert.equal(differing.length, 2);
    assert.match(differing[0], /^another agent\/fails\/status: 403, but 404$/);
    assert.match(differing[1], /^what is denied to all: .* but it is missing$/);
  });

  it("leaves out what the list allows, in every SDK's spelling, and no more", () => {
    const allowed = [{ path: "agents.*/llm_config/context_window", because: "…" }];
    const change = (calls) => {
      calls["agents.retrieve"].returns.llm_config.context_window = "null";
      calls["agents.retrieve"].returns.name = "null";
    };
    assert.deepEqual(found(change, allowed), ["agents.retrieve/returns/name: text, but null"]);
    const calls = readRecording("typescript-legacy");
    calls["agents.retrieve"].returns.llmConfig.contextWindow = "null";
    assert.deepEqual(differences("typescript-legacy", calls, allowed), []);
  });
});

describe("the shape of an answer", () => {
  it("keeps names, types, forms and kinds, not what is said", () => {
    const id = "message-7c7c5fd5-5a2c-4e54-9b0c-0d4f3a0a6b11";
    const answer = { id, date: "2026-01-31T12:00:00+00:00", message_type: "ping", tags: ["a", "b", 1], more: { [id]: null } };
    assert.deepEqual(shape(answer), {
      date: "time +00:00", id: "id message", message_type: "=ping", more: { "{message}": "null" }, tags: ["number", "text"],
    });
  });

  it("is the same for any number of words, and keeps the order of events", () => {
    const words = (...kinds) => shape(kinds.map((message_type) => ({ message_type })));
    assert.deepEqual(words("ping", "word", "word", "end"), words("ping", "word", "end"));
    assert.notDeepEqual(words("ping", "word", "end"), words("word", "ping", "end"));
  });

  it("is kept of all calls until a script fails itself", async () => {
    const calls = await record(async (call) => {
      await call("one", async () => "x");
      const nothing = await call("two", async () => Promise.reject(Object.assign(new TypeError("x"), { status: 404, error: {} })));
      nothing.id;
    });
    assert.deepEqual(Object.keys(calls), ["one", "two", "the script itself"]);
    assert.deepEqual(calls.two, { fails: { class: "TypeError", status: 404, body: {} } });
  });
});
