// The official TypeScript SDKs, unchanged, against the real server.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { decodeJwt } from "jose";

import { PUBLIC_URL, startServer } from "./hallpass.mjs";
import { sdks } from "./sdk.mjs";

const hostname = "https://app.example.com";
const HOUR_MS = 3_600_000;

const grant = (id = "agent-1", access = ["read_messages", "write_messages"]) => ({ type: "agent", id, access });

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

let projects = 0;
const newKey = () => server.newApiKey(`project-${(projects += 1)}`);

for (const [name, sdk] of Object.entries(sdks)) {
  describe(name, () => {
    let client;
    before(async () => {
      client = sdk.connect(server, await newKey());
    });

    /** An SDK whose project owns no token yet. */
    const emptyProject = async () => sdk.connect(server, await newKey());
    const listed = async (owner, query) => (await owner.list(query)).tokens.map((entry) => entry.token);

    /** Makes a call that must fail with `status`, and returns what the application learns. */
    async function refused(status, call) {
      const error = await call().then(
        () => assert.fail(`must be refused with ${status}`),
        (caught) => caught,
      );
      assert.ok(error instanceof sdk.errors[status], `${error.constructor.name}: ${error.message}`);
      const failure = sdk.read(error);
      assert.equal(failure.status, status);
      assert.equal(failure.body.status, status);
      assert.equal(failure.body.detail, failure.body.message);
      assert.ok(sdk.shows(error, failure.body.message), error.message);
      return failure;
    }

    const fields = (failure) => failure.body.errors.map((error) => error.field).sort();

    describe("create", () => {
      it("expires after five minutes unless told", async () => {
        const start = Date.now();
        const made = await client.create({ hostname, policy: [grant()] });
        const lifetime = Date.parse(made.expiresAt) - start;
        assert.ok(lifetime >= 300_000 && lifetime < 310_000, `${lifetime} ms`);
      });

      it("gives back what was asked for, as an object", async () => {
        const policy = [grant(), grant("agent-2", ["read_agent", "write_agent"])];
        const made = await client.create({ hostname, policy });
        assert.equal(made.hostname, hostname);
        assert.deepEqual(made.policy, { version: "1", data: policy });
        const claims = decodeJwt(made.token);
        assert.equal(claims.iss, PUBLIC_URL);
        assert.deepEqual(claims.policy, made.policy);
      });

      const moment = new Date(Date.now() + HOUR_MS);
      const iso = moment.toISOString();
      const forms = { "a text with Z": iso, "a text without an offset": iso.slice(0, -1), "a Date": moment };
      if (!sdk.takesDates) delete forms["a Date"];
      for (const [form, expiresAt] of Object.entries(forms)) {
        it(`takes an expiry as ${form}`, async () => {
          const made = await client.create({ hostname, policy: [grant()], expiresAt });
          assert.equal(made.expiresAt, iso);
          assert.equal(decodeJwt(made.token).exp, Math.floor(moment / 1000));
        });
      }

      it("refuses with all mistakes at once", async () => {
        const failure = await refused(400, () =>
          client.create({
            hostname: "app.example.com",
            policy: [grant(), grant("a/b", [])],
            expiresAt: "soon",
          }),
        );
        assert.deepEqual(fields(failure), ["expires_at", "hostname", "policy[1].access", "policy[1].id"]);
        for (const error of failure.body.errors) assert.ok(failure.body.message.includes(error.message));
      });

      it("refuses a past expiry, and one past the limit", async () => {
        for (const hours of [-1, 25]) {
          const expiresAt = new Date(Date.now() + hours * HOUR_MS).toISOString();
          const failure = await refused(400, () => client.create({ hostname, policy: [grant()], expiresAt }));
          assert.deepEqual(fields(failure), ["expires_at"]);
        }
      });

      it("refuses a body over the limit, and another content type", async () => {
        await refused(413, () => client.create({ hostname: `${hostname}/${"a".repeat(70_000)}`, policy: [grant()] }));
        await refused(415, () => client.create({ hostname, policy: [grant()] }, { "content-type": "text/plain" }));
      });
    });

    describe("list", () => {
      it("is empty at first", async () => {
        const page = await (await emptyProject()).list();
        assert.deepEqual(page.tokens, []);
        assert.equal(page.hasNextPage, false);
      });

      it("gives the tokens as issued, newest first, by pages", async () => {
        const owner = await emptyProject();
        const made = [];
        for (let n = 0; n < 3; n += 1) made.unshift(await owner.create({ hostname, policy: [grant(`agent-${n}`)] }));

        assert.deepEqual((await owner.list()).tokens, made);
        const [first, last] = [await owner.list({ limit: 2 }), await owner.list({ limit: 2, offset: 2 })];
        assert.deepEqual([first.tokens, first.hasNextPage], [made.slice(0, 2), true]);
        assert.deepEqual([last.tokens, last.hasNextPage], [made.slice(2), false]);
        assert.deepEqual((await owner.list({ agentId: "agent-1" })).tokens, [made[1]]);
      });

      it("shows only the own project", async () => {
        const [owner, stranger] = [await emptyProject(), await emptyProject()];
        const { token } = await owner.create({ hostname, policy: [grant()] });
        assert.deepEqual(await listed(stranger), []);
        assert.deepEqual(await listed(owner), [token]);
      });

      it("refuses a wrong limit", async () => {
        assert.deepEqual(fields(await refused(400, () => client.list({ limit: 0 }))), ["limit"]);
      });
    });

    describe("delete", () => {
      it("ends what it names by token or by jti, with or without a body, and may be repeated", async () => {
        const owner = await emptyProject();
        for (const [nameOf, body] of [
          [(token) => token, undefined],
          [(token) => token, {}],
          [(token) => decodeJwt(token).jti, undefined],
        ]) {
          const kept = await owner.create({ hostname, policy: [grant()] });
          const gone = await owner.create({ hostname, policy: [grant()] });
          for (let time = 0; time < 2; time += 1) await owner.delete(nameOf(gone.token), body);
          assert.deepEqual(await listed(owner), [kept.token]);
          await owner.delete(kept.token);
        }
        assert.deepEqual(await listed(owner), []);
      });

      it("finds neither what was never issued nor what is another project's", async () => {
        const owner = await emptyProject();
        const { token } = await owner.create({ hostname, policy: [grant()] });
        for (const unknown of [token, decodeJwt(token).jti, "01890a5d-ac96-774b-bcce-b302099a8057"])
          await refused(404, () => client.delete(unknown));
        assert.deepEqual(await listed(owner), [token]);
      });

      it("of an empty name deletes nothing", async () => {
        const owner = await emptyProject();
        const { token } = await owner.create({ hostname, policy: [grant()] });
        await refused(405, () => owner.delete(""));
        assert.deepEqual(await listed(owner), [token]);
      });
    });

    it("without a right key nothing works", async () => {
      const stranger = sdk.connect(server, "sk-let-wrong");
      for (const call of [
        () => stranger.create({ hostname, policy: [grant()] }),
        () => stranger.list(),
        () => stranger.delete("01890a5d-ac96-774b-bcce-b302099a8057"),
      ]) {
        const failure = await refused(401, call);
        assert.match(failure.headers.get("www-authenticate"), /^Bearer/);
      }
    });
  });
}
