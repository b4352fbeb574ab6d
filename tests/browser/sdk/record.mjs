// `node record.mjs current|legacy` prints the shapes that a server's answers have for that SDK in a browser. The server
// and what is on it are named by HALLPASS_URL, HALLPASS_KEY, HALLPASS_AGENT and HALLPASS_OTHER.

import { startChromium } from "../stage.mjs";
import { recordInPage } from "./page.mjs";

const { HALLPASS_URL: url, HALLPASS_KEY: key, HALLPASS_AGENT: agent, HALLPASS_OTHER: other } = process.env;
const browser = await startChromium();
try {
  console.log(JSON.stringify(await recordInPage(browser, process.argv[2], { url, key, agent, other })));
} finally {
  await browser.close();
}
