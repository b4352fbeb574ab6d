// Compares shapes of answers with those that the real Letta server's had. `may-differ.json` lists what another server may
// answer otherwise, as `{"path": "agents.*/llm_config/handle", "because": "…"}`: the call and the fields, in snake case,
// `*` for anything. As long as it is empty, `hallpass dev` differs in nothing that the scripts see.
//
//   node compare.mjs NAME            reads shapes from standard input: a server that stands in for Letta's
//   node compare.mjs NAME exactly    the real server itself: nothing may differ
//   node compare.mjs NAME keep       keeps them as the real server's

import { readFileSync } from "node:fs";
import { inside, isObject, readRecording, writeRecording } from "./recording.mjs";

export const MAY_DIFFER = JSON.parse(readFileSync(new URL("may-differ.json", import.meta.url), "utf8"));

/** One text for each difference between the real server's calls and another's. */
export function differences(name, calls, allowed = MAY_DIFFER) {
  return compare("", blank(readRecording(name), "", allowed), blank(calls, "", allowed));
}

/** Paths are written the same for all SDKs. */
function join(path, field) {
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return path === "" ? field : `${path}/${name}`;
}

/** Whatever may differ is the same afterwards. */
function blank(shape, path, allowed) {
  const inner = inside(shape, (each, field) => {
    const at = field === "" ? path : join(path, field);
    return allowed.some((rule) => fits(rule.path, at)) ? "any" : blank(each, at, allowed);
  });
  return Array.isArray(inner) ? alike(inner) : inner;
}

const fits = (pattern, path) =>
  new RegExp(`^${pattern.replace(/[.+?^$()|[\]\\{}]/g, "\\$&").replaceAll("*", ".*")}$`).test(path);
const kind = (shape) => shape?.message_type ?? shape?.messageType;
const print = (shape) => (typeof shape === "string" ? shape : JSON.stringify(shape));

/** Shapes that have become the same are one. Messages stay in their order. */
function alike(shapes) {
  if (shapes.some(kind)) return shapes.filter((each, n) => n === 0 || print(each) !== print(shapes[n - 1]));
  return [...new Map(shapes.map((each) => [print(each), each])).entries()].sort().map(([, each]) => each);
}

function compare(path, real, other) {
  if (print(real) === print(other)) return [];
  if (Array.isArray(real) && Array.isArray(other)) return compareLists(path, real, other);
  if (!isObject(real) || !isObject(other)) return [`${path}: ${print(real)}, but ${print(other)}`];
  return [...new Set([...Object.keys(real), ...Object.keys(other)])].sort().flatMap((field) => {
    const at = join(path, field);
    if (!(field in other)) return [`${at}: ${print(real[field])}, but it is missing`];
    if (!(field in real)) return [`${at}: isn't there, but ${print(other[field])}`];
    return compare(at, real[field], other[field]);
  });
}

function compareLists(path, real, other) {
  const kinds = [real, other].map((shapes) => shapes.map(kind).join(" "));
  if (real.some(kind) || other.some(kind)) {
    if (kinds[0] !== kinds[1]) return [`${path}: ${kinds[0]}, but ${kinds[1]}`];
    return [...new Set(real.flatMap((each, n) => compare(`${path}[${kind(each).slice(1)}]`, each, other[n])))];
  }
  const texts = [real, other].map((shapes) => shapes.map(print));
  const [missing, more] = [real, other].map((shapes, n) => shapes.filter((each) => !texts[1 - n].includes(print(each))));
  const at = `${path}[]`;
  return [...new Set([
    ...more.flatMap((each) => nearest(real, (one) => compare(at, one, each)) ?? `${at}: one more, ${print(each)}`),
    ...missing.flatMap((each) => nearest(other, (one) => compare(at, each, one)) ?? `${at}: none of ${print(each)}`),
  ])];
}

/** The fewest differences to any of the shapes. */
const nearest = (shapes, compareTo) => shapes.map(compareTo).sort((a, b) => a.length - b.length)[0];

if (process.argv[1] === import.meta.filename) {
  const [name, how] = process.argv.slice(2);
  const calls = JSON.parse(readFileSync(0, "utf8"));
  if (how === "keep") writeRecording(name, calls);
  const found = differences(name, calls, how === undefined ? MAY_DIFFER : []);
  for (const each of found) console.log(each);
  process.exitCode = found.length > 0 ? 1 : 0;
}
