// All teams: how far their budgets are spent, and what they came to this month.
import { get, path } from "./api.js";
import { badge, fill, h, heading, meter, setText } from "./dom.js";
import { compact, count, day, percent, usd } from "./format.js";
import { budgetsOf, described } from "./policy.js";
import { mayChange } from "./session.js";
import { table } from "./tables.js";

const PAGE = 25;
const LANES = 4; // readings of budgets at the same time
const MOST_SPENDERS = 50; // looked at for the fullest budget

/** Whose budgets to look at: the team's own, those for some models, and of each user, model or key the largest spender's. */
async function whose(team, signal) {
  const budgets = budgetsOf(team);
  const asked = new Set(["", ...budgets.map(({ models }) => models?.[0] ?? "")]);
  const pers = new Set(budgets.map(({ per }) => per ?? "team").filter((per) => per !== "team"));
  const spenders = await Promise.all([...pers].map(async (per) => {
    const { rows } = await get("usage", { team: team.name, group_by: per, from: "month", top: MOST_SPENDERS }, signal);
    const [first] = rows.sort((a, b) => Number(b.cost_usd ?? 0) - Number(a.cost_usd ?? 0) || b.input + b.output - a.input - a.output);
    return first ? { [per]: first.group[per] } : {};
  }));
  return [...[...asked].map((model) => ({ model })), ...spenders];
}

/** Return the budgets that count something of a team's, each with how far it is spent. */
async function standings(team, signal) {
  const found = await Promise.all((await whose(team, signal)).map((one) => get(path("teams", team.name, "budgets"), one, signal)));
  return found.flatMap(({ data }) => data).filter(({ unit }) => unit === "usd" || unit === "tokens");
}

/** Fill in the fullest budget of each team, some at a time: it takes some questions a team. */
async function fillBudgets(places, signal) {
  const waiting = [...places];
  const lane = async () => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) {
      const [team, place] = next;
      const found = await standings(team, signal).catch(() => []);
      const [fullest] = found.sort((a, b) => b.used - a.used);
      if (fullest) fill(place, meter(fullest.used, `${team.name}: ${fullest.limit}`), ` ${percent(fullest.used)}`);
      else setText(place, "–");
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

function columns(usage, places) {
  const of = (name) => usage.get(name);
  return [
    { title: "Team", class: "name", cell: ({ name }) => h("a", { href: `#/teams/${encodeURIComponent(name)}` }, name) },
    { title: "Budget", class: "budgets", cell: (team) => budgetsOf(team).map(described).join("; ") || "none" },
    { title: "Fullest", class: "meters", cell: (team) => {
      const place = h("span", { class: "spent" }, budgetsOf(team).length ? "…" : "–");
      if (budgetsOf(team).length) places.push([team, place]);
      return place;
    } },
    { title: "Keys", number: true, cell: ({ keys }) => count(keys) },
    { title: "Requests", number: true, cell: ({ name }) => count(of(name)?.requests ?? 0) },
    { title: "Saved", number: true, hint: "tokens", cell: ({ name }) => compact(of(name)?.tokens_saved ?? 0) },
    { title: "Cost", number: true, cell: ({ name }) => usd(of(name) ? of(name).cost_usd : 0) },
    { title: "Net saved", number: true, cell: ({ name }) => usd(of(name) ? of(name).saved_usd : 0) },
    { title: "Declared in", cell: ({ source }) => badge(source === "store" ? "the store" : "the configuration") },
  ];
}

export async function show({ query, signal }) {
  const [teams, sums] = await Promise.all([get("teams", {}, signal), get("usage", { group_by: "team", from: "month" }, signal)]);
  const usage = new Map(sums.rows.map((row) => [row.group.team, row]));
  const asked = query.get("q") ?? "", skip = Math.max(0, Number(query.get("skip")) || 0);
  const found = teams.data.filter(({ name }) => name.toLowerCase().includes(asked.toLowerCase()));
  const first = skip < found.length ? skip : 0; // teams can have gone since
  const rows = found.slice(first, first + PAGE), places = [];
  const to = (skip) => `#/teams?${new URLSearchParams({ q: asked, skip })}`;
  const search = h("input", { type: "search", id: "team-search", value: asked, "aria-label": "Find a team by name", placeholder: "Find a team" });
  const form = h("form", { class: "inline", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/teams?${new URLSearchParams({ q: search.value.trim() })}`;
  } }, search, h("button", { type: "submit" }, "Find"));
  const made = table({ caption: "Teams", columns: columns(usage, places), rows,
    open: ({ name }) => (location.hash = `#/teams/${encodeURIComponent(name)}`),
    empty: asked ? `No team's name holds “${asked}”.` : "There are no teams yet: whoever reaches the gateway may use it, without a key. With the first team, every caller needs a key." });
  const node = h("div", { class: "page" },
    h("div", { class: "head" }, heading("Teams"), h("div", { class: "controls" }, teams.data.length > 5 || asked ? form : null,
      mayChange() && h("a", { class: "button primary", href: "#/teams+new" }, "Make a team"))),
    h("section", { class: "card", "aria-labelledby": "title" }, h("p", { class: "note" }, `Sums are this month's, since ${day(Date.now()).slice(0, 8)}01.`), made,
      found.length > PAGE && h("nav", { class: "paging", "aria-label": "More teams" },
        first > 0 && h("a", { href: to(Math.max(0, first - PAGE)) }, "Back"),
        h("span", {}, `${count(first + 1)} to ${count(first + rows.length)} of ${count(found.length)}`),
        first + PAGE < found.length && h("a", { href: to(first + PAGE) }, "More"))));
  return { title: "Teams", node, said: asked ? `${found.length} teams` : "", mounted: () => fillBudgets(places, signal) };
}
