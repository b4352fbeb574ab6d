// What an answer looks like to an app, without what it says: the fields, their JSON types, the form of texts, the kinds
// of events in their order. Runs in the page, beside a script that calls it for each request.

// Fields whose value is part of the shape, because apps branch on it.
const KIND = /^(message_?type|stop_?reason|error_?type|status|type|role|reason)$/i;
const ID = /^([a-z_]+)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

/** Leaves are named by their type, an object is its fields, an array the shapes in it. */
export function shape(value, field = "") {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return text(value, field);
  if (typeof value !== "object") return typeof value;
  if (value instanceof Date) return "date";
  if (Array.isArray(value)) return elements(value);
  const fields = Object.entries(value).map(([name, inner]) => [ID.test(name) ? `{${name.match(ID)[1]}}` : name, shape(inner, name)]);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function text(value, field) {
  if (KIND.test(field) && /^[a-z_]+$/.test(value)) return `=${value}`;
  if (ID.test(value)) return `id ${value.match(ID)[1]}`;
  if (UUID.test(value)) return "uuid";
  if (TIME.test(value)) return `time ${value.match(TIME)[1] ?? "without zone"}`;
  return "text";
}

/** The order of messages tells something, that of other things doesn't; how many of a shape there are never does. */
function elements(values) {
  const shapes = values.map((value) => shape(value));
  if (values.some((value) => value?.message_type ?? value?.messageType)) return shapes.filter(differsFromLast);
  return [...new Map(shapes.map((each) => [JSON.stringify(each), each])).entries()].sort().map(([, each]) => each);
}

const differsFromLast = (each, n, all) => n === 0 || JSON.stringify(each) !== JSON.stringify(all[n - 1]);

/** Gives the shapes of the calls that a script makes by `call(name, request)`, of all until it fails itself. */
export async function record(script) {
  const recorder = new Recorder();
  try {
    await script(recorder.call);
  } catch (error) {
    recorder.calls["the script itself"] = { fails: { class: nameOf(error), status: null, body: error.message } };
  }
  return recorder.calls;
}

/** Keeps the shape of each call's outcome under the call's name, and gives what it returned to the script. */
class Recorder {
  calls = {};

  call = async (name, request) => {
    if (name in this.calls) throw new Error(`two calls are named ${name}`);
    const outcome = (this.calls[name] = {});
    try {
      const answer = await request();
      if (typeof answer?.[Symbol.asyncIterator] !== "function") {
        outcome.returns = shape(answer);
        return answer;
      }
      const all = [];
      try {
        for await (const each of answer) all.push(each);
      } finally {
        outcome.yields = shape(all);
      }
      return all;
    } catch (error) {
      const status = error.status ?? error.statusCode;
      // Without a status nothing was answered, or the script itself is wrong.
      const body = status === undefined && error.error === undefined ? error.message : shape(error.error ?? error.body);
      outcome.fails = { class: nameOf(error), status: status ?? null, body };
      return undefined;
    }
  };
}

/** A bundler may have put a line before the name of a class. */
const nameOf = (error) => error.constructor.name.replace(/^_/, "");

/** Asks again until the answer is as wanted. */
export async function until(ask, wanted, what) {
  const giveUp = Date.now() + 20_000;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (Date.now() > giveUp) throw new Error(`${what}: not within 20 s, but ${JSON.stringify(answer)}`);
    await new Promise((again) => setTimeout(again, 50));
  }
}

export const says = (content, more = {}) => ({ messages: [{ role: "user", content }], ...more });
export const OTID = "0b9f4a52-6c1d-4e83-9a57-3d2f8e6c7b10";

const ENDED = ["completed", "cancelled", "failed"];
export const hasEnded = (run) => ENDED.includes(run.status);
/** Lists tell how long a run took, a moment after its end. */
export const isMeasured = (run) => run.total_duration_ns !== null;
