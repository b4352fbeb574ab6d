/**
 * The events of a stream, each as parsed JSON, when it comes. Ends at `data: [DONE]`. An `event: error` is thrown with
 * all that it says (`reason`, `detail`, …), and so is a stream that breaks off.
 *
 * @param {Response} response whose body is `text/event-stream`
 */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the stream ended before it was complete");
      const complete = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
      rest = complete.pop();
      for (const event of complete) {
        const { name, data } = parse(event);
        if (name === "error") throw problem(JSON.parse(data));
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed already
  }
}

/** An error with all members of a problem detail, or of an error of the agent server. */
export function problem({ message, ...more }) {
  return Object.assign(new Error(message), more);
}

function parse(event) {
  const fields = event.split(/\r\n|\n|\r/).map((line) => line.match(/^(event|data): ?(.*)$/) ?? []);
  const all = (wanted) => fields.filter(([, name]) => name === wanted).map(([, , value]) => value);
  return { name: all("event").at(-1), data: all("data").join("\n") };
}
