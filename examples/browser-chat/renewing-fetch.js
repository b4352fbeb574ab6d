/**
 * A `fetch` that puts a client-side access token on each request and asks for another one in time: before the token
 * ends, and after a 401 that says it is over; then the request is sent once more. However many requests need a new
 * token at once, the backend is asked once. A request to another address than Hallpass's fails: it would take the token there.
 *
 * @typedef {{ token: string, expiresAt: string }} Token `expiresAt` as Hallpass gives it
 * @param {string} baseURL where Hallpass is
 * @param {() => Promise<Token>} getToken asks your backend
 * @param {Token} [held] a token that you have already
 * @returns {typeof fetch} also for `new Letta({ apiKey: "from the backend", baseURL, fetch: renewingFetch(baseURL, getToken) })`
 */
export function renewingFetch(baseURL, getToken, held) {
  const originOf = (address) => new URL(address, globalThis.document?.baseURI).origin;
  const lasts = ({ expiresAt }) => Date.parse(expiresAt) - Date.now() > 30_000;
  let clockTells = true; // not if a token is over when it comes: then a 401 has to tell
  let renewal; // the one question to the backend that every request in need waits for

  async function usableToken(signal) {
    if (held && (lasts(held) || !clockTells)) return held;
    const take = (token) => ((clockTells = lasts(token)), (held = token));
    renewal ??= getToken().then(take).finally(() => (renewal = undefined));
    // A request that is given up leaves; the others still get their token.
    const givenUp = new Promise((_, fail) => signal?.addEventListener("abort", () => fail(signal.reason), { once: true }));
    return Promise.race([renewal, givenUp]);
  }

  return async (input, init) => {
    const asked = input instanceof Request ? input : undefined;
    const [there, here] = [originOf(asked?.url ?? input), originOf(baseURL)];
    if (there !== here || here === "null") throw new TypeError(`the token is for ${here}, and the request goes to ${there}`);
    const signal = init?.signal ?? asked?.signal;
    signal?.throwIfAborted();
    const headers = new Headers(init?.headers ?? asked?.headers);
    const send = (token) => fetch(input, { ...init, headers: (headers.set("Authorization", `Bearer ${token}`), headers) });

    const used = await usableToken(signal);
    const response = await send(used.token);
    if (response.status !== 401) return response;
    const { reason } = await response.clone().json().catch(() => ({}));
    if (!["token_expired", "token_revoked", "invalid_token"].includes(reason)) return response;
    if (held === used) held = undefined; // unless another request has renewed it meanwhile
    if (response.headers.get("x-should-retry") === "false") return response; // the agent has got it: the token ended meanwhile
    const isSpent = init?.body instanceof ReadableStream || (asked && !["GET", "HEAD"].includes(asked.method));
    if (isSpent) return response; // a body that was read can't be sent again
    return send((await usableToken(signal)).token);
  };
}
