// The picture of an image, with its colour scale and the histogram of its values.

import { ask } from "./api.js";
import { byId, colour, element } from "./dom.js";
import { axis, draw, wholeAxis } from "./drawing.js";
import { count, digits, plural, pulse, value } from "./format.js";

const MOST_PIXELS = 800; // on a side: 2.5 MB, which the buffer takes some 3 ms to write down
const LONGEST = 8; // times as long as wide: what is longer is stretched, or it would be a line
const FINER = 2; // than what the screen shows: something is left to zoom into
const COLOURS = ["Viridis", "Greys", "Inferno", "Cividis", "Jet", "RdBu"];

/** The controls, once for all images: what was chosen stays when another image is opened, except for fixed limits. */
export function startScale(changed) {
  byId("colours").append(...COLOURS.map((name) => element("option", { value: name }, name)));
  byId("colours").addEventListener("change", changed);
  byId("autoscale").addEventListener("change", changed);
  for (const id of ["scale-low", "scale-high"]) {
    byId(id).addEventListener("input", () => {
      byId("autoscale").checked = false;
      changed();
    });
  }
}

export class Picture {
  kind = "image";
  #name;
  #answer = null;
  #rows = [];

  constructor(name) {
    this.#name = name;
    byId("autoscale").checked = true;
    byId("scale").hidden = false;
    byId("histogram").hidden = false;
  }

  close() {
    byId("scale").hidden = true;
    byId("histogram").hidden = true;
  }

  async load(signal) {
    this.#answer = await ask(`image?channel=${encodeURIComponent(this.#name)}&pixels=${pixelsFor(byId("plot"))}`, { signal });
    this.#rows = rowsOf(this.#answer);
  }

  async draw(target) {
    const { step, histogram, height, width } = this.#answer;
    const inScale = this.#isStretched() ? {} : { scaleanchor: "x" };
    const [low, high] = this.#limits();
    const picture = {
      type: "heatmap",
      z: this.#rows,
      x0: (step - 1) / 2,
      dx: step,
      y0: (step - 1) / 2,
      dy: step,
      zmin: low,
      zmax: high,
      colorscale: byId("colours").value,
      colorbar: { thickness: 12, xpad: 6, outlinewidth: 0, tickfont: { color: colour("ink") } },
      hovertemplate: "%{z}<br>column %{x:.0f}, row %{y:.0f}<extra></extra>",
    };
    await draw(target, this.#name, [picture], {
      xaxis: wholeAxis(target, "", { constrain: "domain", showgrid: false, zeroline: false, range: [-0.5, width - 0.5] }),
      yaxis: wholeAxis(target, "", { constrain: "domain", showgrid: false, zeroline: false, range: [height - 0.5, -0.5], ...inScale }),
      margin: { l: 36, r: 0, t: 8, b: 24 },
    });
    await this.#drawHistogram(histogram, low, high);
  }

  describe() {
    const { pulse_id, shape, low, high, mean, step, plane, height, width, histogram } = this.#answer;
    const parts = [`pulse ${pulse(pulse_id)}`, shape.join(" × ")];
    if (low === null) parts.push("no pixel is a number");
    else parts.push(`${value(low)} … ${value(high)}`, `mean ${value(mean)}`);
    const others = height * width - sum(histogram.counts);
    if (low !== null && others > 0) parts.push(`${plural(others, "pixel")} without a number`);
    if (this.#isStretched()) parts.push("stretched");
    if (shape.length > 2 && plane) parts.push(`plane ${plane}`);
    if (step > 1) parts.push(`each point the mean of ${step} × ${step} pixels`);
    return parts.join(" · ");
  }

  #isStretched() {
    const { height, width } = this.#answer;
    return Math.max(height, width) > LONGEST * Math.min(height, width);
  }

  /** The limits of the colours: shown in their fields while they are found, read from there while they are fixed. */
  #limits() {
    const { percentile_1, percentile_99 } = this.#answer;
    const fields = [byId("scale-low"), byId("scale-high")];
    if (percentile_1 === null && byId("autoscale").checked) {
      for (const field of fields) field.value = "";
      return [0, 1];
    }
    if (byId("autoscale").checked) {
      fields[0].value = digits(percentile_1, 6);
      fields[1].value = digits(percentile_99, 6);
      return percentile_1 === percentile_99 ? [percentile_1, percentile_1 + 1] : [percentile_1, percentile_99];
    }
    const given = fields.map((field) => field.valueAsNumber);
    return [Number.isNaN(given[0]) ? percentile_1 : given[0], Number.isNaN(given[1]) ? percentile_99 : given[1]];
  }

  async #drawHistogram(histogram, low, high) {
    const width = (histogram.high - histogram.low) / histogram.counts.length;
    const total = sum(histogram.counts);
    const bars = {
      type: "bar",
      x: width > 0 ? histogram.counts.map((_, place) => histogram.low + (place + 0.5) * width) : [histogram.low],
      y: width > 0 ? histogram.counts.map((number) => (number === 0 ? null : number)) : [total], // 0 has no place on a log axis
      marker: { color: colour("accent"), line: { color: colour("accent"), width: 0.7 } }, // no light between neighbours
      hovertemplate: "%{y} pixels at %{x}<extra></extra>",
    };
    const limit = (at) => ({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: colour("warn"), width: 1.5, dash: "dot" } });
    await draw(byId("histogram"), this.#name, [bars], {
      xaxis: axis("", { nticks: 4, tickangle: 0 }),
      yaxis: axis("", { type: "log", dtick: 1, range: [-0.3, Math.log10(Math.max(...histogram.counts, 1)) + 0.2] }),
      bargap: 0,
      shapes: [low, high].filter((at) => at !== null).map(limit),
      margin: { l: 36, r: 6, t: 8, b: 24 },
    });
    byId("histogram").setAttribute("aria-label", `Histogram of ${count(total)} values from ${value(histogram.low)} to ${value(histogram.high)}`);
  }
}

const sum = (counts) => counts.reduce((all, number) => all + number, 0);

/** As many as the screen has for it. */
function pixelsFor({ clientWidth, clientHeight }) {
  const wanted = Math.round(FINER * Math.max(clientWidth, clientHeight, 100) * (window.devicePixelRatio || 1));
  return Math.min(MOST_PIXELS, wanted);
}

/** Rows of float32 out of base64, little-endian as all that runs a browser is. */
function rowsOf({ pixels, height, width, step }) {
  const text = atob(pixels);
  const raw = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) raw[place] = text.charCodeAt(place);
  const values = new Float32Array(raw.buffer);
  const columns = Math.ceil(width / step);
  const rows = [];
  for (let row = 0; (row + 1) * columns <= values.length; row++) rows.push(values.subarray(row * columns, (row + 1) * columns));
  return rows;
}
