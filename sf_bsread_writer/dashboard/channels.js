// The table of all channels. Thousands stay fluid: only the rows that can be seen are in the page, and those are used again.

import { Poll, ask } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { NO_NUMBER, count, percent, plural, pulse, rate, value } from "./format.js";

const ROW_PX = 26;
const HEADING_PX = 30;
const SPARE_ROWS = 6; // above and below what can be seen

const COLUMNS = [
  { key: "name", heading: "name", text: (channel) => channel.name, sorts: true },
  { key: "type", heading: "type", text: (channel) => channel.type },
  { key: "shape", heading: "shape", text: (channel) => channel.shape.join(" × ") },
  { key: "rate_hz", heading: "Hz", text: (channel) => rate(channel.rate_hz), sorts: true },
  { key: "missing_percent", heading: "missing", text: missing, sorts: true },
  { key: "last_value", heading: "last value", text: lastValue },
  { key: "last_pulse_id", heading: "last pulse", text: (channel) => pulse(channel.last_pulse_id) },
];

let scroller;
let body;
let opened; // called with the name of a channel
let all = null; // as they were seen last
let shown = []; // those found, in the order they are sorted in
let current = 0; // place in `shown` of the row that the keys move
let chosen = null; // name of the channel that is open
let sorting = { key: null, descending: false }; // as in the data header, until somebody sorts
let searched = "";
const searchers = new Set();
const lookers = new Set();
const rows = new Map(); // by place in `shown`

/** `open` is called with the name of a channel that is to be opened. */
export function startChannels(open) {
  opened = open;
  scroller = byId("channels");
  body = element("div", { class: "body", role: "rowgroup" });
  scroller.append(element("div", { role: "rowgroup" }, makeHeading()), body);
  scroller.setAttribute("aria-colcount", COLUMNS.length);
  scroller.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(draw).observe(scroller);
  scroller.addEventListener("keydown", move);
  body.addEventListener("click", (event) => {
    const row = event.target.closest("[role=row]");
    if (row !== null) choose(Number(row.getAttribute("aria-rowindex")) - 2);
  });
  byId("channel-search").addEventListener("input", search);
  byId("channel-search").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      scroller.focus();
      if (event.key === "Enter" && shown.length > 0) choose(current);
    }
  });
  new Poll("Channels", [scroller, byId("plot-title")], 2000, async (signal) => take(await ask("channels", { signal }))).start();
}

/** Calls `tell` with what is searched for, now and whenever that changes. */
export function onSearch(tell) {
  searchers.add(tell);
  tell(searched);
}

/** The channel of this name as it was seen last, or undefined. */
export const channelOf = (name) => all?.find((channel) => channel.name === name);

/** Whether the channels have been looked at. */
export const areKnown = () => all !== null;

/** Marks the open channel; null if there is none. */
export function mark(name) {
  chosen = name;
  draw();
}

/** Calls `tell` with all channels whenever they have been looked at. */
export const onChannels = (tell) => lookers.add(tell);

function search() {
  searched = byId("channel-search").value;
  current = 0;
  arrange();
  scroller.scrollTop = 0;
  draw();
  for (const tell of searchers) tell(searched);
}

function take(answer) {
  all = answer.channels;
  arrange();
  draw();
  for (const tell of lookers) tell(all);
}

function arrange() {
  if (all === null) return;
  const part = searched.toLowerCase();
  const before = shown[current]?.name;
  shown = part === "" ? [...all] : all.filter((channel) => channel.name.toLowerCase().includes(part));
  if (sorting.key !== null) {
    const sign = sorting.descending ? -1 : 1;
    shown.sort((one, other) => sign * compare(one[sorting.key], other[sorting.key]));
  }
  const now = before === undefined ? -1 : shown.findIndex((channel) => channel.name === before);
  current = Math.max(0, now >= 0 ? now : Math.min(current, shown.length - 1));
  const found = part === "" ? plural(all.length, "channel") : `${count(shown.length)} of ${count(all.length)}`;
  setText(byId("channel-count"), found);
  scroller.setAttribute("aria-rowcount", shown.length + 1);
  body.style.height = `${shown.length * ROW_PX}px`;
}

function compare(one, other) {
  if (one === other) return 0;
  if (one === null) return -1;
  if (other === null) return 1;
  return one < other ? -1 : 1;
}

function draw() {
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - SPARE_ROWS);
  const stop = Math.min(shown.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_PX) + SPARE_ROWS);
  const spare = [];
  for (const [place, row] of rows) {
    if (place >= first && place < stop) continue;
    rows.delete(place);
    spare.push(row);
  }
  for (let place = first; place < stop; place++) {
    let row = rows.get(place);
    if (row === undefined) {
      row = spare.pop() ?? makeRow();
      rows.set(place, row);
    }
    fill(row, place);
    const there = body.children[place - first]; // read out in this order, wherever the style puts them
    if (there !== row) body.insertBefore(row, there ?? null);
  }
  for (const row of spare) row.remove();
  if (rows.has(current)) scroller.setAttribute("aria-activedescendant", rows.get(current).id);
  else scroller.removeAttribute("aria-activedescendant");
}

function fill(row, place) {
  const channel = shown[place];
  row.style.transform = `translateY(${place * ROW_PX}px)`;
  row.setAttribute("aria-rowindex", place + 2);
  row.setAttribute("aria-selected", String(channel.name === chosen));
  row.classList.toggle("current", place === current);
  if (row.dataset.channel !== channel.name) row.dataset.channel = channel.name;
  row.id = `channel-row-${place}`;
  COLUMNS.forEach(({ text }, column) => setText(row.children[column], text(channel)));
  row.children[0].title = channel.name;
  row.children[4].classList.toggle("missing", channel.missing_percent > 0);
}

function makeRow() {
  return element("div", { role: "row" }, ...COLUMNS.map(({ key }) => element("span", { role: "gridcell", "data-column": key })));
}

function makeHeading() {
  const cells = COLUMNS.map(({ key, heading, sorts }) => {
    if (!sorts) return element("span", { role: "columnheader", "data-column": key }, heading);
    const button = element("button", { type: "button" }, heading);
    button.addEventListener("click", () => sort(key));
    return element("span", { role: "columnheader", "data-column": key, "aria-sort": "none" }, button);
  });
  return element("div", { role: "row", class: "heading", "aria-rowindex": 1 }, ...cells);
}

/** By names upwards first, by numbers downwards; then the other way; then as in the data header. */
function sort(key) {
  const downFirst = key !== "name";
  if (sorting.key !== key) sorting = { key, descending: downFirst };
  else if (sorting.descending === downFirst) sorting = { key, descending: !downFirst };
  else sorting = { key: null, descending: false };
  for (const cell of scroller.querySelectorAll("[aria-sort]")) {
    const isIt = cell.dataset.column === sorting.key;
    cell.setAttribute("aria-sort", isIt ? (sorting.descending ? "descending" : "ascending") : "none");
    const { heading } = COLUMNS.find((column) => column.key === cell.dataset.column);
    setText(cell.firstChild, isIt ? `${heading} ${sorting.descending ? "▼" : "▲"}` : heading);
  }
  arrange();
  draw();
}

function move(event) {
  if (event.target !== scroller) return;
  const page = Math.max(1, Math.floor((scroller.clientHeight - HEADING_PX) / ROW_PX) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (event.key === "Enter") choose(current);
  else if (!(event.key in steps)) return;
  else {
    current = Math.max(0, Math.min(shown.length - 1, current + steps[event.key]));
    const top = current * ROW_PX;
    const room = scroller.clientHeight - HEADING_PX - ROW_PX;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top > scroller.scrollTop + room) scroller.scrollTop = top - room;
    draw();
  }
  event.preventDefault();
}

function choose(place) {
  if (shown[place] === undefined) return;
  current = place;
  opened(shown[place].name);
}

/** NaN and the infinite have no place in JSON. */
function lastValue({ type, shape, last_pulse_id, last_value }) {
  const isNone = last_value === null && last_pulse_id !== null && shape.length === 0 && type.startsWith("float");
  return isNone ? NO_NUMBER : value(last_value);
}

function missing(channel) {
  const share = channel.missing_percent;
  return share > 0 ? `▲ ${percent(share)}` : percent(share);
}
