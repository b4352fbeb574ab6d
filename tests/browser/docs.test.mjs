// docs/frontend.md and the example's README say what is so: their code is the example's, their commands work, and the
// sample of a test for Playwright passes. The ten mistakes are in mistakes.test.mjs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { promisify } from "node:util";
import { EXAMPLE, startBackend } from "./chat.mjs";
import { CHROMIUM, DEADLINE_MS, FLAGS, REPOSITORY, startHallpass } from "./stage.mjs";

const HERE = import.meta.dirname;
const run = promisify(execFile);
let hallpass, backend, page, readme;

before(async () => {
  [hallpass, page, readme] = await Promise.all([
    startHallpass(),
    readFile(join(REPOSITORY, "docs/frontend.md"), "utf8"),
    readFile(join(EXAMPLE, "README.md"), "utf8"),
  ]);
  backend = await startBackend(hallpass.url);
});
after(() => Promise.all([hallpass?.stop(), backend?.stop()]));
beforeEach(() => hallpass.reset());

const blocks = (text, language) => [...text.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, "gm"))].map(([, block]) => block);
const atFreePorts = (text) => text.replaceAll("http://localhost:8284", hallpass.url).replaceAll("http://localhost:5173", backend.url);

test("code that the page explains is the example's own", async () => {
  const files = ["chat.js", "backend.mjs", "vite/src/main.ts"].map((name) => readFile(join(EXAMPLE, name), "utf8"));
  const sources = await Promise.all(files);
  const shown = [...blocks(page, "js"), ...blocks(page, "ts").filter((block) => !block.includes("@playwright/test"))];
  assert.ok(shown.length >= 5, `${shown.length}`);
  for (const block of shown) assert.ok(sources.some((source) => source.includes(block)), `in no file of the example:\n${block}`);
});

test("commands for `/dev` work as they are written", async () => {
  const commands = blocks(page, "sh").filter((block) => block.startsWith("curl "));
  assert.equal(commands.length, 4);
  const answers = [];
  for (const command of commands) {
    const { stdout } = await run("bash", ["-c", atFreePorts(command).replace("curl ", "curl --silent --show-error --fail-with-body ")]);
    answers.push(JSON.parse(stdout));
  }
  assert.equal(answers[0].ahead_seconds, 360);
  assert.deepEqual(answers[1].waiting, [{ next: "revoke", times: 1, events: 5 }]);
  assert.ok(Array.isArray(answers[2].requests));
  assert.equal(answers[3].ahead_seconds, 0);
});

test("programs that the pages start are there", async () => {
  const named = [...blocks(page, "sh"), ...blocks(readme, "sh")].join("").matchAll(/^(?:\S+=\S+ )*(?:node|python3) (\S+)$/gm);
  const paths = [...named].map(([, path]) => path);
  assert.ok(paths.length >= 3, `${paths}`);
  for (const path of paths) await access(join(EXAMPLE, path.startsWith("../") ? join("vite", path) : path));
});

test("the sample of a test passes in Playwright", async () => {
  const sample = blocks(page, "ts").find((block) => block.includes("@playwright/test"));
  const folder = await mkdtemp(join(HERE, ".sample-"));
  const launchOptions = { executablePath: CHROMIUM, args: FLAGS };
  const config = { use: { launchOptions, actionTimeout: DEADLINE_MS }, workers: 1, reporter: "line", outputDir: join(folder, "results") };
  try {
    await writeFile(join(folder, "chat.spec.ts"), atFreePorts(sample));
    await writeFile(join(folder, "playwright.config.mjs"), `export default ${JSON.stringify(config)};`);
    const { stdout } = await run(process.execPath, [join(HERE, "node_modules/@playwright/test/cli.js"), "test"], { cwd: folder })
      .catch(({ stdout, stderr }) => assert.fail(`${stdout}${stderr}`));
    assert.match(stdout, /2 passed/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
