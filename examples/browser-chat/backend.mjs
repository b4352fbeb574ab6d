// Serves the page, and gets it tokens from Hallpass: the only program here that knows the API key. Node.js 20 or newer.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const { HALLPASS_URL = "http://localhost:8284", HALLPASS_KEY = "sk-hallpass-dev-not-a-secret", PORT = "5173" } = process.env;
const { AGENT_ID = "agent-11111111-1111-4111-8111-111111111111" } = process.env;
// The page holds a token: no script runs in it but its own, and it talks to nobody else.
const POLICY = `default-src 'self'; img-src data:; connect-src 'self' ${new URL(HALLPASS_URL).origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css" };

async function makeToken({ headers }) {
  // Your login check belongs here: who is this, and may they talk to this agent? What follows keeps other sites' pages out.
  if (headers.origin !== ORIGIN || (headers["sec-fetch-site"] ?? "same-origin") !== "same-origin") {
    return [403, { message: `this backend serves pages of ${ORIGIN}, not of ${headers.origin}` }];
  }
  const asked = await fetch(`${HALLPASS_URL}/v1/client-side-access-tokens`, {
    method: "POST",
    headers: { Authorization: `Bearer ${HALLPASS_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ hostname: ORIGIN, policy: [{ type: "agent", id: AGENT_ID, access: ["read_messages", "write_messages"] }] }),
    signal: AbortSignal.timeout(10_000),
  });
  const { token, expiresAt, message } = await asked.json();
  if (!asked.ok) return [502, { message: `Hallpass answered ${asked.status}: ${message}` }];
  return [200, { token, expiresAt, agentId: AGENT_ID, baseURL: HALLPASS_URL }];
}

const server = createServer(async (request, response) => {
  const answer = (status, type, body) => response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store" }).end(body);
  if (request.method === "POST" && request.url === "/api/token") {
    const [status, body] = await makeToken(request).catch((error) => [502, { message: `no token from ${HALLPASS_URL}: ${error.message}` }]);
    return answer(status, "application/json", JSON.stringify(body));
  }
  // Names of files in this folder, without a way out of it.
  const [, name, kind] = (request.url === "/" ? "/index.html" : request.url).match(/^\/([a-z-]+)\.(html|js|css)$/) ?? [];
  const file = name && (await readFile(new URL(`${name}.${kind}`, import.meta.url)).catch(() => undefined));
  if (kind === "html") response.setHeader("Content-Security-Policy", POLICY);
  return file ? answer(200, `${TYPES[kind]}; charset=utf-8`, file) : answer(404, "text/plain", "not found\n");
});

let ORIGIN = process.env.ORIGIN;
server.listen(Number(PORT), "127.0.0.1", () => {
  ORIGIN ??= `http://localhost:${server.address().port}`;
  console.log(`Backend on http://localhost:${server.address().port}, for pages of ${ORIGIN}`);
});
