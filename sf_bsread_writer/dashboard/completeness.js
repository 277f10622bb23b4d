// Which values came: channels from top to bottom, the last pulses from left to right, those channels first that lack most.

import { Poll, ask } from "./api.js";
import { onSearch } from "./channels.js";
import { byId, colour, element, setText } from "./dom.js";
import { count, plural, pulse } from "./format.js";
import { isEmpty, tellOfGaps } from "./status.js";

const PULSES = 1000;
const PARTS = 200;
const ROWS = 200;
const ROW_PX = 14;
const GAP = 4;
const STATES = [
  { name: "not due", colour: "not-due" },
  { name: "complete", colour: "complete" },
  { name: "some missing", colour: "some-missing" },
  { name: "all missing", colour: "all-missing" },
  { name: "gap: pulses that never came", colour: "gap" },
];
const STREAM = "all channels";
const NAMED = 5; // channels that the summary names

const section = byId("completeness");
const map = byId("completeness-map");
const canvas = map.firstElementChild;
let openChannel;
let seen = null; // the answer, its states as bytes
let searched = "";
let drawn = 0;

export function startCompleteness(open) {
  openChannel = open;
  byId("completeness-legend").append(
    ...STATES.map(({ name }, state) => element("li", {}, element("span", { class: `swatch state-${state}` }), name)),
  );
  const poll = new Poll("Completeness", [byId("completeness-text"), map], 3000, look).start();
  onSearch((text) => {
    searched = text;
    poll.again();
  });
  document.addEventListener("theme", draw);
  new ResizeObserver(draw).observe(map);
  canvas.addEventListener("pointermove", (event) => setText(byId("completeness-here"), describe(event)));
  canvas.addEventListener("click", (event) => {
    const row = placeOf(event).row - 1;
    if (row >= 0 && seen?.channels[row] !== undefined) openChannel(seen.channels[row].name);
  });
}

async function look(signal) {
  if (await isEmpty()) {
    setText(byId("completeness-text"), "The ring is empty.");
    map.hidden = true;
    return;
  }
  const about = `pulses=${PULSES}&parts=${PARTS}&rows=${ROWS}&search=${encodeURIComponent(searched)}`;
  const answer = await ask(`completeness?${about}`, { signal });
  seen = { ...answer, stream: bytesOf(answer.stream), states: bytesOf(answer.states) };
  tellOfGaps(seen.gap_pulses);
  setText(byId("completeness-text"), summary(seen));
  map.hidden = false;
  draw();
}

function summary({ messages, gap_pulses, first_pulse_id, last_pulse_id, matching_channels, complete_channels, channels }) {
  const which = searched === "" ? plural(matching_channels, "channel") : `${plural(matching_channels, "channel")} found`;
  const worst = channels.filter(({ missing }) => missing > 0).slice(0, NAMED).map(({ name, missing, due }) => `${name} ${count(missing)} of ${count(due)}`);
  return [
    `The last ${plural(messages, "message")}, pulses ${pulse(first_pulse_id)} – ${pulse(last_pulse_id)}: `,
    gap_pulses > 0 ? `${plural(gap_pulses, "pulse")} never came; ` : "no pulse is missing; ",
    `${count(complete_channels)} of ${which} complete.`,
    worst.length > 0 ? ` Most is missing of ${worst.join(", ")}.` : "",
    matching_channels > channels.length ? ` Drawn are the ${count(channels.length)} that lack most.` : "",
  ].join("");
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const namesWidth = () => Math.min(240, Math.round(canvas.clientWidth * 0.32));

function draw() {
  if (seen === null || map.hidden || map.clientWidth === 0) return;
  const { channels, parts, stream, states } = seen;
  const scale = window.devicePixelRatio || 1;
  const width = map.clientWidth;
  const height = ROW_PX * (channels.length + 1);
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  paint.font = `11px ${colour("font")}`;
  paint.textBaseline = "middle";
  const colours = STATES.map((state) => colour(state.colour));
  const ink = colour("ink");
  const left = namesWidth();
  const drawRow = (row, name, states) => {
    const top = row * ROW_PX;
    paint.fillStyle = ink;
    paint.save();
    paint.beginPath();
    paint.rect(0, top, left - 6, ROW_PX);
    paint.clip();
    paint.fillText(name, 4, top + ROW_PX / 2);
    paint.restore();
    drawStates(paint, states, colours, left, top, (width - left) / parts);
  };
  drawRow(0, STREAM, stream);
  channels.forEach(({ name }, row) => drawRow(row + 1, name, states.subarray(row * parts, (row + 1) * parts)));
  section.shown = { ...seen, namesWidth: left, rowHeight: ROW_PX }; // for whoever looks at the page from outside
  section.dataset.drawn = ++drawn;
}

/** Neighbours of one state are one rectangle: most rows are one. */
function drawStates(paint, states, colours, left, top, width) {
  let begin = 0;
  for (let part = 1; part <= states.length; part++) {
    if (states[part] === states[begin]) continue;
    paint.fillStyle = colours[states[begin]] ?? colours[GAP];
    paint.fillRect(left + begin * width, top + 1, (part - begin) * width, ROW_PX - 2);
    begin = part;
  }
}

function placeOf(event) {
  const left = namesWidth();
  const width = (canvas.clientWidth - left) / (seen?.parts ?? 1);
  return { row: Math.floor(event.offsetY / ROW_PX), part: Math.floor((event.offsetX - left) / width) };
}

function describe(event) {
  if (seen === null) return "";
  const { row, part } = placeOf(event);
  const { channels, parts, first_pulse_id, last_pulse_id, pulses_per_part, step } = seen;
  const channel = row === 0 ? null : channels[row - 1];
  if (channel === undefined) return "";
  const name = channel?.name ?? STREAM;
  if (part < 0 || part >= parts) return channel === null ? name : `${name}: ${count(channel.missing)} of ${plural(channel.due, "value")} missing`;
  const state = row === 0 ? seen.stream[part] : seen.states[(row - 1) * parts + part];
  const first = first_pulse_id + part * pulses_per_part * step;
  const last = Math.min(last_pulse_id, first + (pulses_per_part - 1) * step);
  return `${name} · ${first >= last ? `pulse ${pulse(last)}` : `pulses ${pulse(first)} – ${pulse(last)}`} · ${STATES[state]?.name ?? state}`;
}
