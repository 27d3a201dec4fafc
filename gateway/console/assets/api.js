// The admin API. Its address is relative, so that a proxy may serve the gateway below a path of its own.
import { token } from "./session.js";

const BASE = "admin/v1/";

/** An error as the API puts it; `param` names the field that is wrong. */
export class ApiError extends Error {
  constructor(status, message, param) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** Join the parts of a path, each of which may hold anything. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

function address(where, params) {
  const query = new URLSearchParams(Object.entries(params ?? {}).filter(([, value]) => value !== "" && value != null));
  return `${BASE}${where}${query.size ? `?${query}` : ""}`;
}

async function answered(method, where, params, body, signal, secret) {
  const headers = {};
  if (secret) headers.Authorization = `Bearer ${secret}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(address(where, params), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (secret && /[^\x20-\x7e]/.test(secret)) throw new ApiError(401, "No token has such characters.");
    throw new ApiError(0, "The gateway does not answer.");
  }
}

async function asked(method, where, { params, body, signal, secret = token() } = {}) {
  const reply = await answered(method, where, params, body, signal, secret);
  if (reply.status === 204) return null;
  const said = await reply.json().catch(() => null);
  if (reply.ok && said !== null) return said;
  if (reply.status === 401 && secret === token()) dispatchEvent(new Event("signed-out"));
  const wrong = said?.error;
  throw new ApiError(reply.status, wrong?.message ?? `The gateway answered ${reply.status}.`, wrong?.param);
}

export const get = (where, params, signal) => asked("GET", where, { params, signal });
export const post = (where, body) => asked("POST", where, { body: body ?? {} });
export const put = (where, body) => asked("PUT", where, { body });
export const remove = (where, params) => asked("DELETE", where, { params });
/** Ask who has this token; without one, whoever calls. */
export const ask = (secret) => asked("GET", "session", { secret });
