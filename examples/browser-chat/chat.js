// A chat with one agent: a token from the page's own backend, a reply in pieces from Hallpass, and what to do when
// either fails. Neither token nor agent is known here before the backend says so.

import { explain } from "./advice.js";
import { events, problem } from "./events.js";
import { renewingFetch } from "./renewing-fetch.js";
import { addMessage, addReply, hideNotice, onSend, showMessages, showNotice, showToken } from "./view.js";

/** Asks the backend for `{ token, expiresAt, agentId, baseURL }`. */
async function askBackend() {
  const response = await fetch("/api/token", { method: "POST" });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw problem({ title: "The backend gave no token", status: response.status, message: answer.message });
  showToken(answer.expiresAt);
  return answer;
}

let agent; // the agent's address
let agentFetch; // `fetch` with a token that is always fresh
let sending; // the message under way can be given up by it
let loading; // what was said before is on its way

async function connect() {
  const first = await askBackend();
  agent = `${first.baseURL}/v1/agents/${first.agentId}`;
  agentFetch = renewingFetch(first.baseURL, askBackend, first);
}

/** A request to the agent. What isn't 2xx is thrown, with all that Hallpass says about it. */
async function ask(path, init) {
  if (!agentFetch) await connect();
  const response = await agentFetch(agent + path, init);
  if (response.ok) return response;
  const said = await response.json().catch(() => ({ message: `status ${response.status}` }));
  throw problem({ ...said, status: response.status, wait: Number(response.headers.get("Retry-After")) });
}

function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

function loadMessages() {
  loading = showWhatWasSaid();
}

async function showWhatWasSaid() {
  try {
    const newest = await (await ask("/messages?limit=50")).json(); // the oldest of them first
    hideNotice();
    showMessages(newest);
  } catch (error) {
    showNotice(explain(error, false), { label: "Try again", run: loadMessages });
  }
}

/** Whether the message has arrived, as far as can be known. */
async function send(text) {
  await loading;
  addMessage("user", text);
  const reply = addReply();
  sending = new AbortController();
  let hasBegun = false;
  try {
    const message = { messages: [{ role: "user", content: text }], stream_tokens: true };
    const response = await post("/messages/stream", message, sending.signal);
    hasBegun = true;
    for await (const event of events(response)) reply.take(event);
    reply.end();
  } catch (error) {
    if (sending.signal.aborted) {
      reply.end("stopped");
    } else {
      reply.end(hasBegun ? "cut off" : "not answered");
      const action = { label: "Load the messages", run: loadMessages };
      showNotice({ ...explain(error, hasBegun), wait: error.wait }, action);
    }
  }
  return hasBegun;
}

/** Leaving a stream stops nothing: the agent has to be told. It stops all that it does, so an agent has one user here. */
async function stop() {
  sending?.abort();
  await post("/messages/cancel", {}).catch(() => {}); // it may just have finished
}

onSend(send, stop);
loadMessages();
