// Making a team, and changing what holds for it.
import { ApiError, get, path, post, put } from "./api.js";
import { card, choice, fill, field, h, heading, mark, say } from "./dom.js";
import { budgetsOf, FieldError, listed, MODES, number, PERIODS, percents, PERS, RATES, rest, ROUTES, WINDOWS, without } from "./policy.js";

const textOf = (value) => (value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value));
const input = (id, value, more) => h("input", { type: "text", id, value: textOf(value), autocomplete: "off", spellcheck: "false", ...more });
const numeric = (id, value, step = "1") => input(id, value, { type: "number", inputmode: "decimal", step, min: "0" });

function budgetRow(budget, place, drop) {
  const id = (name) => `budget-${place}-${name}`;
  const most = numeric(id("most"), budget.usd ?? budget.tokens, "any");
  const unit = choice({ id: id("unit") }, [["usd", "US dollars"], ["tokens", "tokens"]], budget.tokens == null ? "usd" : "tokens");
  const period = choice({ id: id("period") }, PERIODS, budget.period ?? "month");
  const per = choice({ id: id("per") }, PERS, budget.per ?? "team");
  const zone = input(id("time_zone"), budget.time_zone ?? "UTC");
  const models = input(id("models"), budget.models), soft = input(id("soft"), budget.soft);
  const row = h("fieldset", { class: "budget-row" }, h("legend", {}, `Budget ${place + 1}`),
    h("div", { class: "fields" }, field("Limit", most), field("In", unit), field("For", period), field("Of", per),
      field("Time zone", zone, "where periods begin"), field("Models", models, "none: all; commas between"),
      field("Announce at %", soft, "as in 50, 80, 95")),
    h("button", { type: "button", class: "quiet", onclick: () => drop(made) }, `Remove budget ${place + 1}`));
  const read = () => {
    const limit = number(most, { whole: unit.value === "tokens" });
    if (limit === undefined) throw new FieldError(most, "Expected a limit.");
    const kept = without({ narrow: Object.keys(budget.narrow ?? {}).length ? budget.narrow : null });
    return { ...kept, ...without({ models: listed(models.value), soft: percents(soft) }), [unit.value]: limit,
      period: period.value, per: per.value, time_zone: zone.value.trim() || "UTC" };
  };
  const made = { row, read, first: most };
  return made;
}

function budgetPart(budgets) {
  const rows = [], place = h("div", {});
  let number = 0;
  const drop = (gone) => {
    rows.splice(rows.indexOf(gone), 1);
    gone.row.remove();
    add.focus();
  };
  const append = (budget) => {
    const made = budgetRow(budget, number++, drop);
    rows.push(made);
    place.append(made.row);
    return made;
  };
  budgets.forEach(append);
  const add = h("button", { type: "button", id: "add-budget", onclick: () => append({}).first.focus() }, "Add a budget");
  const read = () => {
    const found = rows.map((made) => made.read());
    return found.length > 1 ? found : found[0];
  };
  return { node: card("Budgets", place, add), read, control: (param) => {
    const [, at, name] = /^budget(?:\.(\d+))?(?:\.(\w+))?/.exec(param) ?? [];
    const known = rows[Number(at ?? 0)]?.row;
    return known?.querySelector(`[id$="-${["usd", "tokens"].includes(name) ? "most" : name}"]`) ?? rows[Number(at ?? 0)]?.first;
  } };
}

/** The field that the API means; of a list it may mean an item. */
const controlOf = (param) => document.getElementById(param.replace(".", "-")) ?? document.getElementById(param.replace(/\.\d+$/, ""));

function sections(team) {
  const rates = RATES.map(([name, title]) => [name, title, numeric(`limits-${name}`, team?.limits?.[name])]);
  const windows = WINDOWS.map(([name, title]) => [name, title, numeric(`windowing-${name}`, team?.windowing?.[name], "any")]);
  const mode = choice({ id: "windowing-mode" }, MODES, team?.windowing?.mode ?? "");
  const models = input("models", team?.models);
  const routes = ROUTES.map((name) => [name, h("input", { type: "checkbox", id: `route-${name}`, checked: team?.routes?.includes(name) ?? false })]);
  const budgets = budgetPart(team ? budgetsOf(team) : []);
  const node = [budgets.node,
    card("Limits", h("div", { class: "fields" }, rates.map(([, title, control]) => field(title, control, "empty: no limit")))),
    card("What it may use", h("div", { class: "fields" }, field("Models", models, "empty: all; commas between")),
      h("fieldset", { class: "checks" }, h("legend", {}, "Routes"), h("p", { class: "hint" }, "None checked: all, or with a budget those that can be counted."),
        routes.map(([name, control]) => h("label", {}, control, ` ${name}`)))),
    card("Windowing", h("p", { class: "hint" }, "What is empty is as for everybody."), h("div", { class: "fields" }, field("Mode", mode), windows.map(([, title, control]) => field(title, control))))];
  const of = (pairs, rule) => without(Object.fromEntries(pairs.map(([name, , control]) => [name, number(control, rule(name))])));
  const read = () => {
    const limits = of(rates, () => ({ least: 1 }));
    const windowing = { ...without({ mode: mode.value }), ...of(windows, (name) => (name === "target_confidence" ? { whole: false, below: 1 } : { least: 1 })) };
    const chosen = routes.filter(([, control]) => control.checked).map(([name]) => name);
    const parts = { budget: budgets.read(), models: listed(models.value), routes: chosen };
    const groups = Object.fromEntries(Object.entries({ limits, windowing }).filter(([, group]) => Object.keys(group).length));
    return { ...rest(team), ...without(parts), ...groups };
  };
  return { node, read, control: (param) => (param?.startsWith("budget") ? budgets.control(param) : controlOf(param ?? "")) };
}

/** Show what the API or the form says is wrong, at its field where there is one. */
function complain(error, made, wrong, form) {
  for (const control of form.querySelectorAll("[aria-invalid]")) mark(control, "");
  const control = error instanceof FieldError ? error.control : error instanceof ApiError ? made.control(error.param) : null;
  if (control) {
    mark(control, error.message);
    control.focus();
    say(error.message);
  } else {
    wrong.textContent = error.message;
  }
}

export async function show({ args: [name], signal }) {
  const team = name === undefined ? null : await get(path("teams", name), {}, signal);
  const title = team ? `Policy of ${team.name}` : "Make a team";
  const made = sections(team);
  const called = input("name", "", { required: true, maxlength: "64" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const go = h("button", { type: "submit", class: "primary" }, team ? "Let it hold" : "Make the team");
  const back = team ? `#/teams/${encodeURIComponent(team.name)}` : "#/teams";
  const save = async (event) => {
    event.preventDefault();
    go.disabled = true;
    fill(wrong);
    try {
      const policy = made.read();
      const saved = team ? await put(path("teams", team.name), policy) : await post("teams", { ...policy, name: called.value.trim() });
      dispatchEvent(new Event("teams-changed"));
      location.hash = `#/teams/${encodeURIComponent(saved.name)}`;
      say(team ? "The policy holds from now on." : "The team is made.");
    } catch (error) {
      complain(error, made, wrong, form);
      go.disabled = false;
    }
  };
  const form = h("form", { onsubmit: save, novalidate: true },
    !team && card("Name", h("div", { class: "fields" }, field("Name", called, "1 to 64 letters, digits, dots, dashes, underscores"))),
    made.node, wrong, h("div", { class: "buttons" }, h("a", { class: "button", href: back }, "Cancel"), go));
  return { title, node: h("div", { class: "page narrow" }, h("div", { class: "head" }, heading(title)), form) };
}
