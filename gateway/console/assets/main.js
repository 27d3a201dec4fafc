// Which page is shown: the part of the address behind # names it, with what it is about.
import { ApiError, ask } from "./api.js";
import { fill, h, say } from "./dom.js";
import { begin, keep, mayChange, session, token } from "./session.js";
import * as overview from "./overview.js";
import * as receipt from "./receipt.js";
import * as requests from "./requests.js";
import * as signin from "./signin.js";
import * as team from "./team.js";
import * as teamForm from "./team_form.js";
import * as teams from "./teams.js";
import * as upstreams from "./upstreams.js";

const PAGES = [
  [/^overview$/, overview], [/^teams$/, teams], [/^teams\+new$/, teamForm], [/^teams\/([^/]+)$/, team],
  [/^teams\/([^/]+)\/policy$/, teamForm], [/^requests$/, requests], [/^requests\/([^/]+)$/, receipt],
  [/^upstreams$/, upstreams],
];
const main = document.getElementById("main");
let shown = { page: null, leave: new AbortController() };

function wanted() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  for (const [pattern, page] of PAGES) {
    const found = pattern.exec(path);
    if (found) return { page, args: found.slice(1).map(decodeURIComponent), query: new URLSearchParams(query) };
  }
  return null;
}

async function route() {
  let next;
  try {
    next = wanted();
  } catch {
    next = null; // an address that is no text
  }
  if (!next) return location.replace("#/overview");
  if (!session()) return undefined;
  return show(next);
}

async function show({ page, args, query }) {
  shown.leave.abort();
  const leave = new AbortController();
  // A form's new question within a page leaves the focus where it is.
  const held = shown.page === page ? document.activeElement?.id : "";
  shown = { page, leave };
  const patience = setTimeout(() => fill(main, h("p", { class: "waiting" }, "Loading…")), 250);
  main.setAttribute("aria-busy", "true");
  delete main.dataset.complete;
  let made;
  try {
    made = await page.show({ args, query, signal: leave.signal });
  } catch (error) {
    if (leave.signal.aborted || !session()) return;
    made = failed(error);
  } finally {
    clearTimeout(patience);
  }
  if (leave.signal.aborted) return;
  put(made, held);
}

function put(made, held) {
  fill(main, made.node);
  main.removeAttribute("aria-busy");
  document.title = `${made.title} · context-gateway`;
  mark();
  Promise.resolve().then(() => made.mounted?.()).catch(unless(shown.leave.signal)).then(() => made.node.isConnected && (main.dataset.complete = "yes"));
  const again = held && document.getElementById(held);
  (again || document.getElementById("title") || main).focus({ preventScroll: Boolean(again) });
  if (!again) scrollTo(0, 0);
  if (made.said) say(made.said);
}

/** What a page reads after it is shown may fail too; a page that was left may not care. */
const unless = (signal) => (error) => {
  if (signal.aborted) return;
  const said = failed(error);
  main.prepend(said.node);
};

function failed(error) {
  if (!(error instanceof ApiError)) console.error(error);
  const said = error instanceof ApiError ? error.message : "This page failed; the browser's console has the details.";
  const again = h("button", { type: "button", onclick: route }, "Try again");
  return { title: "Failed", node: h("section", { class: "card" },
    h("h1", { tabindex: "-1", id: "title" }, "This can't be shown"), h("p", { role: "alert" }, said), again) };
}

function mark() {
  const [place] = location.hash.replace(/^#\/?/, "").split(/[/?+]/);
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.getAttribute("href") === `#/${place}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function dress() {
  const facts = session();
  for (const id of ["nav", "role"]) document.getElementById(id).hidden = !facts;
  document.getElementById("sign-out").hidden = !facts || !token();
  document.getElementById("role").textContent = mayChange() ? "Admin" : "Read only";
  const foot = facts ? `context-gateway ${facts.version ?? ""} · store: ${facts.store} · windowing: ${facts.windowing} · times are UTC` : "";
  document.getElementById("foot").textContent = foot;
  const open = facts && facts.keys_required === false;
  const banner = document.getElementById("banner");
  banner.hidden = !open;
  banner.textContent = open ? "There are no teams: whoever reaches the gateway may use it without a key." : "";
}

async function enter(secret) {
  const found = await ask(secret);
  keep(secret);
  begin(found);
  dress();
  await route();
}

function askForToken(said) {
  shown.leave.abort();
  shown = { page: signin, leave: new AbortController() };
  begin(null);
  dress();
  put(signin.show({ enter, said }), "");
}

/** Let the banner and the footer say what holds now that something was changed. */
export async function refreshSession() {
  try {
    begin(await ask(token()));
    dress();
  } catch {
    // It is only a notice, and the next page says what is wrong.
  }
}

function signOut(said) {
  if (token() === null && shown.page === signin) return;
  keep(null);
  askForToken(said);
}

function chooseTheme(event) {
  const chosen = event.target.value;
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("context-gateway-theme", chosen);
  } catch {
    // It holds until the page is loaded again.
  }
  dispatchEvent(new Event("recolour"));
}

async function start() {
  const theme = document.getElementById("theme");
  theme.value = document.documentElement.dataset.theme ?? "";
  theme.addEventListener("change", chooseTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("recolour")));
  document.getElementById("sign-out").addEventListener("click", () => signOut("You are signed out."));
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address behind # names the page
    main.focus();
  });
  addEventListener("signed-out", () => signOut("The token is not accepted any more. Please sign in again."));
  addEventListener("teams-changed", refreshSession);
  addEventListener("hashchange", route);
  addEventListener("again", route);
  try {
    await enter(token());
  } catch (error) {
    const known = token() !== null;
    if (known) keep(null);
    askForToken(error.status === 401 && !known ? "" : error.message);
  }
}

start();
