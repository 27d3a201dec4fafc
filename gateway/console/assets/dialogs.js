// Questions that must be answered before anything else, in the browser's own modal dialog.
import { fill, freshId, h, say } from "./dom.js";

/**
 * Open a dialog with this title and content; it resolves with what `close` is called with, or null. What is begun
 * `during` it goes on where the dialog is left meanwhile, and what comes of that is still the answer.
 */
export function open(title, build, { dismiss = true } = {}) {
  return new Promise((resolve) => {
    const id = freshId("dialog"), gone = new AbortController();
    const before = document.activeElement;
    const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title));
    let answer = null, working = null;
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    const during = (work) => (working = Promise.resolve(work).then(close));
    dialog.append(...build(close, during));
    dialog.addEventListener("cancel", (event) => dismiss || event.preventDefault());
    dialog.addEventListener("close", async () => {
      gone.abort();
      dialog.remove();
      if (before?.isConnected) before.focus();
      await working?.catch(() => null);
      resolve(answer);
    });
    document.body.append(dialog);
    for (const left of dismiss ? ["hashchange", "signed-out"] : []) addEventListener(left, () => dialog.close(), { signal: gone.signal });
    dialog.showModal();
  });
}

const buttons = (...children) => h("div", { class: "buttons" }, ...children);
const cancel = (close) => h("button", { type: "button", onclick: () => close(null) }, "Cancel");

/** Ask whether to do something that can't be undone; `act` does it, and its error is shown in the dialog. */
export function confirm(title, text, action, act, more = []) {
  return open(title, (close, during) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const sure = async () => {
      go.disabled = true;
      try {
        await during(act().then((found) => found ?? true));
      } catch (error) {
        wrong.textContent = error.message;
        go.disabled = false;
      }
    };
    const go = h("button", { type: "button", class: "danger", onclick: sure }, action);
    return [h("p", {}, text), ...more, wrong, buttons(cancel(close), go)];
  });
}

/** Ask for some fields; `act` gets nothing and returns the answer, or throws what is wrong. */
export function ask(title, fields, action, act) {
  return open(title, (close, during) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const go = h("button", { type: "submit", class: "primary" }, action);
    const submit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      fill(wrong);
      try {
        await during(act());
      } catch (error) {
        wrong.textContent = error.message;
        go.disabled = false;
      }
    };
    return [h("form", { onsubmit: submit, novalidate: true }, fields, wrong, buttons(cancel(close), go))];
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not on an address that is not secure
  }
}

/** Show a key, this once; it leaves the page with the dialog. */
export function showKey(name, key) {
  return open(`Key ${name}`, (close) => {
    const shown = h("input", { type: "text", readonly: true, class: "code", id: "new-key", value: key, "aria-label": "The new key", spellcheck: "false", autocomplete: "off" });
    const said = h("span", { role: "status" });
    const copy = h("button", { type: "button", class: "primary", onclick: async () => {
      shown.select();
      const done = (await copied(key)) || document.execCommand("copy");
      said.textContent = done ? "Copied." : "Select it and copy it by hand.";
    } }, "Copy");
    return [h("p", {}, "It is shown this once: the gateway keeps only its fingerprint."),
      h("div", { class: "copy" }, shown, copy), said,
      buttons(h("button", { type: "button", onclick: () => { say("Closed"); close(true); } }, "Done"))];
  }, { dismiss: false });
}
