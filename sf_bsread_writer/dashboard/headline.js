// The line at the top of a page: how it is, in one sentence, with a sign and a colour.

import { byId, setText } from "./dom.js";

const ICONS = { good: "✔", warn: "▲", bad: "✖", unknown: "…" };

let spoken = "";

/** Shows a level (good, warn, bad, unknown) and a text; read out when the kind changes: what counts up each second is not. */
export function showHeadline({ level, kind, text }) {
  byId("health").dataset.level = level;
  byId("health").dataset.kind = kind;
  setText(byId("health").firstElementChild, ICONS[level]);
  setText(byId("health-text"), text);
  if (kind === spoken) return;
  spoken = kind;
  setText(byId("spoken"), text);
}
