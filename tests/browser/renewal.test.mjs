// A chat that outlives its tokens: renewed before they end, after a 401, and after a stream that was cut off. Time is
// driven by `/dev/clock`, and in the page by Playwright's clock.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { AGENT, noNotice, notice, openChat, reply, say, saidSoFar, startBackend, told, tokenNumber } from "./chat.mjs";
import { startChromium, startHallpass, until, withPage } from "./stage.mjs";

const REFUSED = /^Failed to load resource: the server responded with a status of 401 \(Unauthorized\)$/;
const STREAM = "/messages/stream";
let hallpass, browser, backend;

before(async () => {
  [hallpass, browser] = await Promise.all([startHallpass(), startChromium()]);
  backend = await startBackend(hallpass.url);
});
after(() => Promise.all([hallpass?.stop(), browser?.close(), backend?.stop()]));
beforeEach(() => hallpass.reset());

describe("the chat", () => {
  test("renews a token shortly before it ends, without a refusal", () =>
    withPage(browser, {}, async (page) => {
      await openChat(page, backend.url);
      await say(page, "First [slow 0] [words 3]");
      await reply(page);
      await page.clock.setSystemTime(Date.now() + 280_000);
      await hallpass.advance("280s");
      await say(page, "Second [slow 0] [words 3]");
      await reply(page);
      await tokenNumber(page, 2);
      await noNotice(page);
      const requests = await hallpass.log();
      assert.deepEqual(requests.filter(({ decision }) => decision === "deny"), []);
      const ids = requests.filter(({ path, decision }) => path.endsWith(STREAM) && decision === "allow").map((said) => said.token_id);
      assert.equal(new Set(ids).size, 2, "each message went with a token of its own");
    }));

  test("renews a token that the server calls expired, and sends the message once more", () =>
    withPage(browser, { complaints: [REFUSED] }, async (page) => {
      await openChat(page, backend.url);
      await hallpass.advance("6m");
      await say(page, "Are you still there? [slow 0] [words 5]");
      assert.equal((await reply(page)).split(/\s+/).length, 5);
      await tokenNumber(page, 2);
      await noNotice(page);
      assert.deepEqual(told(await hallpass.log(), STREAM), ["deny 401 token_expired", "allow 200"]);
    }));

  test("is told when a token ends in the middle of a stream, and goes on with another", () =>
    withPage(browser, { complaints: [REFUSED] }, async (page) => {
      await openChat(page, backend.url);
      await say(page, "Take your time [slow 100] [words 20]");
      await until(saidSoFar.bind(null, page), "the first piece of the reply");
      await hallpass.advance("6m");
      const { title, code, advice } = await notice(page);
      assert.match(title, /^The reply was cut off: /);
      assert.equal(code, "401 token_expired");
      assert.match(advice, /goes on/);
      assert.ok((await reply(page)).split(/\s+/).length < 20);

      // What the agent has begun goes on, and a new token shows it.
      await until(async () => JSON.stringify(await hallpass.ask("GET", `/v1/agents/${AGENT}/messages`)).includes("assistant_message"), "the whole reply");
      await page.getByRole("button", { name: "Load the messages" }).click();
      await tokenNumber(page, 2);
      await page.getByRole("alert").waitFor({ state: "hidden" });
      assert.equal((await saidSoFar(page)).split(/\s+/).length, 20);
      await say(page, "And now? [slow 0] [words 4]");
      assert.equal((await reply(page)).split(/\s+/).length, 4);
    }));

  test("goes on when another key signs", () =>
    withPage(browser, { complaints: [REFUSED] }, async (page) => {
      await openChat(page, backend.url);
      await hallpass.fault("rotate-keys");
      await say(page, "First [slow 0] [words 3]");
      await reply(page);
      await hallpass.advance("6m");
      await say(page, "Second [slow 0] [words 3]");
      assert.equal((await reply(page)).split(/\s+/).length, 3);
      await tokenNumber(page, 2);
      await noNotice(page);
    }));
});

describe("renewingFetch, in the page", () => {
  /** Runs a function in the page with the module and with what counts the tokens. */
  const inPage = (page, run, more = {}) =>
    page.evaluate(
      async ([source, more]) => {
        const { renewingFetch } = await import("/renewing-fetch.js");
        let tokens = 0;
        const getToken = async () => {
          tokens += 1;
          const answer = await fetch("/api/token", { method: "POST" });
          return answer.json();
        };
        const result = await new Function(`return (${source})`)()({ renewingFetch, getToken, ...more });
        return { tokens, result };
      },
      [run.toString(), { url: `${hallpass.url}/v1/agents/${AGENT}/messages`, ...more }],
    );

  test("asks the backend once for many requests, before the first and after an expiry", () =>
    withPage(browser, { complaints: [REFUSED] }, async (page) => {
      await page.goto(`${backend.url}/style.css`);
      const many = async ({ renewingFetch, getToken, url }) => {
        globalThis.own ??= renewingFetch(url, getToken);
        const answers = await Promise.all([1, 2, 3, 4, 5].map(() => globalThis.own(url)));
        return answers.map(({ status }) => status);
      };
      assert.deepEqual(await inPage(page, many), { tokens: 1, result: [200, 200, 200, 200, 200] });
      await hallpass.advance("6m");
      const { result } = await inPage(page, many);
      assert.deepEqual(result, [200, 200, 200, 200, 200]);
      const requests = await hallpass.log();
      assert.equal(requests.filter(({ path }) => path.endsWith("/client-side-access-tokens")).length, 2);
      assert.equal(requests.filter(({ reason }) => reason === "token_expired").length, 5);
    }));

  test("renews after each of the refusals that another token mends, and after no other", () =>
    withPage(browser, { complaints: [REFUSED, /status of 403/] }, async (page) => {
      await page.goto(`${backend.url}/style.css`);
      const once = async ({ renewingFetch, getToken, url, held }) => {
        const response = await renewingFetch(url, getToken, held)(url);
        return response.ok ? "ok" : (await response.json()).reason;
      };
      const never = new Date(Date.now() + 3_600_000).toISOString();
      const { token } = await hallpass.token(backend.url, AGENT);
      await hallpass.ask("DELETE", `/v1/client-side-access-tokens/${token}`);
      assert.deepEqual(await inPage(page, once, { held: { token, expiresAt: never } }), { tokens: 1, result: "ok" });
      assert.deepEqual(await inPage(page, once, { held: { token: "nonsense", expiresAt: never } }), { tokens: 1, result: "ok" });
      const other = await hallpass.token("http://localhost:3000", AGENT);
      assert.deepEqual(await inPage(page, once, { held: other }), { tokens: 0, result: "origin_mismatch" });
      const url = `${hallpass.url}/v1/agents/${AGENT.replaceAll("1", "2")}/messages`;
      assert.deepEqual(await inPage(page, once, { url }), { tokens: 1, result: "agent_not_granted" });
    }));
});
