// The API's closed lists in words.
export const DECISIONS = {
  applied: "Windowed", bypassed: "Passed through", shadow: "Windowed in shadow", off: "Off",
};

export const REASONS = {
  relevance: ["Relevant passages kept", "Only the passages that the question needs were forwarded."],
  small: ["Short prompt", "The prompt was short enough to be forwarded as it came."],
  whole_document: ["Whole document needed", "The request asks about the whole text, so all of it was forwarded."],
  not_text: ["Not readable text", "The prompt is compressed, or not text that could be read."],
  nothing_to_trim: ["Nothing to trim", "All of the prompt is protected, so there was nothing to leave out."],
  opted_out: ["Opted out", "Windowing is switched off, for this team or by this request."],
  warming: ["Still loading", "The gateway was still loading its model, so the original was forwarded."],
  deadline: ["Out of time", "A window was not ready in time, so the original was forwarded."],
  overloaded: ["Too busy", "All windowing processes were busy, so the original was forwarded."],
  error: ["Windowing failed", "Windowing failed, so the original was forwarded."],
  low_confidence: ["Unsure", "The gateway was not sure enough that the window holds what is needed."],
  no_saving: ["No saving", "A window would have saved nothing, or cost more than it saves."],
  paused: ["Paused", "Windowing is paused, so the original was forwarded."],
};

export const STATES = {
  settled: ["as reported", "The usage is the upstream's own."],
  estimated: ["estimated", "The upstream's usage never came: what was relayed, or the most it can have been."],
  unsettled: ["unsettled", "The gateway died under way: the most it can have been, until it is corrected."],
  corrected: ["corrected", "It was unsettled, and corrected by an operator."],
  free: ["nothing spent", "It was refused, or failed before the upstream worked on it."],
};

export const HEALTH = {
  closed: ["serving", "good"], open: ["left alone", "bad"], half_open: ["being tried", "warn"],
};

export const OUTCOMES = {
  answered: "answered", rate_limited: "rate limited (429)", failed: "failed (5xx)", too_long: "prompt too long",
  not_connected: "no connection", broken: "connection broke", timed_out: "timed out",
};

/** What an HTTP status says of a request's end, and how bad that is. */
export function status(code) {
  if (code === 0) return ["unknown", "plain"];
  if (code === 499) return ["client left", "warn"];
  if (code === 429) return ["refused", "warn"];
  if (code >= 500) return ["failed", "bad"];
  return code >= 400 ? ["rejected", "warn"] : ["ok", "good"];
}

export const reason = (name) => REASONS[name]?.[0] ?? (name || "Not decided");
export const decision = (name) => DECISIONS[name] ?? (name || "none");
