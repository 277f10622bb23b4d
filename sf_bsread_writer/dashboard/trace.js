// The trace of a waveform: its last value, index by index.

import { ask } from "./api.js";
import { colour } from "./dom.js";
import { draw, valueAxis, wholeAxis } from "./drawing.js";
import { count, pulse, value } from "./format.js";

export class Trace {
  kind = "trace";
  #name;
  #answer = null;

  constructor(name) {
    this.#name = name;
  }

  async load(signal) {
    this.#answer = await ask(`trace?channel=${encodeURIComponent(this.#name)}`, { signal });
  }

  async draw(target) {
    const { indices, values } = this.#answer;
    const numbers = values.map((given) => (given === null ? null : Number(given)));
    const trace = {
      type: "scatter",
      mode: values.length < 100 ? "lines+markers" : "lines",
      x: indices,
      y: numbers,
      line: { color: colour("accent"), width: 1.3 },
      marker: { color: colour("accent"), size: 5 },
      hovertemplate: "%{y}<br>element %{x:d}<extra></extra>",
    };
    await draw(target, this.#name, [trace], { xaxis: wholeAxis(target, "element"), yaxis: valueAxis(numbers) });
  }

  describe() {
    const { pulse_id, elements, low, high, mean, thinned } = this.#answer;
    const parts = [`pulse ${pulse(pulse_id)}`, `${count(elements)} elements`, `${value(low)} … ${value(high)}`, `mean ${value(mean)}`];
    if (thinned) parts.push("drawn by the lowest and the highest of each part");
    return parts.join(" · ");
  }
}
