// Elements. Whatever comes from the API becomes a text node or an attribute's value, never markup.
const SVG = "http://www.w3.org/2000/svg";

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make an element: attributes by name, listeners as `onclick`, children as text or nodes. */
export const h = (tag, props, ...children) => filled(document.createElement(tag), props, children);

/** The same of an SVG. */
export const svg = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

let number = 0;
/** An id that nothing else in the page has. */
export const freshId = (name) => `${name}-${++number}`;

/** Replace what is in the element. */
export const fill = (element, ...children) => (element.replaceChildren(), filled(element, {}, children));

/** Set the element's text only if it changed, so that what is selected there stays selected. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Say something to screen readers. */
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  // A message that is the same as before is only heard if the element was empty for a moment.
  setTimeout(() => (place.textContent = text), 50);
}

/** A heading that can take the focus when the page changes. */
export const heading = (text, ...more) => h("h1", { tabindex: "-1", id: "title" }, text, ...more);

/** A card with a title. */
export const card = (title, ...children) => {
  const id = freshId("card");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...children);
};

/** Facts as terms and what they are; those that are undefined are left out. */
export const facts = (pairs, kind = "facts") =>
  h("dl", { class: kind }, pairs.filter(([, value]) => value !== undefined && value !== null)
    .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));

/** A state in a word, with a mark whose shape says the same as its colour. */
export const badge = (text, tone = "plain") => {
  const marks = { good: "●", warn: "▲", bad: "■", plain: "", info: "◆" };
  return h("span", { class: `badge ${tone}` }, marks[tone] && h("span", { "aria-hidden": "true" }, `${marks[tone]} `), text);
};

/** How much of something is used, as a bar with its text; `reserved` is drawn behind what is spent. */
export function meter(share, label, reserved = 0) {
  const percent = Math.min(100, Math.max(0, share * 100));
  const tone = share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "good";
  const bar = (name, width) => {
    const part = h("span", { class: name });
    part.style.width = `${width}%`;
    return part;
  };
  return h("span", { class: `meter ${tone}`, role: "meter", "aria-label": label, "aria-valuemin": "0",
    "aria-valuemax": "100", "aria-valuenow": percent.toFixed(0), "aria-valuetext": `${percent.toFixed(0)} %` },
  bar("meter-reserved", Math.min(100, percent + reserved * 100)), bar("meter-spent", percent));
}

/** A labelled field of a form, with a hint and a place for what is wrong with it. */
export function field(label, control, hint) {
  control.id ||= freshId("field");
  const wrong = h("span", { class: "wrong", id: `${control.id}-wrong` });
  const note = hint && h("span", { class: "hint", id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", `${hint ? `${control.id}-hint ` : ""}${control.id}-wrong`);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note, wrong);
}

/** Say below the field what is wrong with it; "" takes that back. */
export function mark(control, text) {
  control.toggleAttribute("aria-invalid", Boolean(text));
  if (text) control.setAttribute("aria-invalid", "true");
  const place = document.getElementById(`${control.id}-wrong`);
  if (place) place.textContent = text;
}

/** A choice among [value, label] pairs; one that holds already and is not among them is offered too. */
export function choice(props, options, chosen) {
  const other = chosen && !options.some(([value]) => value === chosen) ? [[chosen, chosen]] : [];
  return h("select", props, [...options, ...other].map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}
