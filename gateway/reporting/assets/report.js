// Draws each canvas from the table that it names: the page's figures are there once, and readable without this script.
"use strict";
(() => {
  if (typeof Chart === "undefined") return;
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
  const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 9 });

  const heading = (table, name) => table.tHead.querySelector(`[data-column="${name}"]`);
  const rows = (table) => Array.from(table.tBodies[0].rows);
  // A count is what is shown; other figures are rounded for people, and exact in an attribute, which is empty where unknown.
  const figure = (cell) => {
    const text = cell.dataset.value ?? cell.textContent.replaceAll(",", "");
    return text === "" ? null : Number(text);
  };
  const figures = (table, name) => rows(table).map((row) => figure(row.cells[heading(table, name).cellIndex]));
  const labels = (table) => rows(table).map((row) => row.cells[0].textContent);
  const cut = (text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text);

  const dataset = (table, name, canvas) => {
    const line = name === canvas.dataset.line;
    return {
      type: line ? "line" : "bar", label: heading(table, name).textContent, data: figures(table, name),
      backgroundColor: colour(name), borderColor: colour(name),
      stack: line ? "line" : canvas.dataset.stacked === undefined ? name : "all",
      borderWidth: line ? 2 : 0, pointRadius: line ? 2 : 0, order: line ? 0 : 1, maxBarThickness: 40,
    };
  };

  const draw = (canvas) => {
    const table = document.getElementById(canvas.dataset.table);
    const lying = canvas.dataset.lying !== undefined;
    const amounts = { stacked: canvas.dataset.stacked !== undefined, beginAtZero: true,
      grid: { color: colour("line") },
      ticks: { callback: (value) => short.format(value), color: colour("dim"), maxTicksLimit: 7 } };
    const names = { stacked: amounts.stacked, grid: { display: false },
      ticks: { autoSkip: !lying, maxRotation: 60, color: colour("dim"), callback(value) {
        const name = this.getLabelForValue(value);
        return lying ? cut(name) : name.slice("2026-".length);
      } } };
    return new Chart(canvas, {
      data: { labels: labels(table), datasets: canvas.dataset.columns.split(" ").map((c) => dataset(table, c, canvas)) },
      options: {
        animation: false, maintainAspectRatio: false, indexAxis: lying ? "y" : "x",
        interaction: { mode: "index", intersect: false, axis: lying ? "y" : "x" },
        scales: lying ? { x: amounts, y: names } : { x: names, y: amounts },
        plugins: {
          colors: { enabled: false },
          legend: { labels: { color: colour("text") } },
          tooltip: { callbacks: { label: ({ dataset, raw }) =>
            `${dataset.label}: ${raw === null ? "not known" : exact.format(raw)}` } },
        },
      },
    });
  };

  const canvases = Array.from(document.querySelectorAll("canvas"));
  let charts = [];
  const paint = () => {
    for (const chart of charts) chart.destroy();
    charts = canvases.map(draw);
  };

  // Paper is light, whatever the screen is.
  const paper = (on) => {
    root.toggleAttribute("data-paper", on);
    paint();
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  paint();
})();
