// "Save what just happened": a file from the ring, how far each is, and what was refused.

import { Poll, Problem, ask, tell } from "./api.js";
import { byId, element, keep, setText } from "./dom.js";
import { plural, pulse } from "./format.js";

const PART = "Save";
const TOKEN = "sf_bsread token";
const UNDER_WAY = ["starting", "writing"];
const NO_ROOT = "This buffer was started without --capture_root DIR, so it writes no files.";

const panel = byId("capture-panel");
let poll;

export function startCaptures() {
  poll = new Poll("Captures", [panel], 1000, look).start();
  look().catch(() => {}); // once, wherever the panel is: then it is known whether anything can be saved
  byId("to-captures").addEventListener("click", goTo);
  byId("token").value = remembered();
  byId("capture-form").addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
}

async function look(signal) {
  const answer = await ask("captures", { signal });
  byId("capture-form").hidden = byId("to-captures").hidden = answer.root === null;
  setText(byId("captures-off"), answer.root === null ? NO_ROOT : `Files are made below ${answer.root} on the buffer's machine.`);
  keep(byId("captures"), answer.captures, ({ id }) => id, makeLine, fillLine);
  poll.urgent = answer.captures.some(({ state }) => UNDER_WAY.includes(state));
}

/** To the panel, from wherever somebody is who has just seen something. */
function goTo() {
  panel.querySelector("details").open = true;
  panel.scrollIntoView({ block: "start" });
  const field = byId("capture-seconds");
  field.focus();
  field.select();
}

async function save() {
  const file = byId("capture-file").value.trim();
  const body = { last_s: byId("capture-seconds").valueAsNumber, strict: byId("capture-strict").checked };
  if (file !== "") body.file = file;
  byId("capture-button").disabled = true;
  await change("captures", { body });
  byId("capture-button").disabled = false;
}

/** Asks for something that only those may who have the token. */
async function change(path, request) {
  const token = byId("token").value;
  remember(token);
  const headers = token === "" ? {} : { authorization: `Bearer ${token}` };
  try {
    await ask(path, { ...request, headers });
    tell(PART, null);
    poll.urgent = true;
    poll.again();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tell(PART, error.message);
    if (error.status === 401) {
      byId("token-field").hidden = false;
      byId("token").focus();
    }
  }
}

function makeLine({ id }) {
  const button = element("button", { type: "button" }, "Cancel");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await change(`captures/${encodeURIComponent(id)}`, { method: "DELETE" });
    button.disabled = false;
  });
  return element("li", {}, element("span", { class: "state" }), element("code"), element("span", { class: "quiet number" }), button, element("p", { class: "quiet" }));
}

function fillLine(line, capture) {
  const [state, file, numbers, button, why] = line.children;
  const { start_pulse_id, stop_pulse_id, rows, missing_pulses } = capture;
  state.dataset.level = levelOf(capture);
  setText(state, capture.state);
  setText(file, capture.file);
  const missing = missing_pulses > 0 ? `, ${plural(missing_pulses, "pulse")} missing` : "";
  setText(numbers, `${plural(rows, "row")}${missing} · pulses ${pulse(start_pulse_id)} – ${pulse(stop_pulse_id)}`);
  button.hidden = !UNDER_WAY.includes(capture.state);
  button.setAttribute("aria-label", `Cancel ${capture.file}`);
  const reasons = [capture.shortfall, capture.reason].filter((text) => text);
  setText(why, reasons.join("; "));
  why.hidden = reasons.length === 0;
}

function levelOf({ state, complete, outcome }) {
  if (state === "failed") return "bad";
  if (state === "cancelled" || (state === "finished" && (!complete || outcome !== "complete"))) return "warn";
  return state === "finished" ? "good" : "unknown";
}

function remembered() {
  try {
    const token = sessionStorage.getItem(TOKEN) ?? "";
    byId("token-field").hidden = token === "";
    return token;
  } catch {
    return ""; // a browser may forbid storage
  }
}

function remember(token) {
  try {
    sessionStorage.setItem(TOKEN, token);
  } catch {} // it is asked for again, then
}
