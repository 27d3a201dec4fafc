// A team's keys: make, rotate, revoke.
import { get, path, post, remove } from "./api.js";
import { badge, choice, field, fill, h, say } from "./dom.js";
import { ask, confirm, showKey } from "./dialogs.js";
import { from, minute } from "./format.js";
import { FieldError, listed } from "./policy.js";
import { mayChange } from "./session.js";
import { table } from "./tables.js";

const GRACES = [["0", "none: it ends now"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]];

const expiry = (key) => {
  if (!key.expires) return "never";
  return key.expired ? badge(`expired ${minute(key.expires)}`, "bad") : `${minute(key.expires)} (${from(key.expires)})`;
};

function columns(change) {
  const found = [
    { title: "Key", class: "name", cell: (key) => [h("bdi", {}, key.name), h("span", { class: "sub code" }, key.id)] },
    { title: "Begins with", cell: (key) => h("span", { class: "code" }, `${key.start}…`) },
    { title: "Models", cell: (key) => (key.models.length ? key.models.join(", ") : "all of the team's") },
    { title: "Made", cell: (key) => (key.created ? minute(key.created) : "–") },
    { title: "Expires", cell: expiry },
  ];
  if (!change) return found;
  return [...found, { title: "Change", class: "actions", cell: (key) => (key.source === "configuration" ? badge("in the configuration") : [
    h("button", { type: "button", class: "quiet", "aria-label": `Rotate key ${key.name}`, onclick: () => change.rotate(key) }, "Rotate"),
    h("button", { type: "button", class: "quiet danger-text", "aria-label": `Revoke key ${key.name}`, onclick: () => change.revoke(key) }, "Revoke")]) }];
}

function newKey(team) {
  const name = h("input", { type: "text", id: "key-name", maxlength: "100", autocomplete: "off" });
  const models = h("input", { type: "text", id: "key-models", autocomplete: "off", spellcheck: "false" });
  const expires = h("input", { type: "datetime-local", id: "key-expires" });
  const fields = [field("Name", name, "shown instead of the key; its first characters without one"),
    field("Models", models, "empty: all of the team's; commas between"), field("Expires (UTC)", expires, "empty: never")];
  return ask(`Make a key for ${team}`, fields, "Make the key", () => {
    const ends = expires.value ? `${expires.value}:00Z`.replace(/(:\d\d:\d\d):00Z$/, "$1Z") : null;
    if (expires.validity.badInput) throw new FieldError(expires, "Expected a date with its time.");
    return post(path("teams", team, "keys"), { name: name.value.trim(), models: listed(models.value), expires: ends });
  });
}

function rotated(key) {
  const grace = choice({ id: "grace" }, GRACES, "0");
  return ask(`Rotate key ${key.name}`, [h("p", {}, "A new key is made, for which the same holds."),
    field("How long the old one goes on to work", grace)], "Rotate", () => post(path("keys", key.id, "rotate"), { grace_s: Number(grace.value) }));
}

const revoked = (key) => confirm(`Revoke key ${key.name}?`,
  `Whoever calls with ${key.id} is refused from the next moment on. This can't be undone.`, "Revoke the key", () => remove(path("keys", key.id)));

/** Return the section of the team's keys, which reads them again after each change. */
export async function keySection(team, signal) {
  const place = h("div", {});
  const read = async () => {
    const { data } = await get(path("teams", team, "keys"), {}, signal);
    fill(place, table({ caption: `Keys of ${team}`, columns: columns(mayChange() && change), rows: data, empty: "This team has no keys yet, so nobody can call for it." }));
  };
  const again = () => read().catch((error) => signal.aborted || fill(place, h("p", { class: "wrong", role: "alert" }, error.message)));
  const after = async (said) => {
    await again();
    make.focus();
    say(said);
  };
  const shown = async (made) => {
    if (!made) return;
    await showKey(made.name, made.key); // before anything that can fail: it is never shown again
    await again();
    make.focus();
  };
  const change = {
    rotate: async (key) => shown(await rotated(key)),
    revoke: async (key) => (await revoked(key)) && after("The key is revoked."),
  };
  const make = h("button", { type: "button", id: "make-key", onclick: async () => shown(await newKey(team)) }, "Make a key");
  await read();
  return h("section", { class: "card", "aria-labelledby": "keys" },
    h("div", { class: "card-head" }, h("h2", { id: "keys" }, "Keys"), mayChange() && make), place);
}
