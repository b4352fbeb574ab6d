// What of `renewingFetch` needs no browser: it is given a `fetch` that answers as each case wants.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { renewingFetch } from "../../examples/browser-chat/renewing-fetch.js";

const BASE = "http://localhost:8284";
const ADDRESS = `${BASE}/v1/agents/a/messages`;
const real = globalThis.fetch;
let sent, answers, issued;

beforeEach(() => {
  [sent, answers, issued] = [[], [], 0];
  globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push({ url: request.url, method: request.method, headers: request.headers, body: await request.text() });
    return answers.shift() ?? new Response("{}");
  };
});
afterEach(() => (globalThis.fetch = real));

const token = (name, left = 300_000) => ({ token: name, expiresAt: new Date(Date.now() + left).toISOString() });
const getToken = async () => token(`token-${++issued}`);
const refusal = (reason, status = 401) => new Response(JSON.stringify({ reason }), { status });
const bearers = () => sent.map(({ headers }) => headers.get("authorization"));

test("a token that is held is used, and its place taken once it has less than half a minute left", async () => {
  const own = renewingFetch(BASE, getToken, token("held", 31_000));
  await own(ADDRESS);
  const late = renewingFetch(BASE, getToken, token("held", 29_000));
  await late(ADDRESS);
  await late(ADDRESS);
  assert.deepEqual(bearers(), ["Bearer held", "Bearer token-1", "Bearer token-1"]);
});

test("where the clock is ahead of the tokens a 401 tells that one is over, and the backend isn't asked each time", async () => {
  const aDayAhead = async () => token(`token-${++issued}`, 300_000 - 86_400_000);
  const own = renewingFetch(BASE, aDayAhead, await aDayAhead());
  await own(ADDRESS);
  await own(ADDRESS);
  answers = [refusal("token_expired")];
  await own(ADDRESS);
  await own(ADDRESS);
  assert.deepEqual(bearers(), [2, 2, 2, 3, 3].map((number) => `Bearer token-${number}`));

  // What can't be sent again is refused, and the next request has another token.
  const post = () => own(new Request(ADDRESS, { method: "POST", body: "{}" }));
  answers = [refusal("token_expired")];
  assert.deepEqual([(await post()).status, (await post()).status], [401, 200]);
  const got = new Response(JSON.stringify({ reason: "token_expired" }), { status: 401, headers: { "x-should-retry": "false" } });
  answers = [got];
  assert.deepEqual([(await own(ADDRESS)).status, (await own(ADDRESS)).status], [401, 200]);
  assert.deepEqual(bearers().slice(5), [3, 4, 4, 5].map((number) => `Bearer token-${number}`));
});

test("no token goes elsewhere, and none is asked for", async () => {
  const own = renewingFetch(BASE, getToken);
  for (const address of ["http://localhost:3000/", "https://localhost:8284/v1", "http://localhost.evil.example:8284/"]) {
    for (const input of [address, new URL(address), new Request(address)]) {
      await assert.rejects(own(input), /^TypeError: the token is for http:\/\/localhost:8284, and the request goes to http/);
    }
  }
  await assert.rejects(renewingFetch("capacitor://localhost", getToken)("ionic://other"), /the token is for null/);
  assert.deepEqual([sent.length, issued], [0, 0]);
  await own(new URL(ADDRESS));
  assert.deepEqual(bearers(), ["Bearer token-1"]);
});

test("the request is sent as it was given but for its authorization", async () => {
  const own = renewingFetch(BASE, getToken);
  const body = JSON.stringify({ a: 1 });
  await own(ADDRESS, { method: "POST", body, headers: { Authorization: "Bearer placeholder", "X-Other": "1" } });
  await own(new Request(ADDRESS, { method: "POST", body, headers: { "X-Other": "2" } }));
  assert.deepEqual(sent.map(({ url, method, body }) => ({ url, method, body })), [
    { url: ADDRESS, method: "POST", body },
    { url: ADDRESS, method: "POST", body },
  ]);
  assert.deepEqual(sent.map(({ headers }) => headers.get("x-other")), ["1", "2"]);
  assert.deepEqual(bearers(), ["Bearer token-1", "Bearer token-1"]);
});

test("a request is sent once more at most", async () => {
  answers = [refusal("token_expired"), refusal("token_expired"), new Response()];
  const response = await renewingFetch(BASE, getToken)(ADDRESS, { method: "POST", body: "{}" });
  assert.equal(response.status, 401);
  assert.deepEqual(bearers(), ["Bearer token-1", "Bearer token-2"]);
  assert.equal((await response.json()).reason, "token_expired", "the refusal can still be read");
});

test("what the agent has got is not sent again, though the token was over by the time it had answered", async () => {
  const [refused, headers] = [JSON.stringify({ reason: "token_expired" }), { "x-should-retry": "false" }];
  answers = [new Response(refused, { status: 401, headers })];
  const response = await renewingFetch(BASE, getToken)(ADDRESS, { method: "POST", body: "{}" });
  assert.equal(response.status, 401);
  assert.deepEqual(bearers(), ["Bearer token-1"]);
});

test("what another token doesn't mend is handed on, and can be read", async () => {
  for (const refused of [refusal("token_missing"), refusal("token_expired", 403), new Response("<html>", { status: 401 })]) {
    answers = [refused];
    const response = await renewingFetch(BASE, getToken)(ADDRESS);
    assert.equal(response, refused);
    assert.equal(response.bodyUsed, false);
  }
  assert.equal(sent.length, 3);
});

test("a body that was read isn't sent again", async () => {
  const stream = () => new Blob(["{}"]).stream();
  for (const [input, init] of [
    [ADDRESS, { method: "POST", body: stream(), duplex: "half" }],
    [new Request(ADDRESS, { method: "POST", body: "{}" }), undefined],
  ]) {
    answers = [refusal("token_expired")];
    assert.equal((await renewingFetch(BASE, getToken)(input, init)).status, 401);
  }
  answers = [refusal("token_expired")];
  assert.equal((await renewingFetch(BASE, getToken)(new Request(ADDRESS))).status, 200, "a request without a body is");
});

test("who gives up leaves at once, and the others get the token", async () => {
  let give;
  const own = renewingFetch(BASE, () => new Promise((settle) => (give = () => settle(token("late")))));
  const leaving = new AbortController();
  const left = own(ADDRESS, { signal: leaving.signal });
  const stays = own(ADDRESS);
  leaving.abort(new Error("enough"));
  await assert.rejects(left, /enough/);
  give();
  assert.equal((await stays).status, 200);
  assert.deepEqual(bearers(), ["Bearer late"]);
  await assert.rejects(own(ADDRESS, { signal: AbortSignal.abort(new Error("before")) }), /before/);
  assert.equal(sent.length, 1);
});

test("a backend that fails is told of, and asked again the next time", async () => {
  let fails = true;
  const own = renewingFetch(BASE, async () => {
    if (fails) throw new Error("not logged in");
    return token("good");
  });
  await assert.rejects(own(ADDRESS), /not logged in/);
  fails = false;
  assert.equal((await own(ADDRESS)).status, 200);
});

test("a refusal that comes after a renewal uses its token, without another", async () => {
  let refuseLate;
  const late = new Promise((settle) => (refuseLate = () => settle(refusal("token_expired"))));
  const own = renewingFetch(BASE, getToken);
  await own(ADDRESS);
  answers = [late, refusal("token_expired")];
  const slow = own(ADDRESS);
  await own(ADDRESS);
  assert.equal(issued, 2);
  refuseLate();
  assert.equal((await slow).status, 200);
  assert.equal(issued, 2);
});
