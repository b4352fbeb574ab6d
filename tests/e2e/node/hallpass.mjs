// Starts and stops the real binary for the Node tests: a fresh directory, a free port, a clean end.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
const BINARY = resolve(process.env.HALLPASS_BIN ?? join(REPOSITORY, "target/debug/hallpass"));
const DEADLINE_MS = 10_000;

export const PUBLIC_URL = "https://tokens.example.test";
export const TOKENS = "/v1/client-side-access-tokens";

export async function startServer(settings = {}) {
  const directory = await mkdtemp(join(tmpdir(), "hallpass-e2e-"));
  // Settings of the developer's own shell must not decide what is tested.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HALLPASS_"));
  const env = {
    ...Object.fromEntries(inherited),
    HALLPASS_SERVER__LISTEN: "127.0.0.1:0",
    HALLPASS_SERVER__ADMIN_LISTEN: "127.0.0.1:0",
    HALLPASS_SERVER__PUBLIC_URL: PUBLIC_URL,
    HALLPASS_DATABASE__URL: `sqlite:${join(directory, "hallpass.db")}`,
    HALLPASS_TELEMETRY__FORMAT: "json",
    ...settings,
  };
  const child = spawn(BINARY, ["serve"], { env, cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((settle) => child.once("exit", (code, signal) => settle(code ?? signal)));
  const log = [];
  const address = await listeningAddress(child, ended, log).catch(async (error) => {
    child.kill("SIGKILL");
    await rm(directory, { recursive: true });
    throw error;
  });

  async function cli(...parameters) {
    const { stdout } = await promisify(execFile)(BINARY, [...parameters, "--json"], { env, cwd: directory });
    return JSON.parse(stdout);
  }

  const url = `http://${address}`;
  return {
    url,
    /** Makes an API key beside the running server and waits until the server takes it. */
    async newApiKey(project) {
      const { key } = await cli("api-key", "create", "--name", "e2e", "--project", project);
      const headers = { authorization: `Bearer ${key}` };
      await waitUntil(async () => (await fetch(url + TOKENS, { headers })).status === 200, "taking a new API key");
      return key;
    },
    async stop() {
      child.kill("SIGTERM");
      const code = await Promise.race([ended, pause(DEADLINE_MS, "no end in time", { ref: false })]);
      if (code !== 0) child.kill("SIGKILL");
      await rm(directory, { recursive: true });
      if (code !== 0) throw new Error(`the server ended with ${code}:\n${log.join("\n")}`);
    },
  };
}

function listeningAddress(child, ended, log) {
  return new Promise((settle, fail) => {
    child.once("error", fail);
    ended.then((code) => fail(new Error(`the server ended at its start with ${code}:\n${log.join("\n")}`)));
    setTimeout(() => fail(new Error(`no address within ${DEADLINE_MS} ms:\n${log.join("\n")}`)), DEADLINE_MS).unref();
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      const entry = line.startsWith("{") ? JSON.parse(line) : {};
      if (entry.message === "listening") settle(entry.address);
    });
  });
}

async function waitUntil(condition, what) {
  const giveUp = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (Date.now() > giveUp) throw new Error(`${what} did not happen within ${DEADLINE_MS} ms`);
    await pause(20);
  }
}
