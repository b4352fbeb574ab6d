// What of `renewingFetch` needs no browser: it is given a `fetch` that answers as each case wants.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { renewingFetch } from "../../examples/browser-chat/renewing-fetch.js";

const URL = "http://localhost/v1/agents/a/messages";
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
  const own = renewingFetch(getToken, token("held", 31_000));
  await own(URL);
  const late = renewingFetch(getToken, token("held", 29_000));
  await late(URL);
  await late(URL);
  assert.deepEqual(bearers(), ["Bearer held", "Bearer token-1", "Bearer token-1"]);
});

test("the request is sent as it was given but for its authorization", async () => {
  const own = renewingFetch(getToken);
  const body = JSON.stringify({ a: 1 });
  await own(URL, { method: "POST", body, headers: { Authorization: "Bearer placeholder", "X-Other": "1" } });
  await own(new Request(URL, { method: "POST", body, headers: { "X-Other": "2" } }));
  assert.deepEqual(sent.map(({ url, method, body }) => ({ url, method, body })), [
    { url: URL, method: "POST", body },
    { url: URL, method: "POST", body },
  ]);
  assert.deepEqual(sent.map(({ headers }) => headers.get("x-other")), ["1", "2"]);
  assert.deepEqual(bearers(), ["Bearer token-1", "Bearer token-1"]);
});

test("a request is sent once more at most", async () => {
  answers = [refusal("token_expired"), refusal("token_expired"), new Response()];
  const response = await renewingFetch(getToken)(URL, { method: "POST", body: "{}" });
  assert.equal(response.status, 401);
  assert.deepEqual(bearers(), ["Bearer token-1", "Bearer token-2"]);
  assert.equal((await response.json()).reason, "token_expired", "the refusal can still be read");
});

test("what the agent has got is not sent again, though the token was over by the time it had answered", async () => {
  const [refused, headers] = [JSON.stringify({ reason: "token_expired" }), { "x-should-retry": "false" }];
  answers = [new Response(refused, { status: 401, headers })];
  const response = await renewingFetch(getToken)(URL, { method: "POST", body: "{}" });
  assert.equal(response.status, 401);
  assert.deepEqual(bearers(), ["Bearer token-1"]);
});

test("what another token doesn't mend is handed on, and can be read", async () => {
  for (const refused of [refusal("token_missing"), refusal("token_expired", 403), new Response("<html>", { status: 401 })]) {
    answers = [refused];
    const response = await renewingFetch(getToken)(URL);
    assert.equal(response, refused);
    assert.equal(response.bodyUsed, false);
  }
  assert.equal(sent.length, 3);
});

test("a body that was read isn't sent again", async () => {
  const stream = () => new Blob(["{}"]).stream();
  for (const [input, init] of [
    [URL, { method: "POST", body: stream(), duplex: "half" }],
    [new Request(URL, { method: "POST", body: "{}" }), undefined],
  ]) {
    answers = [refusal("token_expired")];
    assert.equal((await renewingFetch(getToken)(input, init)).status, 401);
  }
  answers = [refusal("token_expired")];
  assert.equal((await renewingFetch(getToken)(new Request(URL))).status, 200, "a request without a body is");
});

test("who gives up leaves at once, and the others get the token", async () => {
  let give;
  const own = renewingFetch(() => new Promise((settle) => (give = () => settle(token("late")))));
  const leaving = new AbortController();
  const left = own(URL, { signal: leaving.signal });
  const stays = own(URL);
  leaving.abort(new Error("enough"));
  await assert.rejects(left, /enough/);
  give();
  assert.equal((await stays).status, 200);
  assert.deepEqual(bearers(), ["Bearer late"]);
  await assert.rejects(own(URL, { signal: AbortSignal.abort(new Error("before")) }), /before/);
  assert.equal(sent.length, 1);
});

test("a backend that fails is told of, and asked again the next time", async () => {
  let fails = true;
  const own = renewingFetch(async () => {
    if (fails) throw new Error("not logged in");
    return token("good");
  });
  await assert.rejects(own(URL), /not logged in/);
  fails = false;
  assert.equal((await own(URL)).status, 200);
});

test("a refusal that comes after a renewal uses its token, without another", async () => {
  let refuseLate;
  const late = new Promise((settle) => (refuseLate = () => settle(refusal("token_expired"))));
  const own = renewingFetch(getToken);
  await own(URL);
  answers = [late, refusal("token_expired")];
  const slow = own(URL);
  await own(URL);
  assert.equal(issued, 2);
  refuseLate();
  assert.equal((await slow).status, 200);
  assert.equal(issued, 2);
});
