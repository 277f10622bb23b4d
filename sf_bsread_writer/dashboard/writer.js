// The writer's page: shows what its events tell. Gone with its writer, it keeps what it knew, and looks out for the next one there.

import { Poll, Problem, ask, link, tell } from "./api.js";
import { byId, element, keep, setText } from "./dom.js";
import { bytes, count, duration, plural, pulse, rate } from "./format.js";
import { showHeadline } from "./headline.js";
import { linesOf, verdictOf } from "./verdict.js";

const LISTEN_AGAIN_MS = 1_000;
const MOST_RANGES = 100;

const seen = { link: "asking", since: new Date(), progress: null, report: null };
let events = null;
let again = null;

const polls = [
  new Poll("Stream", [byId("before")], 1000, async (signal) => {
    if (is("waiting")) showStream(await ask("stream", { signal }));
  }),
  new Poll("Missing pulses", [byId("missing")], 3000, async (signal) => {
    if (is("writing")) showMissing(await ask("report", { signal }));
  }),
];

function start() {
  for (const poll of polls) poll.start();
  document.addEventListener("visibilitychange", listen); // a browser has six connections to a host, for all its tabs
  listen();
}

const is = (state) => seen.link === "there" && seen.progress.state === state;

function listen() {
  clearTimeout(again);
  events?.close();
  events = null;
  if (document.visibilityState === "hidden") return;
  events = new EventSource("events");
  events.addEventListener("status", (event) => take(JSON.parse(event.data), "there"));
  events.addEventListener("report", (event) => {
    seen.report = JSON.parse(event.data);
    show();
  });
  events.addEventListener("end", (event) => {
    take(JSON.parse(event.data), "ended");
    listenLater();
  });
  events.addEventListener("error", fail);
}

/** The connection is lost, or there was none, or as many listen as may. */
async function fail() {
  const refused = events.readyState === EventSource.CLOSED;
  listenLater();
  if (refused && (await answers())) {
    tell("Events", "as many listen to this writer as may; trying again");
  } else if (seen.link !== "ended" && seen.link !== "gone") {
    seen.link = "gone";
    seen.since = new Date();
    link.set(false);
    show();
  }
}

async function answers() {
  try {
    await ask("status");
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return false;
  }
}

function listenLater() {
  events.close();
  clearTimeout(again);
  again = setTimeout(listen, LISTEN_AGAIN_MS);
}

function take(progress, state) {
  if (progress.outcome === null) seen.report = null; // of an acquisition before
  const isNew = progress.state !== seen.progress?.state || state !== seen.link;
  seen.progress = progress;
  seen.link = state;
  link.set(state === "there");
  tell("Events", null);
  show();
  if (isNew) for (const poll of polls) poll.again();
}

function show() {
  showHeadline(verdictOf(seen));
  if (seen.progress === null) return;
  showProgress(seen.progress);
  byId("before").hidden = !is("waiting") || seen.progress.outcome !== null;
  byId("report").hidden = seen.report === null;
  if (seen.report === null) {
    if (seen.progress.state === "waiting") setText(byId("missing-text"), "–");
    return;
  }
  showMissing(seen.report);
  keep(byId("report-rows"), linesOf(seen.report), ([what]) => what, makeRow, (row, [, value]) => setText(row.lastChild, value));
}

const makeRow = ([what]) => element("tr", {}, element("th", { scope: "row" }, what), element("td"));

function showProgress(progress) {
  const state = { there: progress.state, ended: "ended", gone: "unreachable" }[seen.link];
  const isWriting = state === "writing";
  setText(byId("state"), state);
  setText(byId("state-more"), seen.link === "there" ? (progress.connected ? "connected" : "not connected") : "");
  setText(byId("rows"), of(count, progress.rows, progress.expected_rows));
  setText(byId("rows-more"), progress.last_pulse_id === null ? "" : `newest ${pulse(progress.last_pulse_id)}`);
  setText(byId("rate"), isWriting ? `${rate(progress.rate_hz)} Hz` : "–");
  setText(byId("left"), isWriting && progress.left_s !== null ? duration(progress.left_s) : "–");
  setText(byId("lag"), isWriting ? duration(progress.lag_s) : "–");
  setText(byId("file"), progress.output_file || "–");
  setText(byId("size"), progress.output_file ? of(bytes, progress.file_bytes, isWriting ? progress.expected_bytes : null) : "");
  showShare(progress);
}

const of = (text, number, all) => (all === null ? text(number) : `${text(number)} of ${text(all)}`);

function showShare(progress) {
  const known = progress.expected_rows !== null && progress.expected_rows > 0;
  const share = known ? Math.min(100, Math.floor((100 * progress.rows) / progress.expected_rows)) : null;
  const bar = byId("progress");
  if (known) bar.setAttribute("aria-valuenow", share);
  else bar.removeAttribute("aria-valuenow");
  bar.firstElementChild.style.width = `${share ?? 0}%`;
  const text = known ? `${share} %` : progress.state === "writing" ? "until it is told to stop" : "";
  setText(byId("share"), text);
  document.title = `${known ? `${text} – ` : ""}${progress.output_file.split("/").at(-1) || "waiting"} – sf_bsread writer`;
  if (progress.output_file) setText(byId("name"), progress.output_file.split("/").at(-1));
}

function showStream(stream) {
  setText(byId("name"), stream.address);
  setText(byId("held"), heldIn(stream));
  const url = `${location.origin}${location.pathname.replace(/\/$/, "")}`;
  const newest = stream.newest_pulse_id;
  const from = newest === null ? "start_now" : `start_pulse_id/${newest}`;
  setText(
    byId("commands"),
    [
      newest === null ? "# all that arrives from now on; or start_pulse_id/N" : "# from this pulse on, which is the newest; or start_now",
      `curl -X PUT ${url}/${from}`,
      "# all that has arrived by then; or stop_pulse_id/N, at once",
      `curl -X PUT ${url}/stop_now`,
    ].join("\n"),
  );
}

function heldIn(stream) {
  if (!stream.connected) return `Not connected to ${stream.address}: trying again.`;
  if (!stream.is_buffer) return `${stream.address} is a source: it has no past, so only what comes can be written.`;
  if (stream.oldest_pulse_id === null) return `The buffer at ${stream.address} holds no pulse yet.`;
  const { messages, oldest_pulse_id: oldest, newest_pulse_id: newest } = stream;
  return `The buffer at ${stream.address} holds ${plural(messages, "pulse")}, ${pulse(oldest)} – ${pulse(newest)}.`;
}

function showMissing(report) {
  const number = report.missing_pulses;
  const none = report.outcome === "running" ? "None so far." : "None.";
  setText(byId("missing-text"), number === 0 ? none : `${plural(number, "pulse")}:`);
  const ranges = report.missing.slice(0, MOST_RANGES).map(({ first, last }) => (first === last ? pulse(first) : `${pulse(first)} – ${pulse(last)}`));
  if (report.missing_truncated || report.missing.length > MOST_RANGES) ranges.push("…");
  const list = byId("missing-ranges");
  list.hidden = ranges.length === 0;
  keep(list, ranges, (range) => range, (range) => element("li", {}, range), () => {});
}

start();
