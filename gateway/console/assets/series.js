// Sums over time: the API's rows put into equal steps without gaps.
import { get } from "./api.js";
import { clock, DAY, HOUR, MINUTE, minute, shortDay } from "./format.js";

// [length of the time, of a step, of a row that the API makes]
export const RANGES = {
  "1h": { title: "1 hour", steps: 12, step: 5 * MINUTE },
  "24h": { title: "24 hours", steps: 24, step: HOUR, group: "hour" },
  "7d": { title: "7 days", steps: 28, step: 6 * HOUR, group: "hour" },
  "30d": { title: "30 days", steps: 30, step: DAY, group: "day" },
};
const SUMS = ["requests", "windowed", "tokens_original", "tokens_forwarded", "tokens_saved", "input", "cached", "output",
  "unpriced", "refused", "failed", "estimated", "unsettled", "shadowed", "tokens_shadowed", "tokens_window", "tokens_would_save"];
const YOUNG = 10 * MINUTE; // what came before may still change: its requests may be under way
const OLD = MINUTE; // after which what does not change any more is read again nevertheless

/** Where the range begins, so that its first step is a whole one. */
export function beginning(range, now = Date.now()) {
  const { step, steps } = RANGES[range];
  return Math.floor(now / step) * step - (steps - 1) * step;
}

export const iso = (time) => new Date(time).toISOString();

const money = (rows, name) => {
  const known = rows.filter((row) => row[name] !== null);
  return known.length ? known.reduce((sum, row) => sum + Number(row[name]), 0) : null;
};

/** Add rows up; means by the number of their requests. */
export function added(rows) {
  const sum = Object.fromEntries(SUMS.map((name) => [name, rows.reduce((found, row) => found + row[name], 0)]));
  const mean = (name) => {
    const known = rows.filter((row) => row[name] !== null);
    const requests = known.reduce((found, row) => found + row.requests, 0);
    return requests ? known.reduce((found, row) => found + row[name] * row.requests, 0) / requests : null;
  };
  return { ...sum, cost_usd: money(rows, "cost_usd"), saved_usd: money(rows, "saved_usd"), would_save_usd: money(rows, "would_save_usd"),
    would_save_share: sum.tokens_shadowed ? sum.tokens_would_save / sum.tokens_shadowed : null,
    effective_tokens: sum.windowed && sum.tokens_original ? sum.tokens_forwarded / sum.tokens_original : null,
    mean_overhead_ms: mean("mean_overhead_ms"), mean_total_ms: mean("mean_total_ms") };
}

/** A reply by one of the groups of a reply by several. */
function summed(group, rows, total) {
  const parts = Map.groupBy(rows, (row) => row.group[group]);
  return { total, rows: [...parts].map(([name, found]) => ({ ...added(found), group: { [group]: name } })) };
}

const MOST_ROWS = 2000; // of sums by several things in one reply
const LARGEST = 50; // of these by one thing

/** Read sums by each of the groups: in one reading of the ledger, as long as that is no long answer. */
export function breakdown(groups, signal) {
  let apart = false;
  return async (params) => {
    const sums = (names, top) => get("usage", { ...params, group_by: names.join(","), top }, signal);
    if (!apart) {
      const { rows, total, others } = await sums(groups, MOST_ROWS);
      if (!others) return groups.map((group) => summed(group, rows, total));
      apart = true;
    }
    return Promise.all(groups.map((group) => sums([group], LARGEST)));
  };
}

/** When a row's day or hour began. */
export const start = (group) => Date.parse(group.hour ? `${group.hour}Z` : `${group.day}T00:00Z`);

/** The steps' names on an axis. */
export function label(range, time) {
  if (range === "1h" || range === "24h") return clock(time);
  return range === "7d" ? `${shortDay(time)} ${clock(time)}` : shortDay(time);
}

/** The range's steps, of a reply by days or hours from its beginning on. */
export function stepsOf(range, { from, rows }) {
  const { step, steps } = RANGES[range], first = Date.parse(from);
  const parts = Array.from({ length: steps }, () => []);
  for (const row of rows) parts[Math.floor((start(row.group) - first) / step)]?.push(row);
  return parts.map((found, place) => ({ time: first + place * step, ...added(found) }));
}

/** What is read of a range, step by step; each reader remembers what does not change any more. */
export function reader() {
  const kept = new Map();

  async function slice(time, step, signal) {
    const now = Date.now(), known = kept.get(time);
    if (known && time + step < now - YOUNG && known.at > now - OLD) return known.total;
    const { total } = await get("usage", { from: iso(time), to: iso(time + step) }, signal);
    kept.set(time, { total, at: now });
    return total;
  }

  async function sliced(first, { step, steps }, signal) {
    const times = Array.from({ length: steps }, (_, place) => first + place * step);
    const totals = await Promise.all(times.map((time) => slice(time, step, signal)));
    for (const time of kept.keys()) if (time < first) kept.delete(time);
    return times.map((time, place) => ({ time, ...totals[place] }));
  }

  return async (range, params, signal) => {
    const first = beginning(range), shape = RANGES[range];
    if (!shape.group) return sliced(first, shape, signal);
    return stepsOf(range, await get("usage", { ...params, from: iso(first), group_by: shape.group }, signal));
  };
}

/** In words, from when on. */
export const since = (range) => `since ${minute(beginning(range))} UTC`;
