// The official SDK in the browser with `renewingFetch` as its `fetch`: on a page of its own, built by esbuild.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { AGENT, EXAMPLE } from "./chat.mjs";
import { bundle, servePages, startChromium, startHallpass, withPage } from "./stage.mjs";

const REFUSED = /^Failed to load resource: the server responded with a status of 401 /;
const SOURCE = `
  import Letta from "@letta-ai/letta-client";
  import { renewingFetch } from ${JSON.stringify(join(EXAMPLE, "renewing-fetch.js"))};
  Object.assign(globalThis, { Letta, renewingFetch });
`;
let hallpass, browser, pages;

before(async () => {
  [hallpass, browser, pages] = await Promise.all([
    startHallpass(),
    startChromium(),
    bundle(SOURCE).then((script) => servePages({ "/": "<!doctype html><script type=module src=/page.js></script>", "/page.js": script })),
  ]);
});
after(() => Promise.all([hallpass?.stop(), browser?.close(), pages?.stop()]));
beforeEach(() => hallpass.reset());

/** A page with `sdk`, whose tokens the test asks for in place of a backend. */
function withSdk({ complaints = [], fails = () => false }, use) {
  return withPage(browser, { complaints }, async (page) => {
    let tokens = 0;
    await page.exposeFunction("getToken", async () => {
      if (fails()) throw new Error("not logged in");
      tokens += 1;
      return hallpass.token(pages.origin, AGENT);
    });
    await page.goto(pages.origin);
    await page.waitForFunction(() => "renewingFetch" in globalThis);
    await page.evaluate(({ baseURL, agent }) => {
      const { Letta, renewingFetch } = globalThis;
      const letta = new Letta({ apiKey: "from the backend", baseURL, fetch: renewingFetch(baseURL, () => globalThis.getToken()) });
      const said = (content) => ({ messages: [{ role: "user", content }] });
      globalThis.sdk = {
        list: async () => (await letta.agents.messages.list(agent)).items.length,
        ask: async (text) => (await letta.agents.messages.create(agent, said(text))).messages.at(-1).content,
        stream: async (text, options, onWord = () => {}) => {
          let reply = "";
          const events = await letta.agents.messages.stream(agent, { ...said(text), stream_tokens: true }, options);
          for await (const event of events) {
            if (event.message_type !== "assistant_message") continue;
            reply += event.content;
            onWord();
          }
          return reply;
        },
      };
    }, { baseURL: hallpass.url, agent: AGENT });
    await use(page, () => tokens);
  });
}

const words = (text) => text.split(/\s+/).length;

test("lists, asks and streams with one token", () =>
  withSdk({}, async (page, tokens) => {
    assert.equal(await page.evaluate(() => globalThis.sdk.list()), 0);
    assert.equal(words(await page.evaluate(() => globalThis.sdk.ask("One [words 6]"))), 6);
    assert.equal(words(await page.evaluate(() => globalThis.sdk.stream("Two [words 7]"))), 7);
    assert.equal(tokens(), 1);
    const requests = await hallpass.log();
    assert.ok(requests.some(({ decision }) => decision === "preflight"));
    assert.ok(requests.every(({ decision }) => decision !== "deny"));
  }));

test("renews once for many calls at once", () =>
  withSdk({ complaints: [REFUSED] }, async (page, tokens) => {
    await page.evaluate(() => globalThis.sdk.list());
    await hallpass.advance("6m");
    const all = () => Promise.all([globalThis.sdk.list(), globalThis.sdk.ask("One [words 6]"), globalThis.sdk.stream("Two [words 7]")]);
    const [, asked, streamed] = await page.evaluate(all);
    assert.deepEqual([words(asked), words(streamed)], [6, 7]);
    assert.equal(tokens(), 2);
    const messages = (await hallpass.log()).filter(({ method, decision }) => method === "POST" && decision === "allow");
    assert.equal(messages.length, 2, "each message was sent once");
  }));

test("a stream that is cut off is an error of the API, with its reason", () =>
  withSdk({ complaints: [REFUSED] }, async (page, tokens) => {
    await hallpass.fault("revoke", { events: 3 });
    const error = await page.evaluate(() => globalThis.sdk.stream("Go on [slow 100] [words 30]").catch((error) => error.error));
    assert.equal(error.reason, "token_revoked");
    assert.equal(words(await page.evaluate(() => globalThis.sdk.stream("Again [words 4]"))), 4);
    assert.equal(tokens(), 2);
  }));

test("a backend that gives no token is the cause of an error of the connection", () => {
  let fails = true;
  return withSdk({ fails: () => fails }, async (page) => {
    const told = await page.evaluate(() => globalThis.sdk.list().catch((error) => [error.constructor.name, error.cause?.message]));
    assert.match(told[0], /APIConnectionError/);
    assert.match(told[1], /not logged in/);
    fails = false;
    assert.equal(await page.evaluate(() => globalThis.sdk.list()), 0);
  });
});

test("a call can be given up", () =>
  withSdk({}, async (page) => {
    // Given up at its first word, however long that takes to come.
    const reply = await page.evaluate(() => {
      const stop = new AbortController();
      return globalThis.sdk.stream("Go on [slow 100] [words 40]", { signal: stop.signal }, () => stop.abort());
    });
    assert.ok(words(reply) < 40, reply);
  }));
