// The top of the page: state, rate, what is held, memory, and the line that says whether the pulses are safe.

import { Poll, ask, link } from "./api.js";
import { byId, setText } from "./dom.js";
import { bytes, count, duration, percent, plural, pulse, rate } from "./format.js";
import { showHeadline } from "./headline.js";
import { Growth, healthOf, lacking } from "./health.js";

const LISTEN_AGAIN_MS = 5_000;
const SOON_MS = 8_000;
const GAPS_MS = 5_000;
const CHANNELS_OLD_MS = 15_000; // the table has been scrolled away
const GAPS_SHARE = 30; // it is all that has to be looked at though nobody asked for it

const seen = { link, statistics: null, connected: false, clients: [], lostRecently: { total: 0, clients: [] }, dropped: 0, why: "", gaps: 0 };
const lost = new Growth();
const dropped = new Growth();
let moment = null; // what the last event told, or the statistics
let events = null;
let gapsSeen_ms = -Infinity;
let channelsSeen_ms = -Infinity;
let version = null;
let fresh = news();

/** A promise, how it is kept, and whether it has been. */
function news() {
  const made = { isKept: false };
  made.promise = new Promise((resolve) => {
    made.keep = () => {
      made.isKept = true;
      resolve();
    };
  });
  return made;
}

/** Whether the ring holds nothing, as the buffer that answers now says: of an empty one nothing can be asked for. */
export async function isEmpty() {
  await fresh.promise;
  return seen.statistics.ring.messages === 0;
}

export function startStatus() {
  new Poll("Statistics", [document.body], 1000, lookAtStatistics, { scout: true }).start();
  new Poll("Status", [document.body], 10_000, async (signal) => {
    const status = await ask("status", { signal });
    setText(byId("source"), status.source);
    version = status.version;
    document.title = `${status.source} – sf_bsread buffer`;
  }).start();
  new Poll("Gaps", [document.body], GAPS_MS, lookForGaps, { share: GAPS_SHARE }).start();
  link.addEventListener("change", () => {
    if (link.reachable === false) {
      seen.gaps = 0; // the buffer that comes back may be another
      if (fresh.isKept) fresh = news(); // else there are some who wait for it
    }
    show();
  });
  document.addEventListener("visibilitychange", listen); // a browser has six connections to a host, for all its tabs
  listen();
}

/** The oldest and the newest pulse that the buffer holds, as far as is known; null if it holds none. */
export const heldFrom = () => moment?.oldest_pulse_id ?? null;
export const heldTo = () => moment?.newest_pulse_id ?? null;

/** What the table of clients has found out. */
export function tellOfClients(clients, lostRecently) {
  seen.clients = clients;
  seen.lostRecently.clients = lostRecently;
  show();
}

/** What the table of channels has found out. */
export function tellOfChannels(channels) {
  setText(byId("health-more"), lacking(channels));
  channelsSeen_ms = performance.now();
}

/** How many pulses of the last 1,000 never came, as the map of completeness has found out. */
export function tellOfGaps(gaps) {
  seen.gaps = gaps;
  gapsSeen_ms = performance.now();
  show();
}

function listen() {
  events?.close();
  events = null;
  if (document.visibilityState === "hidden") return;
  events = new EventSource("events");
  events.addEventListener("status", (event) => {
    moment = JSON.parse(event.data);
    seen.connected = moment.state === "connected";
    link.set(true);
    show();
  });
  events.addEventListener("end", () => link.set(false));
  events.addEventListener("error", () => {
    if (events?.readyState !== EventSource.CLOSED) link.set(false); // it tries again by itself
    else setTimeout(listen, LISTEN_AGAIN_MS); // refused: as many listen as may; the statistics are asked for meanwhile
  });
}

function take(statistics) {
  const now_ms = performance.now();
  const reasons = Object.entries(statistics.source.dropped);
  seen.statistics = statistics;
  fresh.keep();
  seen.connected = statistics.source.connected;
  seen.lostRecently.total = lost.of(statistics.clients.lost_messages, now_ms);
  seen.dropped = dropped.of(reasons.reduce((sum, [, number]) => sum + number, 0), now_ms);
  seen.why = reasons.map(([reason, number]) => `${reason} ${count(number)}`).join(", ");
  moment = { ...statistics.ring, rate_hz: statistics.rate_hz };
  show();
}

/** What is answered at once, however busy the buffer is: without it, nothing shown here is true any more. */
async function lookAtStatistics(signal) {
  try {
    take(await ask("statistics", { signal, timeout_ms: SOON_MS }));
  } catch (error) {
    if (error.status === 0 && !signal.aborted) link.set(false);
    throw error;
  }
}

async function lookForGaps(signal) {
  if (performance.now() - gapsSeen_ms < 2 * GAPS_MS) return; // by the map of completeness
  seen.gaps = (await isEmpty()) ? 0 : (await ask("completeness?pulses=1000&parts=1&rows=1", { signal })).gap_pulses;
}

function show() {
  showState();
  if (seen.statistics !== null) showStatistics(seen.statistics);
  showHeadline(healthOf(seen));
  byId("health-more").hidden = performance.now() - channelsSeen_ms > CHANNELS_OLD_MS || link.reachable === false;
}

function showState() {
  const state = link.reachable === false ? "buffer unreachable" : moment !== null ? (seen.connected ? "connected" : "no source") : "…";
  setText(byId("state"), state);
  if (moment === null) return;
  setText(byId("rate"), `${rate(rateOf(moment))} Hz`);
  setText(byId("held"), moment.messages > 0 ? `${pulse(moment.oldest_pulse_id)} – ${pulse(moment.newest_pulse_id)}` : "none");
}

/** Of the last seconds, unless there is no source: then nothing comes, whatever has come before. */
const rateOf = ({ rate_hz }) => (seen.connected ? rate_hz : 0);

function showStatistics(statistics) {
  const { ring, source, clients, seconds } = statistics;
  if (version !== null) setText(byId("version"), `version ${version}, up for ${duration(Math.floor(seconds))}`);
  const reconnected = source.connections > 1 ? `, connected ${count(source.connections)} times` : "";
  setText(byId("state-more"), `${plural(source.received_messages, "message")}${reconnected}`);
  setText(byId("rate-more"), ring.messages > 0 ? `${bytes((rateOf(statistics) * ring.message_bytes) / ring.messages)}/s` : "");
  setText(byId("held-seconds"), ring.oldest_age_s === null ? "" : duration(ring.oldest_age_s));
  const isAnew = ring.messages > 0 && ring.newest_pulse_id < ring.oldest_pulse_id;
  const held = `${count(ring.messages)} of ${plural(ring.max_messages, "message")}${isAnew ? " · pulse ids began anew" : ""}`;
  setText(byId("held-more"), `${ring.oldest_age_s === null ? "" : " · "}${held}`);
  const share = (100 * ring.memory_used_bytes) / ring.memory_limit_bytes;
  setText(byId("memory"), bytes(ring.memory_used_bytes));
  setText(byId("memory-more"), `${percent(share)} of ${bytes(ring.memory_limit_bytes)}`);
  byId("memory-bar").firstElementChild.style.width = `${Math.min(share, 100)}%`;
  byId("memory-bar").dataset.level = ring.evicted_by_memory > 0 ? "warn" : "good";
  setText(byId("client-count"), count(clients.connected));
  setText(byId("client-more"), `${plural(clients.lost_messages, "message")} lost`);
}
