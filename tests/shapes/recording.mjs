// The shapes that a real Letta server's answers had, as they are kept in `real/`: objects that occur several times are
// written once and named.

import { readFileSync, writeFileSync } from "node:fs";

const file = (name) => new URL(`real/${name}.json`, import.meta.url);

export function readRecording(name) {
  const { objects, calls } = JSON.parse(readFileSync(file(name), "utf8"));
  return unpack(calls, objects);
}

export function writeRecording(name, calls) {
  writeFileSync(file(name), `${JSON.stringify(pack(calls), null, 1)}\n`);
}

function unpack(shape, objects) {
  if (typeof shape === "string" && shape.startsWith("→")) return unpack(objects[shape.slice(1)], objects);
  return inside(shape, (inner) => unpack(inner, objects));
}

function pack(calls) {
  const times = new Map();
  count(calls, times);
  const names = new Map();
  const objects = {};
  const packed = (shape) => {
    const inner = inside(shape, packed);
    const text = JSON.stringify(shape);
    if (!(times.get(text) > 1)) return inner;
    if (!names.has(text)) {
      names.set(text, freeName(shape, objects));
      objects[names.get(text)] = inner;
    }
    return `→${names.get(text)}`;
  };
  return { calls: inside(calls, packed), objects };
}

function count(shape, times) {
  if (isObject(shape)) {
    const text = JSON.stringify(shape);
    times.set(text, (times.get(text) ?? 0) + 1);
    // What stands only in an object that has a name needs none itself.
    if (times.get(text) > 1) return;
  }
  inside(shape, (inner) => count(inner, times));
}

/** An object is called what it says that it is. */
function freeName(shape, taken) {
  const kind = shape.message_type ?? shape.messageType ?? shape.id ?? shape["(class)"] ?? "object";
  const name = (typeof kind === "string" ? kind : "object").replace(/^(=|id )/, "");
  for (let n = 1; ; n += 1) {
    const free = n === 1 ? name : `${name} ${n}`;
    if (!(free in taken)) return free;
  }
}

export const isObject = (shape) => typeof shape === "object" && shape !== null && !Array.isArray(shape);

/** The same shape with `change` made to each that stands directly in it. */
export function inside(shape, change) {
  if (Array.isArray(shape)) return shape.map((inner) => change(inner, ""));
  if (!isObject(shape)) return shape;
  return Object.fromEntries(Object.entries(shape).map(([name, inner]) => [name, change(inner, name)]));
}
