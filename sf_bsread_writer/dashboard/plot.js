// The open channel: which kind of plot it gets, when it is drawn, and that it can be paused. The address of the page names it.

import { Poll, Problem, tell } from "./api.js";
import { areKnown, channelOf, mark, onChannels } from "./channels.js";
import { byId, setText } from "./dom.js";
import { clear, plotly } from "./drawing.js";
import { Picture, startScale } from "./image.js";
import { isEmpty } from "./status.js";
import { Wording } from "./text.js";
import { Trace } from "./trace.js";
import { Trend } from "./trend.js";

const PREFIX = "#channel=";
const PERIOD_MS = 1000;

const target = byId("plot");
let name = null;
let view = null;
let poll = null;
let paused = false;
let drawn = 0;

export function startPlot() {
  byId("pause").addEventListener("click", () => pause(!paused));
  byId("close").addEventListener("click", closeChannel);
  document.addEventListener("theme", redraw);
  window.addEventListener("hashchange", follow);
  startScale(redraw);
  onChannels(look);
  follow();
}

/** Opens a channel by name; the page's address tells it, so that a link can be passed on. */
export function openChannel(wanted) {
  const hash = PREFIX + encodeURIComponent(wanted);
  if (location.hash === hash) show(wanted);
  else location.hash = hash; // `follow` does the rest
}

export function closeChannel() {
  if (location.hash.startsWith(PREFIX)) history.pushState(null, "", location.pathname + location.search);
  show(null);
}

function follow() {
  if (location.hash.startsWith(PREFIX)) {
    try {
      show(decodeURIComponent(location.hash.slice(PREFIX.length)));
    } catch {
      show(null); // a link that was cut off
    }
  } else show(null);
}

function show(wanted) {
  if (wanted === name && view !== null) return;
  forget();
  name = wanted;
  mark(name);
  byId("plot-empty").hidden = name !== null;
  byId("plot-tools").hidden = byId("drawing").hidden = name === null;
  setText(byId("plot-title"), name ?? "No channel open");
  setText(byId("plot-more"), name === null ? "" : "…");
  pause(false);
  look();
  if (name === null) return;
  plotly().catch(() => {}); // while the buffer looks for values; who draws tells of a failure
  byId("plot-panel").scrollIntoView({ block: "nearest" });
}

/** Begins as soon as it is known what the channel is like, and anew if that changes. */
function look() {
  const channel = name === null ? undefined : channelOf(name);
  if (channel === undefined) {
    if (name !== null && view === null && areKnown()) setText(byId("plot-more"), "No channel of this name in the last messages; waiting for it.");
    return;
  }
  const Kind = kindOf(channel);
  if (view instanceof Kind) return;
  forget();
  view = new Kind(name, channelOf);
  target.dataset.kind = view.kind;
  if (!paused) watch();
}

function kindOf({ type, shape }) {
  if (type === "string") return Wording;
  return [Trend, Trace][shape.length] ?? Picture;
}

function watch() {
  const watched = view;
  poll = new Poll("Plot", [byId("plot-panel")], PERIOD_MS, async (signal) => {
    if (await isEmpty()) {
      setText(byId("plot-more"), "The ring is empty.");
      return;
    }
    await watched.load(signal);
    watched.loaded = true;
    if (view === watched && !signal.aborted) await redraw();
  }).start();
}

let drawing = Promise.resolve();

function redraw() {
  const watched = view;
  return inTurn(() => drawNow(watched));
}

/** One after the other: what plotly draws may never be done if it is cleared meanwhile. */
function inTurn(work) {
  drawing = drawing.then(work).catch((error) => {
    if (!(error instanceof Problem)) console.error(error);
    tell("Drawing", error.message);
  });
  return drawing;
}

async function drawNow(watched) {
  if (watched === null || view !== watched || !watched.loaded) return;
  await watched.draw(target);
  if (view !== watched) return;
  setText(byId("plot-more"), paused ? `Paused: ${watched.describe()}` : watched.describe());
  target.dataset.drawn = ++drawn;
  tell("Drawing", null);
}

function pause(wanted) {
  paused = wanted;
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Go on" : "Pause");
  poll?.stop();
  poll = null;
  if (view === null) return;
  if (!paused) watch();
  redraw();
}

function forget() {
  poll?.stop();
  poll = null;
  view?.close?.();
  view = null;
  inTurn(() => {
    for (const part of byId("drawing").children) clear(part);
  });
  delete target.dataset.kind;
  delete target.dataset.drawn;
}
