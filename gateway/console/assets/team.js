// One team: limits and how they run down, keys, what it came to.
import { get, path, remove } from "./api.js";
import { budgetSection } from "./budgets.js";
import { chart } from "./charts.js";
import { confirm } from "./dialogs.js";
import { badge, card, facts, fill, h, heading } from "./dom.js";
import { compact } from "./format.js";
import { keySection } from "./keys.js";
import { termsOf } from "./policy.js";
import { added, beginning, breakdown, iso, label, stepsOf } from "./series.js";
import { mayChange } from "./session.js";
import { usageTable } from "./usage_table.js";

const RANGE = "30d";

/** Read something when it is first needed, and only then. */
function once(read) {
  let found;
  return () => (found ??= read());
}

function drop(team) {
  const also = h("label", {}, h("input", { type: "checkbox", id: "open-to-all" }), " even if it is the last team, after which everybody may call without a key");
  return confirm(`Remove team ${team.name}?`, team.keys ? `Its ${team.keys === 1 ? "key is" : `${team.keys} keys are`} revoked with it. This can't be undone.` : "This can't be undone.",
    "Remove the team", () => remove(path("teams", team.name), { cascade: true, open_to_all: also.firstElementChild.checked }), [also]);
}

function actions(team) {
  if (!mayChange()) return null;
  if (team.source === "configuration") return badge("declared in the configuration, and changed there", "info");
  const gone = async () => {
    if (!(await drop(team))) return;
    dispatchEvent(new Event("teams-changed"));
    location.hash = "#/teams";
  };
  return [h("a", { class: "button", href: `#/teams/${encodeURIComponent(team.name)}/policy` }, "Change the policy"),
    h("button", { type: "button", class: "danger-text", onclick: gone }, "Remove")];
}

function usageSection(team, days, signal) {
  const made = chart("Tokens, last 30 days", { format: compact, stacked: true }, signal);
  const models = h("div", {}, "Loading…"), users = h("div", {}, "Loading…");
  const parts = breakdown(["model", "user"], signal);
  const draw = (steps) => {
    const sum = added(steps);
    made.update(steps.map((step) => label(RANGE, step.time)), sum.requests ? [
      { label: "Forwarded", colour: "forwarded", values: steps.map((step) => step.tokens_forwarded) },
      { label: "Saved", colour: "saved", values: steps.map((step) => step.tokens_saved) },
    ] : [], `${compact(sum.tokens_saved)} of ${compact(sum.tokens_original)} tokens were saved.`);
  };
  const mounted = async () => {
    draw(stepsOf(RANGE, await days()));
    const [byModel, byUser] = await parts({ team, from: iso(beginning(RANGE)) });
    fill(models, usageTable("By model", "model", byModel));
    fill(users, usageTable("By user", "user", byUser));
  };
  return { node: [made.node, card("By model, last 30 days", models), card("By user, last 30 days", users)], mounted };
}

const itsRequests = (name) => h("a", { href: `#/requests?team=${encodeURIComponent(name)}` }, "Its requests");
const crumbs = () => h("p", { class: "crumbs" }, h("a", { href: "#/teams" }, "Teams"));

/** A team that was removed since, or whoever called before there were teams: the ledger alone knows of it. */
async function ofTheLedger(name, days, signal, error) {
  const known = error.status === 404 && (await days()).total.requests > 0;
  if (!known) throw error;
  const usage = usageSection(name, days, signal);
  const said = h("p", { class: "note" }, "There is no such team now: it was removed, or these are requests without a key. This is what the ledger holds.");
  const head = h("div", { class: "head" }, heading(name), h("div", { class: "controls" }, itsRequests(name)));
  return { title: `Team ${name}`, node: h("div", { class: "page" }, crumbs(), head, said, usage.node), mounted: usage.mounted };
}

export async function show({ args: [name], signal }) {
  const days = once(() => get("usage", { team: name, from: iso(beginning(RANGE)), group_by: "day" }, signal));
  let team;
  try {
    team = await get(path("teams", name), {}, signal);
  } catch (error) {
    return ofTheLedger(name, days, signal, error);
  }
  const [budgets, keys] = await Promise.all([budgetSection(team, days, signal), keySection(name, signal)]);
  const usage = usageSection(name, days, signal);
  const node = h("div", { class: "page" },
    crumbs(),
    h("div", { class: "head" }, heading(team.name), h("div", { class: "controls" }, itsRequests(name), actions(team))),
    budgets.node, keys, card("Policy", facts(termsOf(team))), usage.node);
  return { title: `Team ${team.name}`, node, async mounted() {
    await Promise.all([budgets.mounted(), usage.mounted()]);
  } };
}
