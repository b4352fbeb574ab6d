// What goes wrong, as the page tells it: the faults of `/dev/fault`, tokens that are taken back, failures of the agent
// server, and a server that is gone. After each, the chat goes on.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { AGENT, noNotice, notice, openChat, reply, say, saidSoFar, startBackend, told, tokenNumber } from "./chat.mjs";
import { startChromium, startHallpass, until, withPage } from "./stage.mjs";

const status = (code) => new RegExp(`^Failed to load resource: the server responded with a status of ${code} `);
let hallpass, browser, backend;

before(async () => {
  [hallpass, browser] = await Promise.all([startHallpass(), startChromium()]);
  backend = await startBackend(hallpass.url);
});
after(() => Promise.all([hallpass?.stop(), browser?.close(), backend?.stop()]));
beforeEach(() => hallpass.reset());

/** One page with the chat open; whatever happened in it, another message is answered at the end. */
function inChat(complaints, use) {
  return withPage(browser, { complaints }, async (page) => {
    await openChat(page, backend.url);
    await use(page);
    await say(page, "And now? [slow 0] [words 4]");
    await page.getByRole("alert").waitFor({ state: "hidden" });
    assert.equal((await reply(page)).split(/\s+/).length, 4);
    await noNotice(page);
  });
}

const loadMessages = async (page) => {
  await page.getByRole("button", { name: "Load the messages" }).click();
  await page.getByRole("alert").waitFor({ state: "hidden" });
};

test("a token that is deleted ends the stream in the page", () =>
  inChat([status(401)], async (page) => {
    await say(page, "Take your time [slow 100] [words 30]");
    await until(() => saidSoFar(page), "the first piece of the reply");
    const { token_id: id } = (await hallpass.log()).find(({ path, decision }) => path.endsWith("/stream") && decision === "allow");
    await hallpass.ask("DELETE", `/v1/client-side-access-tokens/${id}`);
    const { title, code } = await notice(page);
    assert.match(title, /^The reply was cut off: /);
    assert.equal(code, "401 token_revoked");
    assert.ok((await reply(page)).split(/\s+/).length < 30);
  }));

test("`revoke` with `events` does so after as many", () =>
  inChat([status(401)], async (page) => {
    await hallpass.fault("revoke", { events: 4 });
    await say(page, "Take your time [slow 100] [words 30]");
    assert.equal((await notice(page)).code, "401 token_revoked");
    await loadMessages(page);
    await tokenNumber(page, 2);
    const stream = (await hallpass.log()).find(({ fault }) => fault === "revoke");
    assert.equal(stream.status, 200);
    assert.equal(stream.stream.ended, "token_revoked");
  }));

test("`revoke` alone refuses the next request, which is sent again with another token", () =>
  inChat([status(401)], async (page) => {
    await hallpass.fault("revoke");
    await say(page, "Hello [slow 0] [words 5]");
    assert.equal((await reply(page)).split(/\s+/).length, 5);
    await tokenNumber(page, 2);
    await noNotice(page);
    assert.deepEqual(told(await hallpass.log(), "/messages/stream"), ["deny 401 token_revoked", "allow 200"]);
  }));

test("`429` says how long to wait, keeps the text, and lets nothing be sent until then", () =>
  withPage(browser, { complaints: [status(429)] }, async (page) => {
    await openChat(page, backend.url);
    // The page's time stands still, so that the wait can be seen however busy the machine is.
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 5_000);
    await hallpass.fault("429");
    await say(page, "Too fast [slow 0] [words 3]");
    const { title, advice, code } = await notice(page);
    assert.match(title, /^Rate limited$/);
    assert.equal(advice, "Wait, then send again.");
    assert.equal(code, "429 too_many_messages");
    const wait = page.getByRole("button", { name: /^Wait \d+ s$/ });
    assert.ok(await wait.isDisabled());
    const seconds = Number((await wait.textContent()).match(/\d+/));
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "Too fast [slow 0] [words 3]");

    // The text is still there: it only has to be sent.
    await page.clock.runFor(seconds * 1_000);
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await page.getByRole("alert").waitFor({ state: "hidden" });
    assert.equal((await reply(page)).split(/\s+/).length, 3);
  }));

test("`drop-stream` breaks the connection: the page says that the reply may go on", () =>
  inChat([/^Failed to load resource: net::ERR_/], async (page) => {
    await hallpass.fault("drop-stream", { events: 4 });
    await say(page, "Hello [words 20]");
    const { title, advice, code } = await notice(page);
    assert.deepEqual([title, code], ["The reply was cut off", ""]);
    assert.match(advice, /Load the messages before you send again/);
    assert.equal((await page.locator("li.agent:last-child .how").textContent()), "cut off");
    await loadMessages(page);
  }));

test("`slow` keeps the page waiting, and nothing else", () =>
  inChat([], async (page) => {
    await hallpass.fault("slow", { ms: 700 });
    const from = Date.now();
    await say(page, "Hello [slow 0] [words 5]");
    assert.equal((await reply(page)).split(/\s+/).length, 5);
    assert.ok(Date.now() - from >= 700);
    await noNotice(page);
  }));

test("`[error 500]` is told as a failure of the agent server", () =>
  inChat([status(502)], async (page) => {
    await say(page, "Hello [error 500]");
    const { code, advice } = await notice(page);
    assert.equal(code, "502 upstream_failed");
    assert.match(advice, /load the messages first/);
    assert.deepEqual(told(await hallpass.log(), "/messages/stream"), ["allow 502 upstream_failed"]);
  }));

test("`[error stream]` ends the reply with the agent server's own words", () =>
  inChat([], async (page) => {
    await say(page, "Hello [words 20] [error stream]");
    const { title, detail } = await notice(page);
    assert.equal(title, "The reply was cut off");
    assert.notEqual(detail, "");
    await reply(page);
  }));

test("`[tool name]` is seen in the page", () =>
  inChat([], async (page) => {
    await say(page, "Hello [words 4] [tool archival_memory_search]");
    assert.equal((await reply(page)).split(/\s+/).length, 4);
    assert.match(await page.locator("li.agent:last-child .tool").textContent(), /^archival_memory_search/);
    await noNotice(page);
  }));

test("a reply can be stopped, and the agent is told to", () =>
  inChat([], async (page) => {
    await say(page, "Take your time [slow 100] [words 40]");
    await until(() => saidSoFar(page), "the first piece of the reply");
    await page.getByRole("button", { name: "Stop" }).click();
    assert.ok((await reply(page)).split(/\s+/).length < 40);
    assert.equal(await page.locator("li.agent:last-child .how").textContent(), "stopped");
    await noNotice(page);
    await until(async () => told(await hallpass.log(), "/messages/cancel").includes("allow 200"), "the cancelling");
  }));

test("a message that holds HTML is shown as it is", () =>
  inChat([], async (page) => {
    const text = "<img src=x onerror=\"document.title='broken'\"> & <b>bold</b>";
    await say(page, `${text} [words 30]`);
    await reply(page);
    await page.reload();
    await page.locator("li.user").getByText(text).waitFor();
    assert.equal(await page.locator("#log img, #log b").count(), 0);
    assert.equal(await page.title(), "Chat");
  }));

test("a token is neither stored by the page nor in an address", () =>
  inChat([], async (page) => {
    const urls = [];
    page.on("request", (request) => urls.push(request.url()));
    await say(page, "Hello [slow 0] [words 5]");
    await reply(page);
    const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href].join(" "));
    assert.equal(kept, `0 0  ${backend.url}/`);
    assert.ok(urls.length > 0 && urls.every((url) => !/eyJ|\?/.test(url)), urls.join(" "));
  }));

test("a server that is gone is told of, and the chat goes on when it is back", async () => {
  const other = await startHallpass();
  const port = new URL(other.url).port;
  // By its other name, which is as good.
  const own = await startBackend(other.url.replace("localhost", "127.0.0.1"));
  let back;
  try {
    await withPage(browser, { complaints: [/net::ERR_CONNECTION_/, status(401)] }, async (page) => {
      await openChat(page, own.url);
      await other.stop();
      await say(page, "Anybody there? [slow 0] [words 5]");
      const { title, advice } = await notice(page);
      assert.equal(title, "Hallpass can't be reached");
      assert.match(advice, /Is `hallpass dev` running\?/);

      back = await startHallpass({ port });
      await page.getByRole("button", { name: "Send", exact: true }).click();
      assert.equal((await reply(page)).split(/\s+/).length, 5);
      await tokenNumber(page, 2);
    });
  } finally {
    await Promise.all([own.stop(), back?.stop()]);
  }
});
