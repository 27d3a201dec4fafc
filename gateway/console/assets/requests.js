// The latest requests, by what is asked for.
import { ApiError, get } from "./api.js";
import { badge, choice, h, heading } from "./dom.js";
import { compact, ms, percent, second, usd } from "./format.js";
import { table } from "./tables.js";
import { DECISIONS, decision, reason, REASONS, STATES, status } from "./words.js";

const PAGE = 50;
const TIMES = [["1h", "last hour"], ["24h", "last 24 hours"], ["7d", "last 7 days"], ["30d", "last 30 days"], ["3650d", "any time"], ["", "from … to …"]];
const STATUSES = [["", "any"], ["2xx", "2xx: ok"], ["4xx", "4xx: rejected"], ["429", "429: refused"], ["499", "499: client left"], ["5xx", "5xx: failed"]];
const FIELDS = ["team", "key", "user", "model", "reason", "decision", "state", "status", "q", "from", "to", "within"];
const any = (words) => [["", "any"], ...Object.entries(words).map(([name, found]) => [name, Array.isArray(found) ? found[0] : found])];

const text = (id, value, more) => h("input", { type: "text", id, value: value ?? "", autocomplete: "off", spellcheck: "false", ...more });
const labelled = (title, control) => h("div", { class: "field" }, h("label", { for: control.id }, title), control);

/** Moments are typed without a zone, and are UTC's. */
const moment = (typed) => (typed ? `${typed}Z` : "");

function params(query) {
  const found = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const within = found.within || (found.from || found.to ? "" : "24h");
  delete found.within;
  return { ...found, from: within || moment(found.from) || "3650d", to: within ? "" : moment(found.to) };
}

function search(query, teams) {
  const of = (name) => query.get(name) ?? "";
  const within = of("within") || (of("from") || of("to") ? "" : "24h");
  const names = h("datalist", { id: "team-names" }, teams.map((name) => h("option", { value: name })));
  const controls = {
    q: text("search-q", of("q"), { type: "search", placeholder: "id, user or model" }), team: text("search-team", of("team"), { list: "team-names" }),
    user: text("search-user", of("user")), model: text("search-model", of("model")), key: text("search-key", of("key")),
    decision: choice({ id: "search-decision" }, any(DECISIONS), of("decision")), reason: choice({ id: "search-reason" }, any(REASONS), of("reason")),
    status: choice({ id: "search-status" }, STATUSES, of("status")), state: choice({ id: "search-state" }, any(STATES), of("state")),
    within: choice({ id: "search-within" }, TIMES, within),
    from: h("input", { type: "datetime-local", id: "search-from", value: of("from") }), to: h("input", { type: "datetime-local", id: "search-to", value: of("to") }),
  };
  const span = [labelled("From (UTC)", controls.from), labelled("To (UTC)", controls.to)];
  const show = () => span.forEach((part) => (part.hidden = controls.within.value !== ""));
  controls.within.addEventListener("change", show);
  show();
  const submit = (event) => {
    event.preventDefault();
    const asked = Object.entries(controls).map(([name, control]) => [name, control.value.trim()])
      .filter(([name, value]) => value && !(controls.within.value && (name === "from" || name === "to")));
    const next = `#/requests?${new URLSearchParams(asked)}`;
    if (location.hash === next) dispatchEvent(new Event("again"));
    else location.hash = next;
  };
  const more = ["key", "decision", "reason", "state"].some((name) => of(name));
  return h("form", { class: "search", role: "search", "aria-label": "Requests", onsubmit: submit }, names,
    h("div", { class: "fields" }, labelled("Search", controls.q), labelled("Time", controls.within), ...span, labelled("Team", controls.team),
      labelled("User", controls.user), labelled("Model", controls.model), labelled("Status", controls.status)),
    h("details", { class: "more", open: more }, h("summary", {}, "More to search by"), h("div", { class: "fields" }, labelled("Key (its id)", controls.key), labelled("Decision", controls.decision),
      labelled("Reason", controls.reason), labelled("Usage is", controls.state))),
    h("div", { class: "buttons" }, h("a", { class: "button", href: "#/requests" }, "Clear"), h("button", { type: "submit", class: "primary", id: "search-go" }, "Search")));
}

function sizes({ tokens_original: before, tokens_forwarded: after }) {
  if (before === null) return "–";
  return after === before ? compact(before) : `${compact(before)} → ${compact(after)}`;
}

const address = ({ id }) => `#/requests/${encodeURIComponent(id)}`;

/** What was done; where nothing was, only why. */
function decided(entry) {
  if (entry.decision === "applied") return badge("Windowed", "good");
  if (entry.decision === "shadow") return badge("In shadow", "info");
  return entry.reason ? h("span", { title: decision(entry.decision) }, reason(entry.reason)) : decision(entry.decision);
}

const COLUMNS = [
  { title: "Time (UTC)", class: "name", cell: (entry) => h("a", { href: address(entry), "aria-label": `Receipt of ${second(entry.time)}, ${entry.id}` }, second(entry.time)) },
  { title: "Team", class: "cut", cell: ({ team }) => h("bdi", { title: team }, team) },
  { title: "User", class: "cut", cell: ({ user }) => (user ? h("bdi", { title: user }, user) : "–") },
  { title: "Model", class: "cut", cell: ({ model }) => (model ? h("bdi", { title: model }, model) : "–") },
  { title: "Decision", cell: decided },
  { title: "Prompt tokens", number: true, cell: sizes },
  { title: "Kept", number: true, cell: ({ tokens_original: before, tokens_forwarded: after }) => (before && after !== null ? percent(after / before) : "–") },
  { title: "Cost", number: true, cell: ({ cost_usd: cost }) => usd(cost) },
  { title: "Net saved", number: true, cell: ({ saved_usd: saved }) => usd(saved) },
  { title: "Status", cell: (entry) => badge(`${entry.status} ${status(entry.status)[0]}`, status(entry.status)[1]) },
  { title: "Time", number: true, cell: ({ total_ms: time }) => ms(time) },
];

function paging(query, page) {
  const older = new URLSearchParams(query);
  if (page.next) older.set("before", page.next);
  const newest = new URLSearchParams(query);
  newest.delete("before");
  return h("nav", { class: "paging", "aria-label": "Pages of requests" },
    query.has("before") && h("a", { href: `#/requests?${newest}`, id: "newest" }, "Newest"),
    query.has("before") && h("button", { type: "button", class: "quiet", onclick: () => history.back() }, "Newer"),
    page.next && h("a", { href: `#/requests?${older}`, id: "older" }, "Older"));
}

export async function show({ query, signal }) {
  const names = get("teams", {}, signal).then(({ data }) => data.map(({ name }) => name)).catch(() => []);
  let page = { data: [], next: null }, wrong = "";
  try {
    page = await get("requests", { ...params(query), before: query.get("before"), limit: PAGE }, signal);
  } catch (error) {
    // What is asked for may make no sense, and is mended in the form.
    if (!(error instanceof ApiError) || error.status !== 400) throw error;
    wrong = error.message;
  }
  const empty = page.next ? "None here; there may be some further back." : "No requests like that.";
  const found = wrong ? h("p", { class: "wrong", role: "alert" }, wrong) : table({ caption: "Requests, newest first", columns: COLUMNS, rows: page.data, empty,
    open: (entry) => (location.hash = address(entry)) });
  const node = h("div", { class: "page" }, h("div", { class: "head" }, heading("Requests")),
    h("section", { class: "card", "aria-label": "Search" }, search(query, await names)),
    h("section", { class: "card", "aria-labelledby": "title" }, found, paging(query, page)));
  const said = wrong || `${page.data.length} requests${page.next ? ", and there are more" : ""}`;
  return { title: "Requests", node, said };
}
