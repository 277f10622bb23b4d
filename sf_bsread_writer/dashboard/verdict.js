// How a writer is, in one line: the worst thing that is known comes first. Values in, words out.

import { clock, count, duration, plural } from "./format.js";

const SLOW_S = 5; // that the disk may take to have what has arrived

/**
 * `seen` is what the page knows: `link` ("asking", "there", "ended" or "gone") and `since` when, `progress` and `report`, null
 * as long as there is none. The answer has a level (good, warn, bad, unknown), a kind that changes only when something else is
 * the matter, and a text.
 */
export function verdictOf(seen) {
  const { link, progress, report } = seen;
  if (link === "asking") return { level: "unknown", kind: "asking", text: "Asking the writer …" };
  if (link === "gone") {
    const text = `The writer cannot be reached since ${clock(seen.since)}. What is shown here is what it told last; asking again …`;
    return { level: "bad", kind: "gone", text };
  }
  if (progress.state === "writing") return writing(progress);
  const outcome = report?.outcome ?? progress.outcome;
  if (outcome === null) {
    if (link === "ended") return { level: "warn", kind: "ended", text: "The writer has ended before anything was to be written." };
    return waiting(progress);
  }
  return over(outcome, report, link);
}

function waiting(progress) {
  if (progress.connected) return { level: "good", kind: "waiting", text: "Connected, and waiting for a start." };
  return { level: "warn", kind: "waiting without stream", text: "Waiting for a start, and not connected to the stream: trying again …" };
}

function writing(progress) {
  const left = progress.left_s === null ? "" : `, ${duration(progress.left_s)} left`;
  const text = `Writing: ${progress.rows === 0 ? "no pulse has come yet" : plural(progress.rows, "pulse")}${left}.`;
  const warn = (kind, more) => ({ level: "warn", kind, text: `${text} ${more}` });
  if (!progress.connected) return warn("unconnected", "The stream is interrupted: connecting again …");
  if (progress.missing_pulses > 0) return warn("missing", `${plural(progress.missing_pulses, "pulse")} missing.`);
  if (progress.lag_s > SLOW_S) return warn("slow", `The disk is ${duration(progress.lag_s)} behind.`);
  return { level: "good", kind: "writing", text };
}

function over(outcome, report, link) {
  const why = report === null ? "" : `: ${report.reason}`;
  const then = link === "ended" ? " The writer has ended." : " The writer waits for another start.";
  const level = outcome === "complete" ? "good" : outcome === "failed" ? "bad" : "warn";
  const name = outcome[0].toUpperCase() + outcome.slice(1);
  return { level, kind: `${outcome} ${link}`, text: `${name}${why}.${then}` };
}

/** The report as pairs of what and how much, without what is nothing. */
export function linesOf(report) {
  const start = report.start_pulse_id ?? "now";
  const stop = report.stop_pulse_id ?? (report.stop_timestamp_ns === null ? "" : "now");
  const span = report.rows > 0 ? `, ${report.first_pulse_id} – ${report.last_pulse_id}` : "";
  const counts = {
    "No longer in the buffer when asked for": report.evicted_before_start,
    "Let go by the buffer because this writer was too slow": report.lost_in_buffer,
    "Duplicates left out": report.duplicates,
    "Late messages left out": report.out_of_order,
    "Taken back behind the stop": report.trimmed,
    "Interruptions of the stream": report.reconnects,
  };
  for (const [kind, number] of Object.entries(report.dropped)) counts[`Messages dropped: ${kind}`] = number;
  const lines = [
    ["Outcome", report.outcome],
    ["Reason", report.reason],
    ["Asked for", `${start} – ${stop}`],
    ["Written", `${plural(report.rows, "pulse")}${span}`],
    ["Missing", plural(report.missing_pulses, "pulse")],
    ...Object.entries(counts).filter(([, number]) => number > 0).map(([what, number]) => [what, count(number)]),
    ["Took", duration(report.seconds)],
    ["Stream", report.stream],
    ["File", report.output_file],
  ];
  if (report.moved_aside !== null) lines.push(["The file that had this name before", report.moved_aside]);
  return lines;
}
