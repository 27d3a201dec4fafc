// What is wrong with the page for whoever does not see it, or sees it badly: names, headings, ids, contrast.
() => {
  const wrong = [];
  const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !element.closest(".visually-hidden");
  for (const details of document.querySelectorAll("details")) details.open = true;

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) !== place))) wrong.push(`${id} is there twice`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(" ")) if (!ids.includes(id)) wrong.push(`${attribute} names ${id}`);
    }
  }

  const named = (element) => {
    const by = element.getAttribute("aria-labelledby");
    const text = by ? by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ")
      : element.getAttribute("aria-label") ?? [...(element.labels ?? [])].map((label) => label.textContent).join(" ");
    return (text || (element.matches("input, select") ? "" : element.textContent)).trim();
  };
  const must = "a, button, input, select, summary, dialog, nav, section, form[role], [role=img], [role=region], [role=meter]";
  for (const element of document.querySelectorAll(must)) if (!named(element)) wrong.push(`${element.tagName.toLowerCase()} has no name`);
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption?.textContent) wrong.push("table has no caption");
    for (const cell of table.querySelectorAll("th")) if (!cell.scope) wrong.push("th has no scope");
  }
  for (const region of document.querySelectorAll(".scroll")) {
    if (region.tabIndex !== 0) wrong.push("what scrolls can't be reached by keyboard");
  }

  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown).map((heading) => Number(heading.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) wrong.push("there is not one h1");
  levels.forEach((level, place) => place && level > levels[place - 1] + 1 && wrong.push(`h${level} follows h${levels[place - 1]}`));
  for (const [what, count] of [["main", 1], ["header", 1], ["html[lang]", 1]]) {
    if (document.querySelectorAll(what).length !== count) wrong.push(`not one ${what}`);
  }

  const numbers = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => ({ r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1 });
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = numbers(getComputedStyle(at).backgroundColor);
      if (layer.a) layers.push(layer);
      if (layer.a === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), { r: 255, g: 255, b: 255, a: 1 });
  };
  const light = ({ r, g, b }) => [r, g, b].map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || seen.has(element) || !shown(element) || element.matches("script, noscript, :disabled, option")) continue;
    seen.add(element);
    const style = getComputedStyle(element), ground = behind(element);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(over(numbers(style.color), ground), ground);
    if (found < (large ? 3 : 4.5)) wrong.push(`${texts.currentNode.textContent.trim().slice(0, 30)}: contrast ${found.toFixed(2)}`);
  }
  for (const control of document.querySelectorAll("button, input, select")) {
    if (!shown(control)) continue;
    const { width, height } = control.getBoundingClientRect();
    if (height < 20 && !control.matches("[type=checkbox]")) wrong.push(`${named(control)}: ${width.toFixed()} by ${height.toFixed()} is too small`);
  }
  return wrong;
}
