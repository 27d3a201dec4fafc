// Who is signed in. The token is kept for this tab alone, and ends with it.
const NAME = "context-gateway-token";
let held = null;

export function token() {
  try {
    return sessionStorage.getItem(NAME) ?? held;
  } catch {
    return held;
  }
}

export function keep(value) {
  held = value;
  try {
    if (value === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, value);
  } catch {
    // Without storage it is known until the page is loaded again.
  }
}

/** What the gateway says of itself and of whoever is signed in; null: nobody is. */
let facts = null;
export const session = () => facts;
export const begin = (found) => (facts = found);
export const mayChange = () => facts?.role === "admin";
