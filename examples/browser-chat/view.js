// What is on the page: the messages, the notice of what went wrong, the state of the token. Texts from outside are only
// ever set as text, never as HTML.

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
const log = $("log");
const list = log.parentElement; // what scrolls
const form = $("form");
const field = $("text");
let tokens = 0;
let countdown = 0;

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 80;
const scroll = () => (list.scrollTop = list.scrollHeight);

/** Letta's `content` is a text or a list of parts. */
const plain = (content) => (Array.isArray(content) ? content.map((part) => part.text ?? "").join("") : content ?? "");

/** @param {"user" | "agent"} who */
function addItem(who) {
  const item = element("li", who);
  item.append(element("span", "who", who === "user" ? "You" : "Agent"));
  log.append(item);
  return item;
}

/** @param {"user" | "agent"} who */
export function addMessage(who, text = "") {
  addItem(who).append(element("p", "said", text));
  scroll();
}

/** Puts an answer on the page that comes in pieces: `take` each event, then `end`. */
export function addReply() {
  const item = addItem("agent");
  const parts = new Map();
  item.setAttribute("aria-busy", "true"); // so that it is read out when it is complete
  scroll();

  function add(kind, id, text) {
    const key = `${kind} ${id}`; // pieces of one message have one id
    if (!parts.has(key)) parts.set(key, item.appendChild(element("p", kind)));
    parts.get(key).append(text ?? "");
  }
  return {
    take(event) {
      const follows = isAtEnd();
      if (event.message_type === "reasoning_message") add("thought", event.id, event.reasoning);
      if (event.message_type === "tool_call_message") add("tool", event.id, event.tool_call?.name);
      if (event.message_type === "assistant_message") add("said", event.id, plain(event.content));
      if (follows) scroll();
    },
    end(how = "") {
      item.removeAttribute("aria-busy");
      if (how) item.append(element("p", "how", how));
      else if (!parts.size) item.remove();
      scroll();
    },
  };
}

/** The messages so far, oldest first, in place of what is shown. */
export function showMessages(messages) {
  const shown = { user_message: "user", assistant_message: "agent" };
  log.replaceChildren();
  log.removeAttribute("aria-busy");
  for (const { message_type: type, content } of messages) if (type in shown) addMessage(shown[type], plain(content));
}

/**
 * What went wrong and what can be done, with one button if there is an `action`. With `wait`, nothing can be sent for so
 * many seconds.
 */
export function showNotice({ title, text, advice = "", reason = "", status = "", wait = 0 }, action) {
  const notice = $("notice");
  const code = [status, reason].filter(Boolean).join(" ");
  notice.replaceChildren(element("strong", "title", title), element("p", "detail", text), element("p", "advice", advice));
  if (code) notice.append(element("code", "reason", code));
  if (action) {
    const button = element("button", "action", action.label);
    button.addEventListener("click", action.run);
    notice.append(button);
  }
  notice.hidden = false;
  log.removeAttribute("aria-busy");
  scroll(); // it takes its room from the messages
  if (wait) waitFor(wait);
}

export function hideNotice() {
  $("notice").hidden = true;
}

function waitFor(seconds) {
  const button = $("send");
  clearInterval(countdown);
  const until = Date.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Wait ${left} s` : "Send";
    if (left <= 0) clearInterval(countdown);
  };
  countdown = setInterval(show, 250);
  show();
}

/** A line on the token that the page holds now. */
export function showToken(expiresAt) {
  tokens += 1;
  const until = new Date(expiresAt).toLocaleTimeString();
  $("token").textContent = `Token ${tokens}, good until ${until}`;
}

/** Calls `send` with each text; meanwhile there is a button to stop in place of the one to send. */
export function onSend(send, stop) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text || $("send").disabled || !$("stop").hidden) return;
    field.value = "";
    hideNotice();
    setBusy(true);
    const isSent = await send(text);
    setBusy(false);
    if (!isSent) field.value ||= text;
    field.focus();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  $("stop").addEventListener("click", stop);
}

function setBusy(busy) {
  $("send").hidden = busy;
  $("stop").hidden = !busy;
}
