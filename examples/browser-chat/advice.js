// What a person can do about what went wrong. The whole list of reasons is in docs/gateway.md; `detail` says what was
// wrong this time.

const BY_REASON = {
  token_expired: "What the agent had begun goes on. Load the messages to see the reply.",
  token_revoked: "What the agent had begun goes on. Load the messages to see the reply; that asks for another token.",
  invalid_token: "The key that signed the token is gone. Load the messages: that asks for another token.",
  origin_mismatch: "Open this page at the address that the token names, or let the backend name this page's origin as `hostname`.",
  agent_not_granted: "Let the backend name this agent in the token's `policy`.",
  access_missing: "Let the backend grant this access in the token's `policy`.",
  route_not_allowed: "No client token may do this. Let the backend do it.",
  key_with_origin: "An API key got into the page. Revoke it, and ask the backend for a token.",
  too_many_messages: "Wait, then send again.",
  too_many_streams: "Wait until another reply is complete, in another tab perhaps.",
  too_many_requests: "Wait until other requests are answered.",
  upstream_failed: "The agent server failed. Its log says more; the message may have arrived, so load the messages first.",
  upstream_auth: "The agent server refused the gateway's own secret, or its model's provider did.",
  upstream_unreachable: "Look whether the agent server runs.",
  upstream_timeout: "The agent may still answer. Load the messages before you send again.",
  stopping: "The server is being restarted. Load the messages in a moment.",
};

/**
 * A title, a text and an advice for an error: a problem detail that was thrown, or what `fetch` or a reader threw.
 *
 * @param {any} error
 * @param {boolean} hasBegun whether a part of the answer had come
 */
export function explain(error, hasBegun) {
  const { title, reason, detail, status } = error;
  const text = detail ?? error.message;
  if (reason) return { title: hasBegun ? `The reply was cut off: ${title}` : title, text, reason, status, advice: BY_REASON[reason] };
  if (title) return { title, text, status };
  if (hasBegun) {
    const advice = "What the agent had begun goes on. Load the messages before you send again.";
    return { title: "The reply was cut off", text, advice };
  }
  const advice = "Is `hallpass dev` running? If it is, the browser's console says what it refused.";
  return { title: "Hallpass can't be reached", text, advice };
}
