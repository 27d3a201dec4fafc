// Figures as people read them. Days and times are UTC's, as in the ledger and its reports.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compactly = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
export const UNKNOWN = "–";
export const DAY = 86_400_000;
export const HOUR = 3_600_000;
export const MINUTE = 60_000;

const known = (value) => value !== null && value !== undefined && value !== "" && Number.isFinite(Number(value));

/** 12,345 */
export const count = (value) => (known(value) ? whole.format(Number(value)) : UNKNOWN);

/** 12.3K */
export const compact = (value) => {
  if (!known(value)) return UNKNOWN;
  return Math.abs(Number(value)) < 10_000 ? whole.format(Number(value)) : compactly.format(Number(value));
};

/** 12.3% */
export const percent = (value) => (known(value) ? share.format(Number(value)) : UNKNOWN);

/** Dollars: to the cent where that says enough, else to three digits. */
export function usd(value) {
  if (!known(value)) return UNKNOWN;
  const amount = Number(value), size = Math.abs(amount);
  const digits = size >= 1000 ? 0 : size === 0 || size >= 1 ? 2 : Math.min(9, Math.max(2, 2 - Math.floor(Math.log10(size))));
  const text = size.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${amount < 0 && Number(text.replaceAll(",", "")) !== 0 ? "−" : ""}$${text}`;
}

/** Milliseconds, or seconds from ten of them on. */
export const ms = (value) => {
  if (!known(value)) return UNKNOWN;
  const found = Number(value);
  if (found >= 10_000) return `${(found / 1000).toLocaleString("en", { maximumFractionDigits: 1 })} s`;
  return `${found.toLocaleString("en", { maximumFractionDigits: found < 10 ? 2 : found < 100 ? 1 : 0 })} ms`;
};

const iso = (time) => new Date(time).toISOString();
export const day = (time) => iso(time).slice(0, 10);
export const minute = (time) => iso(time).slice(0, 16).replace("T", " ");
export const second = (time) => iso(time).slice(0, 19).replace("T", " ");
export const clock = (time) => iso(time).slice(11, 16);
export const shortDay = (time) => new Date(time).toLocaleDateString("en", { timeZone: "UTC", day: "numeric", month: "short" });

const STEPS = [[DAY, "day"], [HOUR, "hour"], [MINUTE, "minute"]];

/** "in 3 days", "2 hours ago" */
export function from(time, now = Date.now()) {
  const away = Date.parse(time) - now, size = Math.abs(away);
  const [length, unit] = STEPS.find(([step]) => size >= step * 1.5) ?? STEPS.at(-1);
  if (size < MINUTE) return away < 0 ? "just now" : "now";
  return new Intl.RelativeTimeFormat("en").format(Math.round(away / length), unit);
}

/** An amount in a budget's unit. */
export const amount = (unit, value) => (unit === "usd" ? usd(value) : count(value));
