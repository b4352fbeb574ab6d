// What Hallpass refuses, as the chat tells it: served with tokens that a backend by mistake made for something else.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { AGENT, EXAMPLE, notice, openChat, reply, say, told } from "./chat.mjs";
import { servePages, startChromium, startHallpass, withPage } from "./stage.mjs";

const FORBIDDEN = /^Failed to load resource: the server responded with a status of 403 /;
const OTHER_AGENT = AGENT.replaceAll("1", "2");
let hallpass, browser, pages, site;

before(async () => {
  const names = (await readdir(EXAMPLE)).filter((name) => /\.(html|js|css)$/.test(name));
  const files = await Promise.all(names.map(async (name) => [`/${name}`, await readFile(join(EXAMPLE, name), "utf8")]));
  pages = Object.fromEntries(files);
  pages["/"] = pages["/index.html"];
  [hallpass, browser, site] = await Promise.all([startHallpass(), startChromium(), servePages(pages)]);
});
after(() => Promise.all([hallpass?.stop(), browser?.close(), site?.stop()]));
beforeEach(() => hallpass.reset());

/** Has the page get this token. */
function give({ token, expiresAt }, agentId = AGENT) {
  pages["/api/token"] = JSON.stringify({ token, expiresAt, agentId, baseURL: hallpass.url });
}

test("a token for another origin", () =>
  withPage(browser, { complaints: [FORBIDDEN] }, async (page) => {
    give(await hallpass.token("https://app.example.com", AGENT));
    await openChat(page, site.origin);
    const { title, detail, advice, code } = await notice(page);
    assert.equal(title, "Forbidden");
    assert.match(detail, /^the token is for `https:\/\/app\.example\.com`, /);
    assert.match(advice, /^Open this page at the address that the token names, /);
    assert.equal(code, "403 origin_mismatch");
    assert.deepEqual(told(await hallpass.log(), "/messages?limit=50"), ["deny 403 origin_mismatch"]);
  }));

test("a token for another agent", () =>
  withPage(browser, { complaints: [FORBIDDEN] }, async (page) => {
    give(await hallpass.token(site.origin, OTHER_AGENT));
    await openChat(page, site.origin);
    const { detail, advice, code } = await notice(page);
    assert.equal(detail, "the token grants nothing for this agent");
    assert.equal(advice, "Let the backend name this agent in the token's `policy`.");
    assert.equal(code, "403 agent_not_granted");

    // Once the backend is right, the page is too.
    give(await hallpass.token(site.origin, AGENT));
    await page.reload();
    await say(page, "And now? [slow 0] [words 4]");
    assert.equal((await reply(page)).split(/\s+/).length, 4);
  }));

test("a token that may read and not write", () =>
  withPage(browser, { complaints: [FORBIDDEN] }, async (page) => {
    give(await hallpass.token(site.origin, AGENT, ["read_messages"]));
    await openChat(page, site.origin);
    await say(page, "May I?");
    const { detail, advice, code } = await notice(page);
    assert.equal(detail, "this needs `write_messages`, which the token doesn't grant for this agent");
    assert.equal(advice, "Let the backend grant this access in the token's `policy`.");
    assert.equal(code, "403 access_missing");
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "May I?", "the text isn't lost");
  }));
