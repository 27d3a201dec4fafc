// Sign-in: with the admin token, or the one that may only look.
import { fill, h } from "./dom.js";

export function show({ enter, said }) {
  const wrong = h("p", { class: "wrong", role: "alert", id: "token-wrong" }, said || "");
  const input = h("input", { type: "password", id: "token", name: "token", autocomplete: "off", spellcheck: "false",
    required: true, "aria-describedby": "token-wrong token-hint" });
  const button = h("button", { type: "submit", class: "primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    const secret = input.value.trim();
    if (!secret) return;
    button.disabled = true;
    fill(wrong);
    try {
      await enter(secret);
    } catch (error) {
      wrong.textContent = error.status === 401 ? "That token is wrong." : error.message;
      input.setAttribute("aria-invalid", "true");
      button.disabled = false;
      input.focus();
      input.select();
    }
  };
  const form = h("form", { onsubmit: submit, novalidate: true },
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), input,
      h("span", { class: "hint", id: "token-hint" }, "admin.token of the configuration, or admin.read_token to look only. It stays in this tab.")),
    wrong, button);
  return { title: "Sign in", node: h("section", { class: "card sign-in" }, h("h1", { tabindex: "-1", id: "title" }, "Sign in"), form) };
}
