// Each of the ten mistakes in docs/frontend.md looks as the page says: status, reason, text, and the browser's console.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { AGENT, startBackend } from "./chat.mjs";
import { MISTAKES } from "./mistakes.mjs";
import { REPOSITORY, startChromium, startHallpass, withPage } from "./stage.mjs";

let hallpass, browser, backend, documented;

before(async () => {
  const page = await readFile(join(REPOSITORY, "docs/frontend.md"), "utf8");
  documented = Object.fromEntries(
    page.split("\n## Ten mistakes\n")[1].split("\n## ")[0].split("\n### ").slice(1).map((section) => {
      const [, heading, text] = section.match(/^(?:\d+\. )?([^\n]+)\n[^]*?\n```text\n([^]*?)\n```/);
      return [heading, text.split("\n")];
    }),
  );
  [hallpass, browser] = await Promise.all([startHallpass(), startChromium()]);
  backend = await startBackend(hallpass.url);
});
after(() => Promise.all([hallpass?.stop(), browser?.close(), backend?.stop()]));
beforeEach(() => hallpass.reset());

/** With the ports of the documentation. */
function plain(line) {
  const port = (url) => new URL(url).port;
  const known = line.replaceAll(port(backend.url), "5173").replaceAll(port(hallpass.url), "8284");
  return known.replace(/(localhost:)(?!5173|8284|3000)\d+/g, "$18080").replaceAll(AGENT, "agent-1111…");
}

/** `…` stands for anything within a line. */
function fits(line, shown) {
  const literal = shown.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${literal.join(".*")}$`).test(line);
}

test("ten mistakes are documented, and these are made here", () => {
  assert.deepEqual(Object.keys(documented), Object.keys(MISTAKES));
  assert.equal(Object.keys(MISTAKES).length, 10);
});

for (const [heading, make] of Object.entries(MISTAKES)) {
  test(heading, () =>
    withPage(browser, {}, async (page, complaints) => {
      await page.goto(`${backend.url}/style.css`);
      const seen = await make({ page, hallpass, backend });
      const lines = [...seen, ...complaints.splice(0).map((text) => `console: ${text}`)].map(plain);
      if (process.env.SHOW_MISTAKES) return console.log(`### ${heading}\n${lines.join("\n")}\n`);
      const shown = documented[heading];
      assert.ok(lines.length === shown.length && lines.every((line, at) => fits(line, shown[at])),
        `docs/frontend.md shows\n${shown.join("\n")}\nand it is\n${lines.join("\n")}`);
    }));
}
