// The mistakes of docs/frontend.md, each made in a real page or backend; what is seen of it, line by line, as the page
// writes it down.

import { createServer, request as send } from "node:http";
import { once } from "node:events";
import { AGENT } from "./chat.mjs";
import { DEV_KEY } from "./stage.mjs";

const OTHER_AGENT = "agent-22222222-2222-4222-8222-222222222222";

/** A request from the page; what its script can see of the answer. */
function fromPage(page, { token, url, method = "POST", body = { messages: [{ role: "user", content: "Hello" }] } }) {
  return page.evaluate(
    async ({ token, url, method, body }) => {
      const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
      try {
        const response = await fetch(url, { method, headers, body: method === "GET" ? undefined : JSON.stringify(body) });
        if (response.ok) return [`${response.status}`];
        const { reason, detail, message } = await response.json();
        return [[response.status, reason].filter(Boolean).join(" "), `detail: ${detail ?? message}`];
      } catch (error) {
        return [`${error.name}: ${error.message}`];
      }
    },
    { token, url, method, body },
  );
}

/** A request for a token from a backend; what Hallpass says. */
async function fromBackend(hallpass, body) {
  const headers = { authorization: `Bearer ${DEV_KEY}`, "content-type": "application/json" };
  const response = await fetch(`${hallpass.url}/v1/client-side-access-tokens`, { method: "POST", headers, body: JSON.stringify(body) });
  if (response.ok) return [`${response.status}`];
  const { type, detail } = await response.json();
  return [`${response.status} ${type.split("/").at(-1)}`, `detail: ${detail}`];
}

/** A proxy in front of Hallpass that adds a CORS header of its own to each answer. */
async function startProxy(target) {
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const onward = send(target + url, { method, headers }, (answer) => {
      const named = [];
      for (let i = 0; i < answer.rawHeaders.length; i += 2) named.push([answer.rawHeaders[i], answer.rawHeaders[i + 1]]);
      outgoing.writeHead(answer.statusCode, [...named, ["Access-Control-Allow-Origin", "*"]].flat());
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => (server.closeAllConnections(), once(server.close(), "close"));
  return { url: `http://localhost:${server.address().port}`, stop };
}

const policy = (access = ["read_messages", "write_messages"]) => [{ type: "agent", id: AGENT, access }];
const stream = (hallpass, agent = AGENT) => `${hallpass.url}/v1/agents/${agent}/messages/stream`;

/** By the heading in the page; each is given a page of the chat's origin, Hallpass and the backend. */
export const MISTAKES = {
  "The token is for another origin": async ({ page, hallpass }) => {
    const { token } = await hallpass.token("http://localhost:3000", AGENT);
    return fromPage(page, { token, url: stream(hallpass) });
  },

  "`localhost` here, `127.0.0.1` there": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT);
    await page.goto(`${backend.url.replace("localhost", "127.0.0.1")}/style.css`);
    const asked = await fromPage(page, { url: "/api/token" });
    return [...asked, ...(await fromPage(page, { token, url: stream(hallpass) }))];
  },

  "A slash at the end of `hostname`": ({ hallpass, backend }) =>
    fromBackend(hallpass, { hostname: `${backend.url}/`, policy: policy() }),

  "`expiresAt` in the request": ({ hallpass, backend }) =>
    fromBackend(hallpass, { hostname: backend.url, policy: policy(), expiresAt: "2030-01-01T00:00:00Z" }),

  "The API key in the page": ({ page, hallpass }) => fromPage(page, { token: DEV_KEY, url: stream(hallpass) }),

  "The token in the address": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT);
    return fromPage(page, { url: `${stream(hallpass)}?token=${token}` });
  },

  "The token is for another agent": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT);
    return fromPage(page, { token, url: stream(hallpass, OTHER_AGENT) });
  },

  "An access is missing": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT, ["read_messages"]);
    return fromPage(page, { token, url: stream(hallpass) });
  },

  "The token isn't renewed": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT);
    // A stream that its token doesn't outlive, then another request.
    const url = stream(hallpass);
    const event = page.evaluate(
      async ({ token, url }) => {
        const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
        const body = JSON.stringify({ messages: [{ role: "user", content: "Hello [slow 100] [words 90]" }], stream_tokens: true });
        const response = await fetch(url, { method: "POST", headers, body });
        globalThis.hasBegun = true;
        return (await response.text()).split("\n\n").find((event) => event.startsWith("event: error"));
      },
      { token, url },
    );
    await page.waitForFunction(() => globalThis.hasBegun);
    await hallpass.advance("6m");
    const [name, data] = (await event).split("\n");
    const { status, reason, detail } = JSON.parse(data.slice("data: ".length));
    return [`${name}, status ${status} ${reason}`, `detail: ${detail}`, ...(await fromPage(page, { token, url }))];
  },

  "A proxy adds CORS headers": async ({ page, hallpass, backend }) => {
    const { token } = await hallpass.token(backend.url, AGENT);
    const proxy = await startProxy(hallpass.url);
    try {
      return await fromPage(page, { token, url: stream(proxy) });
    } finally {
      await proxy.stop();
    }
  },
};
