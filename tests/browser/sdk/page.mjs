// Runs a script of SDK calls in a page of another origin, with a client token, and gives the shapes of what came back.

import { randomUUID } from "node:crypto";
import { bundle, servePages, withPage } from "../stage.mjs";

const ALL = ["read_messages", "write_messages", "read_agent", "write_agent"];
// Calls that are meant to fail are told on the console too.
const MEANT = /the server responded with a status of \d+/;

/** `script` is `current` or `legacy`; `key` the API key of the backend that gets the token. */
export async function recordInPage(browser, script, { url, key, agent, other }) {
  const code = await bundle(`import { run } from "./${script}.mjs"; globalThis.run = run;`, import.meta.dirname);
  const pages = await servePages({ "/": '<!doctype html><title>SDK</title><script type="module" src="/sdk.js"></script>', "/sdk.js": code });
  try {
    const token = await issue(url, key, pages.origin, agent);
    let calls;
    await withPage(browser, {}, async (page, complaints) => {
      await page.goto(pages.origin);
      calls = await page.evaluate((stage) => globalThis.run(stage), { url, token, agent, other, unknown: randomUUID() });
      complaints.splice(0, Infinity, ...complaints.filter((text) => !MEANT.test(text)));
    });
    return calls;
  } finally {
    await pages.stop();
  }
}

async function issue(url, key, hostname, agent) {
  const response = await fetch(`${url}/v1/client-side-access-tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ hostname, policy: [{ type: "agent", id: agent, access: ALL }] }),
  });
  if (response.status !== 201) throw new Error(`issuing: ${response.status} ${await response.text()}`);
  return (await response.json()).token;
}
