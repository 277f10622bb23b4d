// Whether the pulses are safe, in one line: the worst thing that is known comes first. Values in, words out.

import { clock, count, duration, percent, plural } from "./format.js";

const SILENT_S = 3; // or five times as long as there is between two pulses
const UNKNOWN_RATE_S = 60; // of a source that has sent only one
const LATE_SHARE = 0.9; // of what is held: a client that is further behind, and falling back, soon loses pulses
const LOOKED_AT = 1000; // messages, for gaps
const NAMED = 2;
export const RECENT_MS = 60_000;

/**
 * `seen` is what the page knows: `link`, `statistics`, `connected`, `clients`, `lostRecently` ({total, clients}), `dropped`, `gaps`.
 * The answer has a level (good, warn, bad, unknown), a kind that changes only when something else is the matter, and a text.
 */
export function healthOf(seen) {
  const { link, statistics } = seen;
  if (link.reachable === false) {
    return bad("unreachable", `Buffer unreachable since ${clock(link.since)}: what is shown here is from before. Asking again …`);
  }
  if (statistics === null) return { level: "unknown", kind: "unknown", text: "Asking the buffer …" };
  const { ring } = statistics;
  const silent_s = ring.newest_age_s;
  if (!seen.connected) {
    const since = silent_s === null ? "nothing has arrived yet" : `nothing has arrived for ${duration(silent_s)}`;
    return bad("no source", `No source: ${since}.${ring.messages > 0 ? ` ${plural(ring.messages, "pulse")} can still be read.` : ""}`);
  }
  if (silent_s === null) return { level: "warn", kind: "nothing yet", text: "Connected to the source; no pulse has arrived yet." };
  const usual_s = statistics.rate_hz > 0 ? 5 / statistics.rate_hz : UNKNOWN_RATE_S;
  if (silent_s > Math.max(SILENT_S, usual_s)) return bad("silent", `Nothing has arrived for ${duration(silent_s)}, though the source is connected.`);
  if (seen.lostRecently.total > 0) {
    const who = seen.lostRecently.clients.map(({ name, lost }) => `${name} ${count(lost)}`).join(", ");
    return bad("losing", `A client loses pulses: ${who || count(seen.lostRecently.total)} within the last minute.`);
  }
  if (seen.dropped > 0) return bad("dropped", `${plural(seen.dropped, "message")} could not be kept within the last minute: ${seen.why}.`);
  const overtaken = seen.clients.find((client) => client.lag_messages > ring.messages);
  if (overtaken) {
    const gone = plural(overtaken.lag_messages - ring.messages, "pulse");
    return bad("overtaken", `${overtaken.name} is overtaken: ${gone} that it has not read ${overtaken.lag_messages - ring.messages === 1 ? "is" : "are"} no longer held.`);
  }
  const late = isFull(ring) && seen.clients.find((client) => client.falling && client.lag_messages > LATE_SHARE * ring.messages);
  if (late) {
    return warn("late", `${late.name} is ${duration(late.lag_s)} behind and falls further back: soon it loses pulses.`);
  }
  return held(seen, ring);
}

function held(seen, ring) {
  const text = isFull(ring)
    ? `All pulses of the last ${duration(notMore(ring.oldest_age_s))} are held.`
    : `All pulses that came are held: ${count(ring.messages)} in ${duration(ring.oldest_age_s)}.`;
  const lost = `${count(seen.statistics.clients.lost_messages)} lost.`;
  if (seen.gaps > 0) {
    const where = seen.gaps < LOOKED_AT ? `of the last ${count(LOOKED_AT)} never came` : "never came: their ids jump";
    return warn("gaps", `${text} ${lost} But ${plural(seen.gaps, "pulse")} ${where}.`);
  }
  if (ring.evicted_by_memory > 0 && ring.messages < ring.max_messages) {
    return { level: "good", kind: "memory", text: `${text} ${lost} The memory is full before ${count(ring.max_messages)} messages are reached.` };
  }
  return { level: "good", kind: "good", text: `${text} ${lost}` };
}

/** Which channels lack values; nothing if none does. It is no alarm: some sources send now and then, and do not say so. */
export function lacking(channels) {
  const found = channels.filter(({ missing_percent }) => missing_percent > 0).sort((one, other) => other.missing_percent - one.missing_percent);
  if (found.length === 0) return "";
  const worst = found.slice(0, NAMED).map(({ name, missing_percent }) => `${name} ${percent(missing_percent)}`).join(", ");
  const end = found.length > NAMED ? ", …" : ".";
  return `${count(found.length)} of ${plural(channels.length, "channel")} ${found.length === 1 ? "lacks" : "lack"} values: ${worst}${end}`;
}

/** Rounded down: what is promised is there. */
const notMore = (seconds) => (seconds < 10 ? Math.floor(10 * seconds) / 10 : Math.floor(seconds));

/** Whether each message that comes drives out an old one. */
const isFull = (ring) => ring.messages >= ring.max_messages || ring.evicted_by_memory > 0;

const bad = (kind, text) => ({ level: "bad", kind, text });
const warn = (kind, text) => ({ level: "warn", kind, text });

/** How much a counter has grown within the last minute; a counter that starts over begins anew. */
export class Growth {
  #seen = [];

  of(number, now_ms) {
    const last = this.#seen.at(-1);
    if (last !== undefined && number < last.number) this.#seen = [];
    this.#seen.push({ number, now_ms });
    while (this.#seen.length > 1 && now_ms - this.#seen[1].now_ms > RECENT_MS) this.#seen.shift();
    return number - this.#seen[0].number;
  }
}
