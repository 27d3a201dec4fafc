// A team's limits as they stand.
import { get, path } from "./api.js";
import { burnDown, said } from "./burndown.js";
import { badge, card, fill, h, meter } from "./dom.js";
import { amount, count, from, minute, percent } from "./format.js";
import { budgetsOf } from "./policy.js";

const MOST_DRAWN = 4;
const isBudget = ({ unit }) => unit === "usd" || unit === "tokens";
const isEach = ({ limit }) => limit.includes(" of each ");

function tone(standing, forecast) {
  if (standing.used >= 1) return badge("spent", "bad");
  return forecast?.runs_out_at ? badge("runs out early", "warn") : badge("lasts", "good");
}

function standingNode({ standing, forecast, title }) {
  const rate = !isBudget(standing);
  const parts = [h("div", { class: "limit-head" }, h("strong", {}, title), !rate && tone(standing, forecast)),
    meter(standing.most ? standing.spent / standing.most : 1, title, standing.most ? standing.reserved / standing.most : 0),
    h("p", { class: "note" }, rate ? `${count(standing.spent + standing.reserved)} of ${count(standing.most)} now` : `${amount(standing.unit, standing.spent)} spent, ${amount(standing.unit, standing.reserved)} reserved, of ${amount(standing.unit, standing.most)} (${percent(standing.used)})`)];
  if (!rate) {
    const rateNow = forecast?.rate_per_hour ? ` ${amount(standing.unit, forecast.rate_per_hour)} an hour.` : "";
    parts.push(h("p", { class: "note" }, said(standing, forecast) + rateNow + (standing.begins_anew ? ` It begins anew ${from(standing.begins_anew)}, ${minute(standing.begins_anew)} UTC.` : "")));
  }
  return h("li", { class: "limit" }, parts);
}

/** Budgets of each key, user or model stand by themselves: ask for one's. */
function lookup(team, budgets, place, signal) {
  const pers = ["key", "user", "model"].filter((per) => budgets.some((budget) => budget.per === per));
  if (!pers.length) return null;
  const inputs = pers.map((per) => [per, h("input", { type: "text", id: `whose-${per}`, autocomplete: "off", spellcheck: "false" })]);
  const ask = async (event) => {
    event.preventDefault();
    const whose = Object.fromEntries(inputs.map(([per, input]) => [per, input.value.trim()]));
    try {
      const [standings, forecasts] = await both(team, whose, signal);
      const found = pairs(standings, forecasts).filter(({ standing }) => isEach(standing));
      fill(place, found.length ? found.map(standingNode) : h("li", { class: "empty" }, "No budget counts that."));
    } catch (error) {
      fill(place, h("li", { class: "wrong", role: "alert" }, error.message));
    }
  };
  const label = { key: "Key (its id)", user: "User", model: "Model" };
  return h("form", { class: "inline", onsubmit: ask }, inputs.map(([per, input]) => h("span", { class: "field" }, h("label", { for: input.id }, label[per]), input)),
    h("button", { type: "submit" }, "Look up"));
}

const both = (team, whose, signal) => Promise.all([
  get(path("teams", team, "budgets"), whose, signal), get(path("forecast", team), whose, signal)]);

function pairs(standings, forecasts) {
  const byCounter = new Map(forecasts.data.map((forecast) => [forecast.counter, forecast]));
  return standings.data.map((standing) => ({ standing, forecast: byCounter.get(standing.counter) ?? null, title: standing.limit.replace(/^the /, "") }));
}

/** Say of each standing which of the policy's budgets it is: of two that count the same only the tighter one stands. */
function withBudgets(found, budgets) {
  const waiting = [...budgets];
  return found.map((pair) => {
    const { unit, most } = pair.standing;
    const place = waiting.findIndex((budget) => Math.abs((budget[unit] ?? NaN) - most) < 1e-6);
    return place < 0 ? pair : { ...pair, budget: waiting.splice(place, 1)[0] };
  });
}

/** Read how the limits stand; a budget for some models is told only to who names one of them. */
async function standings(team, signal) {
  const budgets = budgetsOf(team);
  const models = new Set(["", ...budgets.filter(({ models }) => models?.length).map(({ models }) => models[0])]);
  const read = [...models].map(async (model) => {
    const holds = budgets.filter((budget) => !budget.models?.length || budget.models.includes(model));
    const found = withBudgets(pairs(...(await both(team.name, { model }, signal))), holds);
    return model ? found.filter(({ budget }) => budget?.models?.[0] === model).map((pair) => ({ ...pair, title: `${pair.title} for ${pair.budget.models.join(", ")}` })) : found;
  });
  return (await Promise.all(read)).flat();
}

/** Return the card of the team's limits, and the charts of its budgets. */
export async function budgetSection(team, days, signal) {
  const known = await standings(team, signal);
  const own = known.filter(({ standing }) => !isEach(standing));
  const found = h("ul", { class: "limits", "aria-live": "polite" });
  const form = lookup(team.name, budgetsOf(team), found, signal);
  const drawn = own.filter(({ budget }) => budget && budget.period !== "hour").slice(0, MOST_DRAWN);
  const charts = drawn.map((pair) => burnDown(team.name, pair, days, signal));
  const empty = !known.length && !form && h("p", { class: "empty" }, "This team has no limits: it may spend as much as it likes.");
  const node = [card("Limits", empty, h("ul", { class: "limits" }, own.map(standingNode)), form && h("h3", {}, "Of each by itself"), form, found),
    charts.length > 0 && h("div", { class: charts.length > 1 ? "grid" : "" }, charts.map((made) => made.node))];
  return { node, mounted: () => Promise.all(charts.map((made) => made.mounted())) };
}
