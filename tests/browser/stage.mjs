// What the browser tests stand on: `hallpass dev`, Chromium, and pages of other origins, each on a free port and ended
// by the test that started it. What the pages do is the tests' own affair.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { build } from "esbuild";
import { chromium } from "playwright-core";

export const REPOSITORY = resolve(import.meta.dirname, "../..");
export const DEV_KEY = "sk-hallpass-dev-not-a-secret";
export const DEADLINE_MS = 10_000;
export const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
export const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  // Two processes less for each.
  "--in-process-gpu", "--disable-software-rasterizer",
];

const BINARY = resolve(process.env.HALLPASS_BIN ?? join(REPOSITORY, "target/debug/hallpass"));

/** Polls until `condition` holds and gives what it answered. */
export async function until(condition, what) {
  const giveUp = Date.now() + DEADLINE_MS;
  for (;;) {
    const met = await condition();
    if (met) return met;
    if (Date.now() > giveUp) throw new Error(`${what}: not within ${DEADLINE_MS} ms`);
    await pause(20);
  }
}

/**
 * Starts a program and waits until its output matches `ready`. Settings of the developer's own shell don't reach it.
 * `output()` is all that it has printed.
 */
export async function startProgram(command, args, ready, { env = {}, cwd } = {}) {
  const ours = /^(HALLPASS_|LETTA_|AGENT_ID$|ORIGIN$|PORT$)/;
  const inherited = Object.entries(process.env).filter(([name]) => !ours.test(name));
  const child = spawn(command, args, { cwd, env: { ...Object.fromEntries(inherited), ...env } });
  let output = "";
  for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding("utf8").on("data", (text) => (output += text));
  const ended = new Promise((settle) => {
    child.once("error", settle);
    child.once("exit", (code, signal) => settle(code ?? signal));
  });
  let end;
  ended.then((how) => (end = how));

  async function stop(signal = "SIGTERM") {
    if (end !== undefined) return end;
    child.kill(signal);
    const how = await Promise.race([ended, pause(DEADLINE_MS, "late", { ref: false })]);
    if (how === "late") child.kill("SIGKILL");
    assert.notEqual(how, "late", `${command} ends when it is told to:\n${output}`);
    return how;
  }
  const match = await until(() => {
    if (end !== undefined) throw new Error(`${command} ended at its start with ${end}:\n${output}`);
    return output.match(ready);
  }, `the start of ${command}`).catch(async (error) => {
    await stop("SIGKILL");
    throw error;
  });
  return { match, output: () => output, stop };
}

/** `hallpass dev` on a free port unless told, in an empty folder, with its control endpoints as methods. */
export async function startHallpass({ port = 0, origin, args = [] } = {}) {
  const cwd = await mkdtemp(join(tmpdir(), "hallpass-browser-"));
  const all = ["dev", "--port", `${port}`, ...(origin ? ["--origin", origin] : []), ...args];
  const program = await startProgram(BINARY, all, /Base URL +(http:\/\/localhost:\d+)\s/, { cwd });
  const url = program.match[1];

  /** A request with the development key; an answer that isn't 2xx is an error. */
  async function ask(method, path, body) {
    const headers = { authorization: `Bearer ${DEV_KEY}`, "content-type": "application/json" };
    const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }
  return {
    url,
    ask,
    output: program.output,
    advance: (by) => ask("POST", "/dev/clock", { advance: by }),
    fault: (next, more = {}) => ask("POST", "/dev/fault", { next, ...more }),
    reset: () => ask("POST", "/dev/reset", {}),
    log: async () => (await ask("GET", "/dev/log")).requests,
    token: (hostname, agent, access = ["read_messages", "write_messages"], more = {}) =>
      ask("POST", "/v1/client-side-access-tokens", { hostname, policy: [{ type: "agent", id: agent, access }], ...more }),
    async stop() {
      await program.stop();
      await rm(cwd, { recursive: true });
    },
  };
}

/** Chromium, headless, with a profile that is thrown away. */
export function startChromium() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/**
 * A page in a context of its own. Whatever the page or the browser complains of (errors that nobody caught, errors and
 * warnings on the console) fails the test, unless one of the patterns in `complaints` fits it; and each of those must.
 * `use` may take complaints out of the list that it is given, and judge them itself.
 */
export async function withPage(browser, { complaints: expected = [], ...context }, use) {
  const opened = await browser.newContext(context);
  const complaints = [];
  try {
    const page = await opened.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.on("pageerror", (error) => complaints.push(`${error.name}: ${error.message}`));
    page.on("crash", () => complaints.push("the page crashed"));
    page.on("console", (message) => {
      // Browsers ask for an icon by themselves, where a page names none. (Answering it by `page.route` would have
      // Playwright answer preflights too.)
      if (message.location().url.endsWith("/favicon.ico")) return;
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    await use(page, complaints);
  } finally {
    await opened.close();
  }
  const surprising = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
  assert.deepEqual(surprising, [], "nothing else goes wrong in the page");
  for (const pattern of expected) assert.ok(complaints.some((text) => pattern.test(text)), `no complaint ${pattern}`);
}

const TYPES = { js: "text/javascript", css: "text/css" };

/** Serves texts by path (`{"/": "<!doctype html>…", "/app.js": "…"}`), at an origin of its own. */
export async function servePages(pages) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    const type = TYPES[path.split(".").at(-1)] ?? "text/html";
    const found = Object.hasOwn(pages, path);
    response.writeHead(found ? 200 : 404, { "content-type": `${type}; charset=utf-8` });
    response.end(found ? pages[path] : "");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    origin: `http://localhost:${server.address().port}`,
    async stop() {
      const closed = once(server.close(), "close");
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A port that was free a moment ago, for programs that must know of each other before they start. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** One script for browsers from a source text, which may import what is installed in this folder. */
export async function bundle(source, resolveDir = import.meta.dirname) {
  const stdin = { contents: source, resolveDir, loader: "ts", sourcefile: "page.ts" };
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", platform: "browser", write: false, logLevel: "warning" });
  return outputFiles[0].text;
}
