// A request's receipt: what was asked, what was made of it and why, what it took and what it cost.
import { get, path } from "./api.js";
import { badge, card, facts, fill, h, heading } from "./dom.js";
import { count, ms, percent, second, usd } from "./format.js";
import { strip } from "./strip.js";
import { table } from "./tables.js";
import { decision, OUTCOMES, REASONS, STATES, status } from "./words.js";

const STAGES = { receive: "Receiving the request", window: "Windowing", upstream_head: "Waiting for the upstream", reply: "Relaying the reply" };
const MOST_TEXT = 20_000;
const bdi = (text) => (text ? h("bdi", {}, text) : undefined);

function head(entry) {
  const [word, tone] = status(entry.status);
  return facts([
    ["Time (UTC)", second(entry.time)], ["Team", h("a", { href: `#/teams/${encodeURIComponent(entry.team)}` }, entry.team)],
    ["User", bdi(entry.user)], ["Key", entry.key ? h("span", { class: "code" }, entry.key) : undefined], ["Model", bdi(entry.model)],
    ["Upstream", bdi(entry.upstream)], ["Route", entry.route + (entry.stream ? ", streamed" : "")],
    ["Status", [badge(`${entry.status} ${word}`, tone), entry.error && h("span", { class: "code" }, ` ${entry.error}`)]],
  ]);
}

function decided(entry, receipt) {
  const [short, long] = REASONS[entry.reason] ?? [entry.reason || "none", ""];
  const sure = receipt?.confidence;
  return card("Decision", h("p", { class: "decision" }, badge(decision(entry.decision), entry.decision === "applied" ? "good" : "plain"), ` ${short}. ${long}`),
    facts([["Tokens original", count(entry.tokens_original)], ["Tokens forwarded", count(entry.tokens_forwarded)],
      ["Effective tokens", entry.tokens_original && entry.tokens_forwarded !== null ? percent(entry.tokens_forwarded / entry.tokens_original) : undefined],
      ["Tokens of the window in shadow", entry.tokens_window === null ? undefined : count(entry.tokens_window)],
      ["Would have saved net (nothing was)", entry.would_save_usd === null ? undefined : usd(entry.would_save_usd)],
      ["Confidence", sure === null || sure === undefined ? undefined : percent(sure)]]));
}

const named = (name) => STAGES[name] ?? name.replace(/^window_/, "Windowing: ").replaceAll("_", " ");

const ofUpstream = ({ name }) => name === "upstream_head" || name === "reply";

/** Bars are of the gateway's time or of the upstream's, each beside its own longest: one is a hundred times the other. */
function stages(found, entry) {
  const longest = (upstream) => Math.max(0, ...found.filter((stage) => ofUpstream(stage) === upstream).map((stage) => stage.ms));
  const most = { true: longest(true), false: longest(false) };
  const bar = (stage) => {
    const upstream = ofUpstream(stage), made = h("span", { class: `stage-bar ${upstream ? "is-upstream" : ""}` });
    made.style.width = `${most[upstream] ? Math.max(0.5, (100 * stage.ms) / most[upstream]) : 0}%`;
    return h("span", { class: "stage-track", "aria-hidden": "true" }, made);
  };
  const columns = [{ title: "Stage", cell: ({ name }) => named(name) }, { title: "Time", number: true, cell: (stage) => ms(stage.ms) },
    { title: "Beside the longest", class: "bars", cell: bar }];
  const first = entry.first_byte_ms === null ? "" : `; the reply's first byte came after ${ms(entry.first_byte_ms)}`;
  return card("Time", h("p", { class: "note" }, `${ms(entry.total_ms)} in all, of which the gateway added ${ms(entry.overhead_ms)} before the upstream was asked${first}.`),
    table({ caption: "Stages", columns, rows: found, empty: "The stages are not known." }),
    h("ul", { class: "legend" }, h("li", {}, h("span", { class: "swatch stage-bar", "aria-hidden": "true" }), "the gateway's"), h("li", {}, h("span", { class: "swatch stage-bar is-upstream", "aria-hidden": "true" }), "the upstream's")));
}

function usage(entry) {
  const rows = [["Prompt", entry.input], ["of which read from a cache", entry.cached], ["of which written to a cache", entry.cache_written],
    ["Completion", entry.output], ["of which reasoning", entry.reasoning]];
  const [word, long] = STATES[entry.state] ?? [entry.state, ""];
  return card("Usage and cost", table({ caption: "Usage", rows, columns: [{ title: "Tokens", cell: ([name]) => name },
    { title: "As the upstream counts", number: true, cell: ([, tokens]) => count(tokens) }] }),
  facts([["Cost", usd(entry.cost_usd)], ["Net saved", usd(entry.saved_usd)], ["Usage is", word]]), h("p", { class: "note" }, long));
}

function attempts(receipt) {
  if (!receipt.attempts.length) return null;
  const rows = receipt.attempts.map((text, place) => {
    const at = text.lastIndexOf(": ");
    return { place: place + 1, upstream: at < 0 ? text : text.slice(0, at), outcome: at < 0 ? "" : text.slice(at + 2) };
  });
  return card("Attempts", table({ caption: "Attempts", rows, columns: [
    { title: "Upstream", cell: ({ place, upstream }) => [`${place}. `, h("bdi", {}, upstream)] }, { title: "How it ended", cell: ({ outcome }) => OUTCOMES[outcome] ?? outcome }] }),
  receipt.model_served && h("p", { class: "note" }, "Served by ", h("bdi", {}, receipt.model_served), ", instead of the model that was asked for."));
}

/** A text to be read, by keyboard too; of a very long one the beginning, until the rest is asked for. */
function longText(text, label) {
  const shown = h("pre", { class: "prompt", tabindex: "0", role: "region", "aria-label": label }, text.slice(0, MOST_TEXT));
  const all = text.length > MOST_TEXT && h("button", { type: "button", onclick: () => {
    fill(shown, text);
    all.remove();
    shown.focus();
  } }, `Show all ${count(text.length)} characters`);
  return [shown, all];
}

/** What a message or an item says; of one without texts, all that is in it. */
function saying({ role, content, ...more }) {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part) => (typeof part?.text === "string" ? part.text : JSON.stringify(part, null, 2))).join("\n\n");
  return JSON.stringify(more, null, 2);
}

/** The messages of a chat body, or the items of one to the Responses API, as [role, text]; null where it is none, or was cut. */
function messages(body) {
  try {
    const { messages: chat, input, instructions } = JSON.parse(body);
    const items = chat ?? (typeof input === "string" ? [{ role: "user", content: input }] : input);
    const found = items.map((item) => [String(item.role ?? item.type), saying(item)]);
    return typeof instructions === "string" ? [["instructions", instructions], ...found] : found;
  } catch {
    return null;
  }
}

function prompt({ forwarded_body: body }) {
  if (!body) return card("Forwarded prompt", h("p", { class: "empty" }, "It was not kept: prompts are only kept where logging.prompts is on."));
  const found = messages(body);
  if (!found) return card("Forwarded prompt", longText(body, "The forwarded prompt"));
  return card("Forwarded prompt", found.map(([role, text]) => [h("h3", {}, role), longText(text, `Message of ${role}`)]),
    h("details", {}, h("summary", {}, "The body as it was sent"), longText(body, "The body as it was sent")));
}

export async function show({ args: [id], signal }) {
  const { entry, receipt } = await get(path("requests", id), {}, signal);
  const context = receipt?.spans.length ? card("Context", strip(receipt.spans)) : card("Context", h("p", { class: "empty" }, receipt ? "No window was made, so all of the prompt was forwarded." : "The stretches of this request are not known any more: receipts are kept of the latest requests only."));
  const node = h("div", { class: "page" },
    h("p", { class: "crumbs" }, h("a", { href: "#/requests" }, "Requests")),
    h("div", { class: "head" }, heading("Request ", h("span", { class: "code id" }, entry.id))),
    card("Facts", head(entry), receipt?.question && h("div", { class: "question" }, h("h3", {}, "What was asked"), h("blockquote", {}, receipt.question))),
    decided(entry, receipt), context,
    h("div", { class: "grid" }, receipt && stages(receipt.stages, entry), usage(entry)),
    receipt && attempts(receipt), receipt && prompt(receipt));
  return { title: `Request ${entry.id}`, node };
}
