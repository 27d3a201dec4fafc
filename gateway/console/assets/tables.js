// Tables with headers, each in a region that scrolls by itself.
import { fill, freshId, h } from "./dom.js";

function cell(column, row, first) {
  const value = column.cell(row);
  const props = { class: column.number ? "number" : column.class };
  return first ? h("th", { ...props, scope: "row" }, value) : h("td", props, value);
}

function line(columns, row, open) {
  const cells = columns.map((column, place) => cell(column, row, place === 0));
  if (!open) return h("tr", {}, cells);
  const go = (event) => {
    // The link in the row is there for the keyboard; a click anywhere else in the row does the same.
    if (!event.target.closest("a, button") && !String(getSelection())) open(row);
  };
  return h("tr", { class: "opens", onclick: go }, cells);
}

/**
 * Return the table's region. Columns are {title, cell, number, hint}; `open` is what a click on a row does, `foot` a
 * row of the same kind for the sum.
 */
export function table({ caption, columns, rows, empty, open, foot, hideCaption = true }) {
  if (!rows.length && empty) return h("p", { class: "empty" }, empty);
  const id = freshId("table");
  const head = h("thead", {}, h("tr", {}, columns.map((column) =>
    h("th", { scope: "col", class: column.number ? "number" : column.class, title: column.hint }, column.title))));
  const body = h("tbody", {}, rows.map((row) => line(columns, row, open)));
  const sum = foot && h("tfoot", {}, line(columns, foot));
  const made = h("table", {}, h("caption", { id, class: hideCaption ? "visually-hidden" : "" }, caption), head, body, sum);
  return h("div", { class: "scroll", role: "region", "aria-labelledby": id, tabindex: "0" }, made);
}

/** Put the table where an earlier one was, without taking the focus or the place of scrolling from it. */
export function replaceTable(place, made) {
  const old = place.firstElementChild;
  const active = old?.contains(document.activeElement) ? document.activeElement : null;
  const left = old?.scrollLeft ?? 0;
  const same = active === old ? -1 : active ? [...old.querySelectorAll("a, button")].indexOf(active) : null;
  fill(place, made);
  made.scrollLeft = left;
  if (same === -1) made.focus({ preventScroll: true });
  else if (same !== null) made.querySelectorAll("a, button")[same]?.focus({ preventScroll: true });
}
