// The context as a strip: a stretch as wide as its tokens, kept ones tall and coloured by score, dropped ones low.
import { fill, h, svg } from "./dom.js";
import { count, percent, UNKNOWN } from "./format.js";
import { table } from "./tables.js";

const KINDS = { protected: "protected", chunk: "passage", gap: "between passages" };
const STEPS = 5; // shades of a score
const MOST_ROWS = 300;

/** The scores are relative to each other: shades go from the lowest of the request to its highest. */
function shades(spans) {
  const scores = spans.map(({ score }) => score).filter((score) => score !== null);
  const low = Math.min(...scores), high = Math.max(...scores);
  return (score) => (high > low ? Math.min(STEPS - 1, Math.floor(((score - low) / (high - low)) * STEPS)) : STEPS - 1);
}

const kept = ({ kept: stays }) => (stays ? "kept" : "dropped");
const said = (span) => `${KINDS[span.kind] ?? span.kind}, ${kept(span)}, ${count(span.tokens)} tokens${span.score === null ? "" : `, score ${span.score.toFixed(3)}`}`;

/** Stretches of the same look that touch are drawn as one, so that ten thousand of them are no ten thousand elements. */
function drawn(spans) {
  const shade = shades(spans), parts = [];
  let at = 0;
  for (const span of spans) {
    const look = `${kept(span)} ${span.kind === "protected" ? "is-protected" : span.score === null ? "shade-none" : `shade-${shade(span.score)}`}`;
    const last = parts.at(-1);
    if (last?.look === look && spans.length > 1500) last.tokens += span.tokens;
    else parts.push({ at, tokens: span.tokens, look, title: said(span) });
    at += span.tokens;
  }
  return { parts, total: at };
}

function picture(spans, text) {
  const { parts, total } = drawn(spans);
  const made = svg("svg", { class: "strip", viewBox: `0 0 ${Math.max(1, total)} 40`, preserveAspectRatio: "none", role: "img", "aria-label": text });
  made.append(...parts.map(({ at, tokens, look, title }) => {
    const low = look.startsWith("dropped");
    return svg("rect", { x: at, y: low ? 12 : 0, width: tokens, height: low ? 16 : 40, class: look }, svg("title", {}, title));
  }));
  return made;
}

const swatch = (look, text) => h("li", {}, h("span", { class: `swatch ${look}`, "aria-hidden": "true" }), text);

function legend() {
  const shadesOf = (name) => Array.from({ length: STEPS }, (_, place) => h("span", { class: `swatch ${name} shade-${place}`, "aria-hidden": "true" }));
  return h("ul", { class: "legend" }, swatch("kept is-protected", "protected, kept word for word"),
    h("li", {}, shadesOf("kept"), "kept, by score: low to high"), h("li", {}, shadesOf("dropped"), "left out (low bars), by score"));
}

function sums(spans) {
  const of = (wanted) => spans.filter(wanted).reduce((sum, { tokens }) => sum + tokens, 0);
  return { kept: of((span) => span.kept), dropped: of((span) => !span.kept), all: of(() => true) };
}

const COLUMNS = [
  { title: "No.", number: true, cell: ([, place]) => count(place + 1) },
  { title: "What", cell: ([span]) => KINDS[span.kind] ?? span.kind },
  { title: "Kept", cell: ([span]) => (span.kept ? "kept" : "left out") },
  { title: "Tokens", number: true, cell: ([span]) => count(span.tokens) },
  { title: "Score", number: true, cell: ([span]) => (span.score === null ? UNKNOWN : span.score.toFixed(3)) },
];

/** Return the strip with its legend, and the same as a table. */
export function strip(spans) {
  const { kept: stays, dropped, all } = sums(spans);
  const text = `Of ${count(all)} tokens in ${count(spans.length)} stretches ${count(stays)} (${percent(all ? stays / all : null)}) were kept, and ${count(dropped)} left out.`;
  const inside = h("div", {});
  const details = h("details", { ontoggle: () => details.open && fill(inside, table({ caption: "Stretches in their order", columns: COLUMNS,
    rows: spans.slice(0, MOST_ROWS).map((span, place) => [span, place]) }), spans.length > MOST_ROWS && h("p", { class: "note" }, `The first ${MOST_ROWS} of ${count(spans.length)}.`)) },
  h("summary", {}, "As a table"), inside);
  return [h("p", { class: "note" }, text), picture(spans, text), legend(), details];
}
