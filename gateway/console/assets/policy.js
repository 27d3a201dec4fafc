// A team's policy, from the API's shape to a form's and back; what the form does not show is kept as it is.
import { compact, count, percent, usd } from "./format.js";

export const PERIODS = [["hour", "an hour"], ["day", "a day"], ["week", "a week"], ["month", "a month"], ["total", "in total"]];
export const PERS = [["team", "the whole team"], ["key", "each key"], ["user", "each user"], ["model", "each model"]];
export const ROUTES = ["chat", "completions", "responses", "embeddings", "models", "other"];
export const RATES = [["requests_per_minute", "Requests a minute"], ["tokens_per_minute", "Tokens a minute"], ["concurrent", "At the same time"]];
export const WINDOWS = [["trigger_tokens", "From tokens on"], ["window_tokens", "Window, tokens"], ["min_window_tokens", "Smallest window"],
  ["max_window_tokens", "Largest window"], ["target_confidence", "Confidence aimed at"]];
export const MODES = [["", "as for everybody"], ["on", "on"], ["shadow", "shadow: only watched"], ["off", "off"]];

export function budgetsOf({ budget }) {
  if (!budget) return [];
  return Array.isArray(budget) ? budget : [budget];
}

const period = (name) => PERIODS.find(([value]) => value === name)?.[1] ?? name;

/** "$500.00 a month of each user for gpt-4o" */
export function described(budget) {
  const most = budget.usd == null ? `${compact(budget.tokens)} tokens` : usd(budget.usd);
  const each = budget.per && budget.per !== "team" ? ` of each ${budget.per}` : "";
  const models = budget.models?.length ? ` for ${budget.models.join(", ")}` : "";
  return `${most} ${period(budget.period ?? "month")}${each}${models}`;
}

const some = (value) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length);
const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** The policy as [term, text] pairs, budgets left out. */
export function termsOf(team) {
  const known = new Set(["name", "source", "keys", "budget", "limits", "models", "routes", "windowing"]);
  const rates = RATES.filter(([name]) => some(team.limits?.[name])).map(([name, title]) => [title, count(team.limits[name])]);
  const windows = WINDOWS.filter(([name]) => some(team.windowing?.[name])).map(([name, title]) =>
    [title, name === "target_confidence" ? percent(team.windowing[name]) : count(team.windowing[name])]);
  const more = Object.entries(team).filter(([name, value]) => !known.has(name) && some(value))
    .map(([name, value]) => [name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()), plain(value)]);
  return [...rates, ["Models", team.models?.length ? team.models.join(", ") : "all"],
    ["Routes", team.routes?.length ? team.routes.join(", ") : "all that its budgets can count"],
    ["Windowing", MODES.find(([value]) => value === (team.windowing?.mode ?? ""))?.[1]], ...windows, ...more];
}

export const listed = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/** An error that belongs to a field. */
export class FieldError extends Error {
  constructor(control, message) {
    super(message);
    this.control = control;
  }
}

/** The number in an input; undefined where there is none. */
export function number(control, { whole = true, least = 0, below = Infinity } = {}) {
  const text = control.value.trim();
  if (!text && !control.validity.badInput) return undefined;
  const found = Number(text);
  if (!text || !Number.isFinite(found) || (whole && !Number.isInteger(found)) || found < least || found >= below) {
    throw new FieldError(control, `Expected a ${whole ? "whole " : ""}number${least ? ` of ${count(least)} or more` : ""}${below < Infinity ? ` below ${below}` : ""}.`);
  }
  return found;
}

/** Percentages such as "50, 80". */
export function percents(control) {
  const found = listed(control.value).map(Number);
  if (found.some((value) => !Number.isInteger(value) || value < 1 || value > 99)) {
    throw new FieldError(control, "Expected whole percentages between 1 and 99, as in 50, 80.");
  }
  return found;
}

/** The fields that say something, so that what was not said stays unsaid. */
export function without(empty) {
  return Object.fromEntries(Object.entries(empty).filter(([, value]) => some(value)));
}

/** What of the policy the form does not show. */
export function rest(team) {
  const shown = new Set(["name", "source", "keys", "budget", "limits", "models", "routes", "windowing"]);
  return without(Object.fromEntries(Object.entries(team ?? {}).filter(([name]) => !shown.has(name))));
}
