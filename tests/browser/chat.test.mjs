// The example's page on one origin, Hallpass on another: a chat with each of the backends, and what these refuse.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { AGENT, BACKENDS, EXAMPLE, noNotice, openChat, reply, say, saidSoFar, startBackend } from "./chat.mjs";
import { DEV_KEY, startChromium, startHallpass, until, withPage } from "./stage.mjs";

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
        await say(page, "Where is my parcel? [words 12]");
        assert.equal((await reply(page)).split(/\s+/).length, 12);
        await noNotice(page);

        const requests = await hallpass.log();
        const said = requests.find(({ method, path }) => method === "POST" && path.endsWith("/messages/stream"));
        assert.equal(said.decision, "allow");
        assert.equal(said.origin, backend.url);
        assert.equal(said.upstream.body.messages[0].content, "Where is my parcel? [words 12]");
        const preflights = requests.filter(({ decision }) => decision === "preflight").map(({ path }) => path);
        assert.ok(preflights.includes(said.path), `a preflight of ${said.path}: ${preflights}`);
        assert.ok(requests.every(({ decision }) => decision !== "deny"));
      }));

    test("a reply is seen arriving piece by piece", () =>
      withPage(browser, {}, async (page) => {
        await openChat(page, backend.url);
        await say(page, "Slowly, please [slow 150] [words 12]");
        const seen = new Set();
        await until(async () => {
          seen.add((await saidSoFar(page)).length);
          return (await page.locator("li[aria-busy]").count()) === 0;
        }, "the end of the reply");
        assert.ok(seen.size >= 5, `many lengths on the way: ${[...seen]}`);
        await noNotice(page);
      }));

    test("what was said is there again after a reload", () =>
      withPage(browser, {}, async (page) => {
        await openChat(page, backend.url);
        await say(page, "Remember me [words 9]");
        const answer = await reply(page);
        await page.reload();
        await page.getByText("Remember me").waitFor();
        assert.equal(await saidSoFar(page), answer);
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

    test("the page says what its backend says", async () => {
      const lost = await startBackend("http://localhost:1", { name });
      try {
        await withPage(browser, { complaints: [/status of 502/] }, async (page) => {
          await page.goto(lost.url);
          const shown = page.getByRole("alert");
          await shown.getByText("The backend gave no token").waitFor();
          await shown.getByText("no token from http://localhost:1").waitFor();
        });
      } finally {
        await lost.stop();
      }
    });
  });
}
