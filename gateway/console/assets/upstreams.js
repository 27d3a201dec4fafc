// Upstreams and models: who answers, how fast, and at which prices.
import { get } from "./api.js";
import { badge, card, h, heading } from "./dom.js";
import { count, ms, UNKNOWN } from "./format.js";
import { live } from "./live.js";
import { replaceTable, table } from "./tables.js";
import { HEALTH } from "./words.js";

const UPSTREAMS = [
  { title: "Upstream", class: "name", cell: (row) => [h("bdi", {}, row.name), h("span", { class: "sub" }, row.base_url)] },
  { title: "Breaker", cell: (row) => badge(...(HEALTH[row.health] ?? [String(row.health), "plain"])) },
  { title: "Under way", number: true, cell: (row) => count(row.busy) },
  { title: "Weight", number: true, cell: (row) => count(row.weight) },
  { title: "Head p50", number: true, hint: "time to the reply's head, the middle one", cell: (row) => ms(row.head_ms?.p50) },
  { title: "Head p95", number: true, hint: "time to the reply's head, of all but the slowest 5%", cell: (row) => ms(row.head_ms?.p95) },
  { title: "Answered", number: true, cell: (row) => count(row.answered) },
  { title: "Failed (5xx)", number: true, cell: (row) => count(row.failed) },
  { title: "Rate limited", number: true, cell: (row) => count(row.rate_limited) },
  { title: "Not connected", number: true, cell: (row) => count(row.not_connected) },
  { title: "Broken", number: true, cell: (row) => count(row.broken) },
  { title: "Timed out", number: true, cell: (row) => count(row.timed_out) },
];
const PRICES = { input: "input", output: "output", cached_input: "cached", cache_write: "cache write" };
const perMillion = (value) => (typeof value === "number" ? `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 })}` : String(value));
const SOURCES = { list: "list price", configuration: "the configuration" };

/** A price as the API gives it: an object of amounts for a million tokens, a text, or nothing. */
function price(found) {
  if (found === null || found === undefined) return badge("unknown", "warn");
  if (typeof found !== "object") return String(found);
  const known = Object.entries(found).filter(([, value]) => value !== null && typeof value !== "object");
  if (!known.length) return UNKNOWN;
  return h("span", { class: "prices" }, known.map(([name, value]) =>
    h("span", {}, h("span", { class: "sub" }, `${PRICES[name] ?? name.replaceAll("_", " ")} `), perMillion(value))));
}

const list = (names) => (names?.length ? names.join(", ") : UNKNOWN);
const MODELS = [
  { title: "Model", class: "name", cell: (row) => h("bdi", {}, row.name) },
  { title: "Upstreams", cell: (row) => list(row.upstreams) },
  { title: "Fallbacks", cell: (row) => list(row.fallbacks) },
  { title: "Price, USD a million tokens", cell: (row) => price(row.price) },
  { title: "Where it comes from", cell: (row) => SOURCES[row.price_source] ?? row.price_source ?? UNKNOWN },
  { title: "Priced as", cell: (row) => (row.canonical ? h("bdi", {}, row.canonical) : UNKNOWN) },
];

export async function show({ signal }) {
  const read = () => Promise.all([get("upstreams", {}, signal), get("models", {}, signal)]);
  const upstreams = h("div", {}), models = h("div", {});
  const draw = ([found, known]) => {
    replaceTable(upstreams, table({ caption: "Upstreams", columns: UPSTREAMS, rows: found.data, empty: "There are no upstreams." }));
    replaceTable(models, table({ caption: "Models", columns: MODELS, rows: known.data, empty: "No models are named in the configuration: any goes to the default upstream, at its list price." }));
  };
  draw(await read());
  const again = live(async () => draw(await read()), signal);
  const node = h("div", { class: "page" },
    h("div", { class: "head" }, heading("Upstreams and models"), h("div", { class: "controls" }, again)),
    card("Upstreams", h("p", { class: "note" }, "Counts and times are those of the process that answered, since it started. A breaker that is open leaves its upstream alone for a while, then lets one request try."), upstreams),
    card("Models and prices", models));
  return { title: "Upstreams and models", node };
}
