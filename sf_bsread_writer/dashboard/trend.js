// The trend of a number: all that the ring holds at first, then only what is new.

import { ask } from "./api.js";
import { colour } from "./dom.js";
import { draw, valueAxis, wholeAxis } from "./drawing.js";
import { count, pulse, value } from "./format.js";
import { heldFrom, heldTo } from "./status.js";

const POINTS = 1000;
const MOST_POINTS = 2 * POINTS; // then the whole is asked for again, thinned by the buffer
const MARKED_POINTS = 300; // each is drawn as a dot, too; so are values that stand alone, without which there is no line
const LONELY_SHARE = 0.1;

export class Trend {
  kind = "trend";
  #name;
  #pulses = [];
  #values = [];
  #last = null; // pulse behind which there is news
  #missing = 0; // of all that was asked about
  #thinned = false;
  #isBool = false;

  constructor(name) {
    this.#name = name;
  }

  async load(signal) {
    if (this.#last === null || this.#pulses.length > MOST_POINTS) await this.#loadAll(signal);
    else await this.#loadNews(signal);
  }

  async draw(target) {
    const first = this.#anew();
    const pulses = this.#pulses.slice(first).map(Number);
    const values = this.#values.slice(first).map((given) => (given === null ? null : Number(given)));
    const nothing = values.filter((given) => given === null).length;
    const marked = pulses.length < MARKED_POINTS || nothing > LONELY_SHARE * pulses.length;
    const trace = {
      type: "scatter",
      mode: marked ? "lines+markers" : "lines",
      x: pulses,
      y: values,
      line: { color: colour("accent"), width: 1.3, shape: this.#isBool ? "hv" : "linear" },
      marker: { color: colour("accent"), size: 4 },
      hovertemplate: "%{y}<br>pulse %{x:d}<extra></extra>",
    };
    const levels = this.#isBool ? { tickvals: [0, 1], ticktext: ["false", "true"], range: [-0.2, 1.2] } : {};
    await draw(target, this.#name, [trace], { xaxis: wholeAxis(target, "pulse id"), yaxis: valueAxis(values, levels) });
  }

  describe() {
    const newest = this.#values.findLastIndex((given) => given !== null);
    const last = newest < 0 ? "no value" : `${value(this.#values[newest])} at pulse ${pulse(this.#pulses[newest])}`;
    const nothing = this.#values.filter((given) => given === null).length;
    const lacking = this.#thinned ? this.#missing : nothing;
    const missing = lacking > 0 ? `, ${count(lacking)} without a ${nothing > this.#missing ? "value that is a number" : "value"}` : "";
    const thinned = this.#thinned ? ", drawn by the lowest and the highest of each part" : "";
    const rounded = this.#values.some((given) => typeof given === "bigint") ? ", drawn to 16 digits" : "";
    const first = this.#anew();
    const before = first > 0 ? ", where the pulse ids began anew" : "";
    return `${last} · since pulse ${pulse(this.#pulses[first])}${before}${missing}${thinned}${rounded}`;
  }

  /** The place from which on the pulse ids count anew; what came before them has no place on the same axis. */
  #anew() {
    let lowest = Infinity;
    let place = 0;
    this.#pulses.forEach((id, at) => {
      if (id < lowest && at > 0) place = at;
      if (id < lowest) lowest = id;
    });
    return place;
  }

  async #loadAll(signal) {
    const answer = await this.#ask("", signal);
    this.#isBool = answer.type === "bool";
    this.#pulses = answer.pulse_ids;
    this.#values = answer.values;
    this.#missing = answer.messages - answer.present_messages;
    this.#thinned = answer.thinned;
    this.#last = answer.last_pulse_id;
  }

  async #loadNews(signal) {
    const newest = heldTo();
    if (newest !== null && newest < this.#last) return this.#loadAll(signal); // the pulse ids began anew
    const answer = await this.#ask(`&after=${this.#last}`, signal);
    this.#pulses.push(...answer.pulse_ids);
    this.#values.push(...answer.values);
    this.#missing += answer.messages - answer.present_messages;
    this.#last = answer.last_pulse_id ?? this.#last;
    this.#forget();
  }

  /** What the ring has let go. */
  #forget() {
    const oldest = heldFrom();
    const kept = oldest === null ? 0 : this.#pulses.findIndex((id) => id >= oldest);
    if (kept <= 0) return;
    this.#pulses.splice(0, kept);
    this.#values.splice(0, kept);
  }

  #ask(more, signal) {
    return ask(`trend?channel=${encodeURIComponent(this.#name)}&points=${POINTS}${more}`, { signal });
  }
}
