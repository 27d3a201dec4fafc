// Sums by something, with a bar in which forwarded and saved tokens are seen beside each other.
import { h } from "./dom.js";
import { compact, count, ms, percent, usd } from "./format.js";
import { added } from "./series.js";
import { table } from "./tables.js";

const MOST = 12;

function bar(row, largest) {
  const part = (name, tokens) => {
    const made = h("span", { class: name });
    made.style.width = `${largest ? (100 * Math.max(0, tokens)) / largest : 0}%`;
    return made;
  };
  return h("span", { class: "bar-of-tokens", "aria-hidden": "true" }, part("is-forwarded", row.tokens_forwarded), part("is-saved", row.tokens_saved));
}

const columnsOf = (title, name, largest) => [
  { title, cell: name, class: "name" },
  { title: "Requests", number: true, cell: (row) => count(row.requests) },
  { title: "Original", number: true, hint: "tokens of the prompts as they came", cell: (row) => compact(row.tokens_original) },
  { title: "Forwarded", number: true, hint: "tokens of the prompts as they went on", cell: (row) => compact(row.tokens_forwarded) },
  { title: "Saved", number: true, cell: (row) => compact(row.tokens_saved) },
  { title: "Forwarded and saved", class: "bars", cell: (row) => bar(row, largest) },
  { title: "Effective", number: true, hint: "forwarded ÷ original", cell: (row) => percent(row.effective_tokens) },
  { title: "Cost", number: true, cell: (row) => usd(row.cost_usd) },
  { title: "Net saved", number: true, cell: (row) => usd(row.saved_usd) },
  { title: "Added", number: true, hint: "mean time of the gateway's own, before the upstream", cell: (row) => ms(row.mean_overhead_ms) },
  { title: "Refused", number: true, cell: (row) => count(row.refused) },
  { title: "Failed", number: true, cell: (row) => count(row.failed) },
];

const SHADOW = "of windows made in shadow mode; nothing of it was saved";
const IN_SHADOW = [
  { title: "Would save: tokens", number: true, hint: SHADOW, cell: (row) => (row.shadowed ? compact(row.tokens_would_save) : "–") },
  { title: "%", number: true, hint: `${SHADOW}: share of the tokens of their originals`, cell: (row) => percent(row.would_save_share) },
  { title: "net", number: true, hint: SHADOW, cell: (row) => usd(row.would_save_usd) },
];

/** Return the table of a usage reply grouped by one thing: the largest of them, the others in one row, and the sum. */
export function usageTable(caption, group, reply, shown = (name) => h("bdi", {}, name)) {
  const sorted = [...reply.rows].sort((a, b) => b.tokens_original - a.tokens_original || b.requests - a.requests);
  const rows = sorted.slice(0, MOST), rest = sorted.slice(MOST), others = rest.length + (reply.others ?? 0);
  if (others) rows.push({ ...added(reply.rest ? [...rest, reply.rest] : rest), group: null, others });
  const largest = Math.max(0, ...rows.map((row) => Math.max(row.tokens_original, row.tokens_forwarded)));
  const name = (row) => {
    if (!row.group) return row.others ? `${count(row.others)} others` : "All";
    return row.group[group] ? shown(row.group[group]) : "(none)";
  };
  const columns = columnsOf(caption.replace(/^By /, "").replace(/^./, (c) => c.toUpperCase()), name, largest);
  if (reply.total.shadowed) columns.push(...IN_SHADOW);
  const foot = rows.length > 1 ? { ...reply.total, group: null } : undefined;
  return table({ caption, columns, rows, empty: "No requests in this time.", foot });
}
