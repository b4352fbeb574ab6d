// The same chat by Letta's SDK: it gets its `fetch` from `renewingFetch`, and never sees a token.

import Letta, { APIError } from "@letta-ai/letta-client";
import { explain } from "../../advice.js";
import { problem } from "../../events.js";
import { renewingFetch } from "../../renewing-fetch.js";
import "../../style.css";
import { addMessage, addReply, hideNotice, onSend, showMessages, showNotice, showToken } from "../../view.js";

type Answer = { token: string; expiresAt: string; agentId: string; baseURL: string };

async function askBackend(): Promise<Answer> {
  const response = await fetch("/api/token", { method: "POST" });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw problem({ title: "The backend gave no token", status: response.status, message: answer.message });
  showToken(answer.expiresAt);
  return answer;
}

let agent: { id: string; messages: Letta["agents"]["messages"] } | undefined;
let sending: AbortController | undefined;
let loading: Promise<void>; // what was said before is on its way

async function connected() {
  if (agent) return agent;
  const first = await askBackend();
  // The SDK insists on a key; `renewingFetch` puts the token in its place.
  const letta = new Letta({ apiKey: "from the backend", baseURL: first.baseURL, fetch: renewingFetch(first.baseURL, askBackend, first), maxRetries: 0 });
  return (agent = { id: first.agentId, messages: letta.agents.messages });
}

/** What Hallpass or the backend said, out of what the SDK makes of it. */
function said(error: unknown) {
  if (!(error instanceof APIError)) return error;
  const wait = Number(error.headers?.get("retry-after"));
  return error.error ? { ...error.error, status: error.status ?? error.error.status, wait } : (error.cause ?? error);
}

function loadMessages() {
  loading = showWhatWasSaid();
}

async function showWhatWasSaid() {
  try {
    const { id, messages } = await connected();
    const newest = await messages.list(id, { limit: 50 }); // the oldest of them first
    hideNotice();
    showMessages(newest.items);
  } catch (error) {
    showNotice(explain(said(error), false), { label: "Try again", run: loadMessages });
  }
}

/** Whether the message has arrived, as far as can be known. */
async function send(text: string) {
  await loading;
  addMessage("user", text);
  const reply = addReply();
  const { signal } = (sending = new AbortController());
  let hasBegun = false;
  try {
    const { id, messages } = await connected();
    const message = { messages: [{ role: "user" as const, content: text }], stream_tokens: true };
    const stream = await messages.stream(id, message, { signal });
    hasBegun = true;
    for await (const event of stream) reply.take(event);
    reply.end(signal.aborted ? "stopped" : "");
  } catch (caught) {
    const error = said(caught);
    reply.end(signal.aborted ? "stopped" : hasBegun ? "cut off" : "not answered");
    const action = { label: "Load the messages", run: loadMessages };
    if (!signal.aborted) showNotice({ ...explain(error, hasBegun), wait: (error as { wait?: number }).wait }, action);
  }
  return hasBegun;
}

/** Leaving a stream stops nothing: the agent has to be told. */
async function stop() {
  sending?.abort();
  if (agent) await agent.messages.cancel(agent.id).catch(() => {}); // it may just have finished
}

onSend(send, stop);
loadMessages();
