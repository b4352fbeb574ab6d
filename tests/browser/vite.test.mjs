// The example with Vite and the official SDK, as its developer sees it (`vite`) and as it is shipped (`vite build`).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import { EXAMPLE, noNotice, notice, openChat, reply, say, saidSoFar, seeItGrow, startBackend, told, tokenNumber } from "./chat.mjs";
import { DEV_KEY, freePort, startChromium, startHallpass, startProgram, withPage } from "./stage.mjs";

const FOLDER = join(EXAMPLE, "vite");
const VITE = join(FOLDER, "node_modules/vite/bin/vite.js");
const status = (code) => new RegExp(`^Failed to load resource: the server responded with a status of ${code} `);
let hallpass, browser, built;

/** Runs one of the example's programs to its end; gives what it printed. */
async function run(...command) {
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: FOLDER })
    .catch(({ stdout, stderr }) => assert.fail(`${stdout}${stderr}`));
  return stdout;
}

before(async () => {
  built = await mkdtemp(join(tmpdir(), "hallpass-vite-"));
  [hallpass, browser] = await Promise.all([
    startHallpass(),
    startChromium(),
    run(VITE, "build", "--outDir", built, "--emptyOutDir"),
  ]);
});
after(async () => {
  await Promise.all([hallpass?.stop(), browser?.close()]);
  await rm(built, { recursive: true });
});
beforeEach(() => hallpass.reset());

for (const [name, args] of Object.entries({ vite: () => [], "vite preview": () => ["preview", "--outDir", built] })) {
  describe(name, () => {
    let url, backend, server;
    before(async () => {
      const port = await freePort();
      url = `http://localhost:${port}`;
      backend = await startBackend(hallpass.url, { env: { ORIGIN: url } });
      const settings = { cwd: FOLDER, env: { NO_COLOR: "1", BACKEND: backend.url } };
      const command = [VITE, ...args(), "--host", "127.0.0.1", "--port", `${port}`];
      server = await startProgram(process.execPath, command, /Local:/, settings);
    });
    after(() => Promise.all([server?.stop(), backend?.stop()]));

    test("a reply comes in pieces, and again after a reload", () =>
      withPage(browser, {}, async (page) => {
        await openChat(page, url);
        await say(page, "Slowly, please [slow 150] [words 20]");
        await seeItGrow(page);
        const answer = await reply(page);
        assert.equal(answer.split(/\s+/).length, 20);
        await page.reload();
        await page.locator("li.agent").waitFor();
        assert.equal(await saidSoFar(page), answer);
        await noNotice(page);
      }));

    test("a token that is over is renewed under the SDK", () =>
      withPage(browser, { complaints: [status(401)] }, async (page) => {
        await openChat(page, url);
        await hallpass.advance("6m");
        await say(page, "Still there? [slow 0] [words 5]");
        assert.equal((await reply(page)).split(/\s+/).length, 5);
        await tokenNumber(page, 2);
        await noNotice(page);
        assert.deepEqual(told(await hallpass.log(), "/messages/stream"), ["deny 401 token_expired", "allow 200"]);
      }));

    if (name === "vite") test("what goes wrong is told as in the other page", () =>
      withPage(browser, { complaints: [status(401), status(429)] }, async (page) => {
        await openChat(page, url);
        await hallpass.fault("revoke", { events: 4 });
        await say(page, "Take your time [slow 50] [words 30]");
        const cut = await notice(page);
        assert.match(cut.title, /^The reply was cut off: /);
        assert.equal(cut.code, "401 token_revoked");
        await page.getByRole("button", { name: "Load the messages" }).click();
        await page.getByRole("alert").waitFor({ state: "hidden" });
        await tokenNumber(page, 2);
        await hallpass.fault("429");
        await say(page, "Too fast");
        assert.equal((await notice(page)).code, "429 too_many_messages");
      }));
  });
}

test("both pages are the same but for their script", async () => {
  const [own, other] = await Promise.all([EXAMPLE, FOLDER].map((folder) => readFile(join(folder, "index.html"), "utf8")));
  const plain = (html) => html.split("\n").filter((line) => !/<script|rel="stylesheet"/.test(line));
  assert.deepEqual(plain(own), plain(other));
});

test("its types are right", async () => {
  const files = await run(join(FOLDER, "node_modules/typescript/bin/tsc"), "--listFiles");
  assert.match(files, /renewing-fetch\.js/);
});

test("what is built holds no key and no address", async () => {
  const files = await readdir(built, { recursive: true, withFileTypes: true });
  const texts = await Promise.all(files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath ?? file.path, file.name), "utf8")));
  assert.ok(texts.length >= 3);
  for (const text of texts) assert.ok(!text.includes(DEV_KEY) && !text.includes("localhost:8284"));
});
