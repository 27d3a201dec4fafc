// Overview: what the gateway saves, costs and does.
import { get } from "./api.js";
import { chart } from "./charts.js";
import { card, h, heading, setText } from "./dom.js";
import { compact, count, ms, percent, usd } from "./format.js";
import { live } from "./live.js";
import { added, beginning, breakdown, iso, label, RANGES, reader, since } from "./series.js";
import { replaceTable } from "./tables.js";
import { usageTable } from "./usage_table.js";
import { reason } from "./words.js";

const TILES = [
  ["requests", "Requests", (sum) => compact(sum.requests), (sum) => `${compact(sum.windowed)} windowed`],
  ["original", "Tokens original", (sum) => compact(sum.tokens_original), () => "as they came"],
  ["forwarded", "Tokens forwarded", (sum) => compact(sum.tokens_forwarded), () => "as they went on"],
  ["saved", "Tokens saved", (sum) => compact(sum.tokens_saved), () => "the difference"],
  ["ratio", "Effective tokens", (sum) => percent(sum.effective_tokens), () => "of the original"],
  ["net", "Net saved", (sum) => usd(sum.saved_usd), () => "net of own cost"],
  ["cost", "Cost", (sum) => usd(sum.cost_usd), (sum) => (sum.unpriced ? `${compact(sum.unpriced)} unpriced` : "of all requests")],
  ["added", "Added time", (sum) => ms(sum.mean_overhead_ms), () => "mean, own time"],
  ["errors", "Errors", (sum) => compact(sum.failed), (sum) => `${compact(sum.refused)} refused`],
];

function tiles() {
  const parts = TILES.map(([name, title]) => {
    const value = h("dd", { id: `tile-${name}` }), note = h("dd", { class: "tile-note" });
    return { value, note, node: h("div", { class: `tile tile-${name}` }, h("dt", {}, title), value, note) };
  });
  const update = (sum) => TILES.forEach(([, , shown, noted], place) => {
    setText(parts[place].value, shown(sum));
    setText(parts[place].note, noted(sum));
  });
  return { node: h("dl", { class: "tiles", "aria-label": "Sums" }, parts.map(({ node }) => node)), update };
}

/** What windows in shadow come to, apart from what was saved; nothing where there are none. */
const inShadow = (sum) => (sum.shadowed ? `In shadow mode ${count(sum.shadowed)} windows would have saved ${compact(sum.tokens_would_save)} of ${compact(sum.tokens_shadowed)} tokens (${percent(sum.would_save_share)}), net ${usd(sum.would_save_usd)}. Nothing of it was saved: the originals were forwarded.` : "");

function charts(signal) {
  return {
    tokens: chart("Tokens over time", { format: compact, stacked: true, size: "tall" }, signal),
    money: chart("Net money saved over time", { format: usd }, signal),
    ratio: chart("Effective tokens and added time", { format: percent, type: "line", second: ms, amounts: { suggestedMax: 1 } }, signal),
    reasons: chart("Decisions by reason", { format: count, lying: true, of: "Reason", size: "lying" }, signal),
    errors: chart("Errors and refusals over time", { format: count, stacked: true }, signal),
  };
}

const pick = (steps, name) => steps.map((step) => (step.requests ? step[name] : 0));
const mean = (steps, name) => steps.map((step) => step[name]);

function draw(made, range, steps, sum) {
  const labels = steps.map((step) => label(range, step.time));
  const some = sum.requests > 0;
  const over = (parts) => (some ? parts : []);
  made.tokens.update(labels, over([
    { label: "Forwarded", colour: "forwarded", values: pick(steps, "tokens_forwarded") },
    { label: "Saved", colour: "saved", values: pick(steps, "tokens_saved") },
  ]), `${compact(sum.tokens_saved)} of ${compact(sum.tokens_original)} tokens were saved.`);
  made.money.update(labels, over([{ label: "Net saved", colour: "saved", values: pick(steps, "saved_usd") }]), `${usd(sum.saved_usd)} in all.`);
  made.ratio.update(labels, over([
    { label: "Effective tokens", colour: "forwarded", values: mean(steps, "effective_tokens"), format: percent },
    { label: "Added time", colour: "added", values: mean(steps, "mean_overhead_ms"), format: ms, axis: "y2", dash: [5, 3] },
  ]), `${percent(sum.effective_tokens)} of the tokens were forwarded; ${ms(sum.mean_overhead_ms)} were added.`);
  made.errors.update(labels, over([
    { label: "Failed (5xx)", colour: "failed", values: pick(steps, "failed") },
    { label: "Refused (429)", colour: "refused", values: pick(steps, "refused") },
  ]), `${count(sum.failed)} failed, ${count(sum.refused)} refused.`);
}

function drawReasons(made, { rows: found }) {
  const rows = found.toSorted((a, b) => b.requests - a.requests);
  made.update(rows.map((row) => reason(row.group.reason)), rows.length ? [{ label: "Requests", colour: "requests", values: rows.map((row) => row.requests) }] : [],
    rows.length ? `Most often: ${reason(rows[0].group.reason)}, ${count(rows[0].requests)} requests.` : "");
}

function picker(range) {
  return h("nav", { class: "picker", "aria-label": "Time" }, Object.entries(RANGES).map(([name, { title }]) =>
    h("a", { href: `#/overview?range=${name}`, id: `range-${name}`, title, "aria-label": `Last ${title}`, "aria-current": name === range ? "true" : null }, name)));
}

export async function show({ query, signal }) {
  const range = Object.hasOwn(RANGES, query.get("range")) ? query.get("range") : "24h";
  const read = reader();
  const sums = tiles(), made = charts(signal);
  const teams = h("div", {}, h("p", { class: "waiting" }, "Loading…")), models = h("div", {}, h("p", { class: "waiting" }, "Loading…")), from = h("p", { class: "note" }), shadow = h("p", { class: "note", id: "in-shadow" });

  const parts = breakdown(["team", "model", "reason"], signal);
  const drawSteps = (steps) => {
    const sum = added(steps);
    sums.update(sum);
    setText(from, since(range));
    setText(shadow, inShadow(sum));
    draw(made, range, steps, sum);
  };
  const drawParts = async () => {
    const [byTeam, byModel, byReason] = await parts({ from: iso(beginning(range)) });
    drawReasons(made.reasons, byReason);
    replaceTable(teams, usageTable("By team", "team", byTeam, (name) => h("a", { href: `#/teams/${encodeURIComponent(name)}` }, name)));
    replaceTable(models, usageTable("By model", "model", byModel));
  };
  const load = async () => {
    drawSteps(await read(range, {}, signal));
    await drawParts();
  };
  let first = await read(range, {}, signal);
  const again = live(load, signal);
  const node = h("div", { class: "page" },
    h("div", { class: "head" }, h("div", {}, heading("Overview"), from), h("div", { class: "controls" }, picker(range), again)),
    sums.node, shadow,
    h("div", { class: "grid" }, h("div", { class: "wide" }, made.tokens.node), made.money.node, made.ratio.node, made.reasons.node, made.errors.node),
    card("By team", teams), card("By model", models));
  return { title: "Overview", node, mounted() {
    drawSteps(first);
    first = null;
    return drawParts();
  } };
}
