// The example's page on one origin, Hallpass on another: a chat with each of the backends, and what these refuse.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { AGENT, BACKENDS, EXAMPLE, noNotice, notice, openChat, reply, say, saidSoFar, seeItGrow, startBackend } from "./chat.mjs";
import { DEV_KEY, startChromium, startHallpass, withPage } from "./stage.mjs";

/** What Chromium says of a script and a request that the page's policy forbids. */
const BLOCKED = [/inline event handler/, /^Connecting to 'http:\/\/127\.0\.0\.1/, /violates the document's Content Security Policy/];
let hallpass, browser;

before(async () => {
  [hallpass, browser] = await Promise.all([startHallpass(), startChromium()]);
});
after(() => Promise.all([hallpass?.stop(), browser?.close()]));
beforeEach(() => hallpass.reset());

for (const name of Object.keys(BACKENDS)) {
  describe(name, () => {
    let backend;
    before(async () => (backend = await startBackend(hallpass.url, { name })));
    after(() => backend?.stop());

    test("a message is answered, after real preflights", () =>
      withPage(browser, {}, async (page) => {
        await openChat(page, backend.url);
        await say(page, "Where is my parcel? [slow 0] [words 12]");
        assert.equal((await reply(page)).split(/\s+/).length, 12);
        await noNotice(page);

        const requests = await hallpass.log();
        const said = requests.find(({ method, path }) => method === "POST" && path.endsWith("/messages/stream"));
        assert.equal(said.decision, "allow");
        assert.equal(said.origin, backend.url);
        assert.equal(said.upstream.body.messages[0].content, "Where is my parcel? [slow 0] [words 12]");
        const preflights = requests.filter(({ decision }) => decision === "preflight").map(({ path }) => path);
        assert.ok(preflights.includes(said.path), `a preflight of ${said.path}: ${preflights}`);
        assert.ok(requests.every(({ decision }) => decision !== "deny"));
      }));

    test("tokens are for the page's own origin alone, and never cached", async () => {
      const ask = (headers) => fetch(`${backend.url}/api/token`, { method: "POST", headers });
      const given = await ask({ origin: backend.url });
      assert.equal(given.status, 200);
      assert.equal(given.headers.get("cache-control"), "no-store");
      const { token, ...more } = await given.json();
      assert.match(token, /^eyJ/);
      assert.deepEqual({ ...more, expiresAt: "" }, { expiresAt: "", agentId: AGENT, baseURL: hallpass.url });
      for (const headers of [
        {},
        { origin: "https://evil.example" },
        { origin: "null" },
        { origin: backend.url, "sec-fetch-site": "cross-site" },
        { origin: backend.url, "sec-fetch-site": "same-site" },
      ]) {
        const refused = await ask(headers);
        assert.equal(refused.status, 403, JSON.stringify(headers));
        assert.match((await refused.json()).message, /^this backend serves pages of http:\/\/localhost:\d+, not of /);
      }
      assert.equal((await hallpass.log()).length, 1, "Hallpass wasn't asked for what is refused");
    });

    test("the folder's pages are served, and nothing else", async () => {
      const get = (path) =>
        new Promise((settle, fail) => {
          // `fetch` would tidy the paths up.
          request(`${backend.url}`, { path }, async (response) => {
            const texts = await response.setEncoding("utf8").toArray();
            settle({ status: response.statusCode, type: response.headers["content-type"], text: texts.join("") });
          }).on("error", fail).end();
        });
      for (const [path, type] of [["/", "text/html"], ["/chat.js", "text/javascript"], ["/style.css", "text/css"]]) {
        const { status, type: given, text } = await get(path);
        assert.deepEqual([status, given], [200, `${type}; charset=utf-8`]);
        assert.equal(text, await readFile(`${EXAMPLE}${path === "/" ? "/index.html" : path}`, "utf8"));
        assert.ok(!text.includes(DEV_KEY), `${path} doesn't hold the key`);
      }
      for (const path of ["/backend.mjs", "/backend.py", "/README.md", "/vite/index.html", "/../../README.md", "//etc/passwd",
        "/..%2fbackend.py", "/%2e%2e/index.html", "/chat.js%00", "/chat.js?a=b", "/absent.js", "/api/token", ""]) {
        assert.equal((await get(path || "/nothing")).status, 404, path);
      }
    });

    test("in the page runs no script but its own, and nothing goes to anybody else", () =>
      withPage(browser, { complaints: BLOCKED }, async (page) => {
        await openChat(page, backend.url);
        const seen = await page.evaluate(async (elsewhere) => {
          document.querySelector("#notice").innerHTML = `<img src="data:," onerror="globalThis.intruded = true">`;
          await new Promise((failed) => document.querySelector("#notice img").addEventListener("error", failed));
          const sent = await fetch(elsewhere).then(() => "sent", () => "kept");
          return { intruded: "intruded" in globalThis, sent };
        }, hallpass.url.replace("localhost", "127.0.0.1"));
        assert.deepEqual(seen, { intruded: false, sent: "kept" });
      }));

    test("a token that can't be had is told of", async () => {
      for (const [env, message] of [
        [{ HALLPASS_URL: "http://localhost:1" }, /^no token from http:\/\/localhost:1: ./],
        [{ HALLPASS_KEY: "wrong" }, /^Hallpass answered 401: ./],
        [{ ORIGIN: "http://localhost:5173/" }, /^Hallpass answered 400: `hostname` must not end in `\/`/],
      ]) {
        const wrong = await startBackend(hallpass.url, { name, env });
        try {
          const asked = await fetch(`${wrong.url}/api/token`, { method: "POST", headers: { origin: env.ORIGIN ?? wrong.url } });
          assert.equal(asked.status, 502);
          assert.match((await asked.json()).message, message);
        } finally {
          await wrong.stop();
        }
      }
    });
  });
}

describe("the page", () => {
  let backend;
  before(async () => (backend = await startBackend(hallpass.url)));
  after(() => backend?.stop());

  test("a reply is seen arriving piece by piece", () =>
    withPage(browser, {}, async (page) => {
      await openChat(page, backend.url);
      await say(page, "Slowly, please [slow 150] [words 200]");
      await seeItGrow(page);
      await noNotice(page);
    }));

  test("what was said is there again after a reload", () =>
    withPage(browser, {}, async (page) => {
      await openChat(page, backend.url);
      await say(page, "Remember me [slow 0] [words 9]");
      const answer = await reply(page);
      await page.reload();
      await page.locator("li.user").getByText("Remember me").waitFor();
      assert.equal(await saidSoFar(page), answer);
    }));

  test("its backend's words are shown", async () => {
    const lost = await startBackend("http://localhost:1");
    try {
      await withPage(browser, { complaints: [/status of 502/] }, async (page) => {
        await page.goto(lost.url);
        const { title, detail, code } = await notice(page);
        assert.equal(title, "The backend gave no token");
        assert.match(detail, /^no token from http:\/\/localhost:1: /);
        assert.equal(code, "502");
      });
    } finally {
      await lost.stop();
    }
  });
});
