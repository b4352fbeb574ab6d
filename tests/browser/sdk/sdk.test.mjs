// The official TypeScript SDKs in a page of another origin get from `hallpass dev` what they get from a real Letta
// server behind the gateway, as `tests/letta` has found and kept it: after the same calls the same shapes.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { MAY_DIFFER, differences } from "../../shapes/compare.mjs";
import { DEV_KEY, startChromium, startHallpass } from "../stage.mjs";
import { recordInPage } from "./page.mjs";

const SCRIPTS = { typescript: "current", "typescript-legacy": "legacy" };

describe("hallpass dev and the SDKs in a browser", () => {
  let hallpass, browser;
  const recorded = {};

  before(async () => {
    [hallpass, browser] = await Promise.all([startHallpass(), startChromium()]);
    await Promise.all(Object.entries(SCRIPTS).map(async ([name, script]) => {
      const [agent, other] = [`agent-${randomUUID()}`, `agent-${randomUUID()}`];
      recorded[name] = await recordInPage(browser, script, { url: hallpass.url, key: DEV_KEY, agent, other });
    }));
  });
  after(() => Promise.all([hallpass?.stop(), browser?.close()]));

  for (const name of Object.keys(SCRIPTS)) {
    it(`answers as Letta does: ${name}`, () => assert.deepEqual(differences(name, recorded[name]), []));
  }

  it("differs in nothing that the list need not allow", () => {
    const needless = MAY_DIFFER.filter((rule) => {
      const others = MAY_DIFFER.filter((each) => each !== rule);
      return Object.keys(SCRIPTS).every((name) => differences(name, recorded[name], others).length === 0);
    });
    assert.deepEqual(needless, []);
  });
});
