// Reading again and again, as long as somebody looks.
import { h, say } from "./dom.js";
import { clock } from "./format.js";

const EVERY_MS = 5000;
const REST = 10; // a reading that takes long is made seldom: the gateway spends a tenth of its time on it at most

/** Call `load` until the signal ends it; return the switch that pauses it, and says when it last did. */
export function live(load, signal) {
  let timer, paused = false;
  const said = h("span", { class: "live-said" });
  const button = h("button", { type: "button", class: "quiet", "aria-pressed": "false", id: "pause", onclick: flip }, "Pause");

  function flip() {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused" : "Live again");
    if (paused) clearTimeout(timer);
    else turn();
    show();
  }

  function show(error) {
    const state = error ? `not reached: ${error.message}` : paused ? "paused" : "live";
    said.textContent = `${state}, ${clock(Date.now())}:${String(new Date().getUTCSeconds()).padStart(2, "0")} UTC`;
    said.className = error ? "live-said wrong" : "live-said";
  }

  async function turn() {
    clearTimeout(timer);
    const began = performance.now();
    if (!document.hidden) {
      try {
        await load();
        show();
      } catch (error) {
        if (signal.aborted) return;
        show(error);
      }
    }
    clearTimeout(timer); // of a turn that was begun beside this one
    if (!paused && !signal.aborted) timer = setTimeout(turn, Math.max(EVERY_MS, REST * (performance.now() - began)));
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  show();
  timer = setTimeout(turn, EVERY_MS);
  return h("div", { class: "live" }, h("span", { class: "dot", "aria-hidden": "true" }), said, button);
}
