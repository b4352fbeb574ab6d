// Tokens verified by a stranger: jose, which knows nothing but the published keys.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { createRemoteJWKSet, errors, jwtVerify } from "jose";

import { PUBLIC_URL, TOKENS, startServer } from "./hallpass.mjs";

const apiKey = "a-static-API-key-for-the-tests";
const request = {
  hostname: "https://app.example.com",
  policy: [{ type: "agent", id: "agent-1", access: ["read_messages"] }],
};

for (const algorithm of ["EdDSA", "ES256", "RS256"]) {
  describe(algorithm, () => {
    let server, verify;
    before(async () => {
      server = await startServer({ HALLPASS_SIGNING__ALGORITHM: algorithm, HALLPASS_API_KEY: apiKey });
      const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", server.url));
      const expected = { issuer: PUBLIC_URL, audience: "letta", typ: "at+jwt", algorithms: [algorithm] };
      verify = (token, changes = {}) => jwtVerify(token, keys, { ...expected, ...changes });
    });
    after(() => server.stop());

    async function call(method, body) {
      const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
      const answer = await fetch(server.url + TOKENS, { method, headers, body: body && JSON.stringify(body) });
      assert.ok(answer.ok, `${answer.status} ${await answer.clone().text()}`);
      return answer.json();
    }
    const issue = async () => (await call("POST", request)).token;

    it("verifies", async () => {
      const { payload, protectedHeader } = await verify(await issue());
      assert.equal(protectedHeader.alg, algorithm);
      assert.equal(payload.sub, "default");
      assert.equal(payload.origin, "https://app.example.com");
      assert.deepEqual(payload.policy, { version: "1", data: request.policy });
      assert.ok(payload.exp - payload.iat >= 299 && payload.exp - payload.iat <= 300);
    });

    it("verifies as the list gives it", async () => {
      const token = await issue();
      const listed = (await call("GET")).tokens[0].token;
      assert.deepEqual((await verify(listed)).payload, (await verify(token)).payload);
      // An ECDSA signature is drawn anew each time; the others come out the same.
      assert.equal(listed === token, algorithm !== "ES256");
    });

    it("does not verify once tampered with", async () => {
      const [head, , signature] = (await issue()).split(".");
      const [, otherBody] = (await issue()).split(".");
      await assert.rejects(verify(`${head}.${otherBody}.${signature}`), errors.JWSSignatureVerificationFailed);
    });

    it("binds audience, issuer and type", async () => {
      const token = await issue();
      for (const changes of [{ audience: "another" }, { issuer: "https://another.example" }, { typ: "JWT" }])
        await assert.rejects(verify(token, changes), errors.JWTClaimValidationFailed);
    });
  });
}
