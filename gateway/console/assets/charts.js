// Charts by Chart.js, each with a table of its figures; colours come from the style sheet, so that themes reach them.
/* global Chart */
import { card, fill, h } from "./dom.js";
import { HOUR } from "./format.js";
import { table } from "./tables.js";

const drawn = new Set();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

addEventListener("recolour", () => requestAnimationFrame(() => drawn.forEach((paint) => paint())));

function dataset(part, options) {
  const line = options.type === "line";
  const look = line
    ? { borderWidth: 2, pointRadius: part.values.length > 1 ? 0 : 3, pointHoverRadius: 4, tension: 0, fill: part.area ?? false,
      borderDash: part.dash ?? [], spanGaps: false }
    : { borderWidth: 0, maxBarThickness: 34, borderRadius: 2, categoryPercentage: 0.86, barPercentage: 0.92 };
  const tint = colour(part.colour);
  return { ...look, pointStyle: line ? "line" : "rect", type: line ? "line" : "bar", label: part.label, data: part.values, order: line ? 0 : 1,
    borderColor: tint, backgroundColor: line && part.area ? `${tint}30` : tint, yAxisID: part.axis ?? "y",
    stack: options.stacked && !line ? "all" : part.label };
}

function axis(format, more) {
  return { beginAtZero: true, border: { display: false }, grid: { color: colour("line"), drawTicks: false },
    ticks: { color: colour("dim"), maxTicksLimit: 5, padding: 6, callback: format }, ...more };
}

const STEPS = [1, 2, 3, 6, 12, 24, 48, 120, 168, 336, 720].map((hours) => hours * HOUR);

/** Whole steps from the beginning on, seven at most. */
function moments({ min, max }) {
  const step = STEPS.find((length) => (max - min) / length <= 7) ?? (max - min) / 6;
  return Array.from({ length: Math.floor((max - min) / step) + 1 }, (_, place) => ({ value: min + place * step }));
}

function scales(options) {
  const amounts = axis(options.format, { stacked: Boolean(options.stacked), ...options.amounts });
  const names = { stacked: Boolean(options.stacked), grid: { display: false }, border: { color: colour("line") },
    ticks: { color: colour("dim"), maxRotation: 0, autoSkip: !options.lying, autoSkipPadding: 14 } };
  if (options.times) {
    Object.assign(names, { type: "linear", min: options.times.min, max: options.times.max });
    Object.assign(names.ticks, { callback: options.times.format, maxTicksLimit: 9 });
    names.afterBuildTicks = (scale) => (scale.ticks = moments(options.times));
  }
  const found = options.lying ? { x: amounts, y: names } : { x: names, y: amounts };
  if (options.second) found.y2 = axis(options.second, { position: "right", grid: { display: false } });
  return found;
}

function configured(options, labels, parts) {
  const formats = (part) => part.format ?? options.format;
  return {
    data: { labels, datasets: parts.map((part) => dataset(part, options)) },
    options: {
      animation: false, maintainAspectRatio: false, indexAxis: options.lying ? "y" : "x",
      interaction: { mode: options.times ? "nearest" : "index", intersect: false, axis: options.lying ? "y" : "x" },
      scales: scales(options),
      plugins: {
        colors: { enabled: false },
        legend: { display: parts.length > 1, align: "start", labels: { color: colour("text"), usePointStyle: true, boxHeight: 9, padding: 12 } },
        tooltip: { displayColors: parts.length > 1, callbacks: {
          ...(options.times && { title: ([item]) => item && options.times.title(item.parsed.x) }),
          label: ({ dataset: shown, datasetIndex, parsed }) => {
            const value = options.lying ? parsed.x : parsed.y;
            return ` ${shown.label}: ${value === null ? "not known" : formats(parts[datasetIndex])(value)}`;
          } } },
      },
    },
  };
}

function figures(title, options, labels, parts) {
  const names = options.times ? parts[0].values.map(({ x }) => options.times.title(x)) : labels;
  const at = (part, place) => (options.times ? part.values[place]?.y : part.values[place]);
  const columns = [{ title: options.of ?? "Time (UTC)", cell: ([name]) => name },
    ...parts.filter((part) => !part.aside).map((part) => ({ title: part.label, number: true, cell: ([, place]) => (part.format ?? options.format)(at(part, place)) }))];
  return table({ caption: title, columns, rows: names.map((name, place) => [name, place]), empty: "Nothing to show." });
}

/**
 * Return a card with a chart. `options` are {format, type, stacked, lying, times, second, amounts, of, size};
 * `update(labels, parts, said)` draws {label, values, colour, format, area, dash, axis, aside} and says in a sentence what is to be seen.
 */
export function chart(title, options, signal) {
  const canvas = h("canvas", { role: "img", "aria-label": title });
  const plot = h("div", { class: `plot ${options.size ?? ""}` }, canvas);
  const nothing = h("p", { class: "empty", hidden: true }, "No requests in this time.");
  const inside = h("div", {});
  const details = h("details", {}, h("summary", {}, "Figures"), inside);
  let shown = null, known = null;

  const tabulate = () => details.open && known && fill(inside, figures(title, options, ...known));
  const paint = () => {
    if (!known || !canvas.isConnected) return;
    const made = configured(options, ...known);
    if (shown && shown.data.datasets.length === made.data.datasets.length) {
      shown.data = made.data;
      shown.options = made.options;
      shown.update("none");
    } else {
      shown?.destroy();
      shown = new Chart(canvas, made);
    }
  };
  details.addEventListener("toggle", tabulate);
  drawn.add(paint);
  signal.addEventListener("abort", () => {
    drawn.delete(paint);
    shown?.destroy();
  });
  return {
    node: card(title, plot, nothing, details),
    update(labels, parts, said) {
      known = [labels, parts];
      canvas.setAttribute("aria-label", said ? `${title}. ${said}` : title);
      const some = parts.some((part) => part.values.some((value) => value !== null && value !== undefined));
      plot.hidden = details.hidden = !some;
      nothing.hidden = some;
      if (some) paint();
      tabulate();
    },
  };
}
