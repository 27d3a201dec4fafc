// How a budget runs down: what was left at each moment of its period, and what will be.
import { get } from "./api.js";
import { chart } from "./charts.js";
import { amount, DAY, from, HOUR, minute, shortDay } from "./format.js";
import { iso, start } from "./series.js";

const LENGTHS = { hour: HOUR, day: DAY, week: 7 * DAY };

/** When the period that ends then began; of a budget in total, what is drawn of it. */
function began(budget, ends) {
  if (budget.period === "total" || !ends) return Math.floor(Date.now() / DAY) * DAY - 29 * DAY;
  const end = Date.parse(ends);
  if (LENGTHS[budget.period]) return end - LENGTHS[budget.period];
  // By the calendar: to the same day of the month before, seen from where it is noon or later in every zone.
  const shift = 14 * HOUR, first = new Date(end + shift);
  return first.setUTCMonth(first.getUTCMonth() - 1) - shift;
}

/** The team's sums since then, by hour or day; those by day that the page has anyway are not read again. */
async function sums(team, budget, since, days, signal) {
  const length = ["hour", "day", "week"].includes(budget.period) ? HOUR : DAY;
  const models = budget.models?.length > 0;
  const known = length === DAY && !models ? await days() : null;
  if (known && Date.parse(known.from) <= since) return [known.rows, length];
  const by = `${length === DAY ? "day" : "hour"}${models ? ",model" : ""}`;
  const { rows } = await get("usage", { team, from: iso(since), group_by: by }, signal);
  return [rows.filter((row) => !models || budget.models.includes(row.group.model)), length];
}

/** What was left at each moment, reckoned back from what is left now. */
async function leftOver(team, standing, budget, since, now, days, signal) {
  const [rows, length] = await sums(team, budget, since, days, signal);
  const spent = new Map();
  for (const row of rows) {
    const ends = start(row.group) + length;
    if (ends <= since) continue;
    const at = Math.min(now, ends);
    spent.set(at, (spent.get(at) ?? 0) + (standing.unit === "usd" ? Number(row.cost_usd ?? 0) : row.input + row.output));
  }
  let left = standing.most - standing.spent;
  const points = [{ x: now, y: left }];
  for (const at of [...spent.keys()].sort((a, b) => b - a)) {
    if (at < now) points.push({ x: at, y: left });
    left += spent.get(at);
  }
  points.push({ x: since, y: Math.min(standing.most, left) });
  return points.reverse();
}

function ahead(standing, forecast, now, end) {
  const left = standing.most - standing.spent;
  if (!forecast?.rate_per_hour) return [];
  const out = forecast.runs_out_at && Date.parse(forecast.runs_out_at);
  if (out && out <= end) return [{ x: now, y: left }, { x: Math.max(now, out), y: 0 }];
  return [{ x: now, y: left }, { x: end, y: Math.max(0, left - (forecast.rate_per_hour * (end - now)) / HOUR) }];
}

/** Return the card of one budget's chart. */
export function burnDown(team, { standing, budget, forecast, title }, days, signal) {
  const since = began(budget, standing.begins_anew), now = Date.now();
  const ends = standing.begins_anew ? Date.parse(standing.begins_anew) : Math.max(now + 7 * DAY, Math.min(now + 60 * DAY, Date.parse(forecast?.runs_out_at ?? "") || 0));
  const format = (value) => amount(standing.unit, value);
  const short = (time) => (ends - since <= 2 * DAY ? minute(time).slice(11) : shortDay(time));
  const made = chart(`Left of ${title}`, { format, type: "line",
    times: { min: since, max: ends, format: short, title: (time) => `${minute(time)} UTC` } }, signal);
  const mounted = async () => {
    const parts = [{ label: "Left", colour: "forwarded", area: true, values: await leftOver(team, standing, budget, since, now, days, signal) }];
    const next = ahead(standing, forecast, now, ends);
    if (next.length) parts.push({ label: "At the rate of now", colour: "added", dash: [5, 4], values: next, aside: true });
    if (standing.begins_anew) parts.push({ label: "Even pace", colour: "even", dash: [2, 3], values: [{ x: since, y: standing.most }, { x: ends, y: 0 }], aside: true });
    made.update([], parts, said(standing, forecast));
  };
  return { node: made.node, mounted };
}

function lasting(standing, forecast) {
  if (standing.begins_anew) return "At the rate of now it lasts until it begins anew.";
  return forecast?.rate_per_hour ? "At the rate of now it lasts for more than ten years." : "Nothing is being spent now.";
}

/** When it will have run out, in a sentence. */
export function said(standing, forecast) {
  if (standing.used >= 1) return "It is spent.";
  if (!forecast?.runs_out_at) return lasting(standing, forecast);
  return `At the rate of now it runs out ${from(forecast.runs_out_at)}, ${minute(forecast.runs_out_at)} UTC.`;
}
