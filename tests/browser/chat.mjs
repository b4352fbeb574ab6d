// The example chat as a person uses it: its backends, and what is to be seen in its page.

import assert from "node:assert/strict";
import { join } from "node:path";
import { REPOSITORY, startProgram, until } from "./stage.mjs";

export const EXAMPLE = join(REPOSITORY, "examples/browser-chat");
export const AGENT = "agent-11111111-1111-4111-8111-111111111111";
export const BACKENDS = {
  "backend.mjs": [process.execPath, "backend.mjs"],
  "backend.py": ["python3", "-B", "backend.py"],
};

/** One of the example's backends on a free port; `url` is also the page's origin. */
export async function startBackend(hallpassUrl, { name = "backend.mjs", env = {} } = {}) {
  const [command, ...args] = BACKENDS[name];
  const settings = { HALLPASS_URL: hallpassUrl, PORT: "0", ...env };
  const program = await startProgram(command, args, /Backend on (\S+), for pages of (\S+)\n/, { env: settings, cwd: EXAMPLE });
  return { url: program.match[1], stop: program.stop };
}

/** The page, once it has a token and shows what was said before. */
export async function openChat(page, url) {
  await page.goto(url);
  await tokenNumber(page, 1);
  await page.locator("#log:not([aria-busy])").waitFor({ state: "attached" });
}

/** Waits until the page says that it has got its nth token. */
export function tokenNumber(page, number) {
  return page.getByText(`Token ${number}, good until`).waitFor();
}

export async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** The text of the last reply, when it is complete or has ended otherwise. */
export async function reply(page) {
  await page.locator("li.agent:last-child:not([aria-busy])").waitFor();
  await page.getByRole("button", { name: "Send" }).or(page.getByRole("button", { name: "Wait" })).waitFor();
  return saidSoFar(page);
}

export function saidSoFar(page) {
  return page.locator("li.agent:last-child .said").textContent();
}

/** Sees the last reply grow three times while it is still being given. */
export async function seeItGrow(page) {
  let length = 0;
  for (let times = 0; times < 3; times += 1) {
    length = await until(async () => {
      const now = (await saidSoFar(page)).length;
      return now > length && now;
    }, "another piece of the reply");
    assert.equal(await page.locator("li.agent:last-child[aria-busy]").count(), 1, "the reply isn't complete yet");
  }
}

/** What the notice says, when there is one. */
export async function notice(page) {
  const shown = page.getByRole("alert");
  await shown.waitFor();
  const part = async (name) => ((await shown.locator(name).count()) ? shown.locator(name).textContent() : "");
  return { title: await part(".title"), detail: await part(".detail"), advice: await part(".advice"), code: await part(".reason") };
}

export async function noNotice(page) {
  assert.equal(await page.getByRole("alert").count(), 0, "nothing went wrong that the page tells of");
}

/** The requests of a page in the log, short: `["deny 401 token_expired", "allow 200"]`. Preflights come as the browser likes. */
export function told(requests, path) {
  const wanted = requests.filter((request) => request.path.endsWith(path) && request.decision !== "preflight");
  return wanted.map(({ decision, status, reason }) => [decision, status, reason].filter(Boolean).join(" "));
}
