// The last text of a channel of texts.

import { setText } from "./dom.js";
import { count, pulse } from "./format.js";

export class Wording {
  kind = "text";
  #channel;
  #find;

  /** `find` gives the channel as it was seen last. */
  constructor(name, find) {
    this.#find = () => find(name) ?? null;
  }

  async load() {
    this.#channel = this.#find();
  }

  async draw(target) {
    const text = this.#channel?.last_value;
    if (text === "") setText(target, "(empty)");
    else setText(target, typeof text === "string" ? text : "No text, or one of more than 1,000 bytes.");
  }

  describe() {
    const text = this.#channel?.last_value;
    return `pulse ${pulse(this.#channel?.last_pulse_id)}${typeof text === "string" ? ` · ${count(text.length)} characters` : ""}`;
  }
}
