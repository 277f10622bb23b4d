// plotly, loaded when the first channel is opened, and what all plots have in common.

import { Problem } from "./api.js";
import { colour } from "./dom.js";

const CONFIG = {
  displaylogo: false,
  plotlyServerURL: "",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]], // by name: the usual ones would share a plot with plotly's makers
};

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.data !== undefined && target.clientWidth > 0) window.Plotly.Plots.resize(target);
  }
});

let loading = null;

/** plotly's functions; the file comes from the buffer, as everything here does. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "page/plotly.js";
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      loading = null; // the next try asks anew
      script.remove();
      reject(new Problem(0, "plotly cannot be loaded from the buffer; is the Python package plotly installed there?"));
    });
    document.head.append(script);
  });
  return loading;
}

/** Draws, or changes what is drawn; zoom and selection stay as long as `about` does. */
export async function draw(target, about, traces, layout) {
  const { react } = await plotly();
  await react(target, traces, { ...basis(about), ...layout }, CONFIG);
  sizes.observe(target); // plotly itself looks only at the window
}

/** Leaves nothing of a plot. */
export function clear(target) {
  sizes.unobserve(target);
  if (target.data !== undefined) window.Plotly?.purge(target);
  target.replaceChildren();
}

/** An axis in the colours of the theme. */
export function axis(title, more = {}) {
  const line = colour("line");
  return {
    title: { text: title, standoff: 6 },
    gridcolor: line,
    zerolinecolor: line,
    linecolor: colour("strong-line"),
    automargin: true,
    exponentformat: "power",
    ...more,
  };
}

/** An axis of values: their digits as they are, unless there were too many. */
export function valueAxis(values, more = {}) {
  let largest = 0;
  for (const given of values) largest = Math.max(largest, Math.abs(given ?? 0));
  const isPlain = largest > 1e-3 && largest < 1e12;
  return axis("", { exponentformat: isPlain ? "none" : "power", separatethousands: isPlain, ...more });
}

const LABEL_PX = 105; // of eleven digits, and some room

/** An axis of pulse ids or of indices: whole numbers as they are, as many as can be read; on a narrow screen they may turn. */
export function wholeAxis(target, title, more = {}) {
  const labels = Math.floor(target.clientWidth / LABEL_PX);
  return axis(title, { tickformat: "d", tickangle: labels < 3 ? "auto" : 0, nticks: Math.max(2, labels), exponentformat: "none", ...more });
}

let revision = 0;

function basis(about) {
  return {
    datarevision: ++revision, // arrays grow in place, which plotly does not see
    uirevision: about,
    margin: { l: 56, r: 12, t: 8, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("ink"), family: colour("font"), size: 12 },
    modebar: { color: colour("quiet"), activecolor: colour("accent"), bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("strong-line"), font: { color: colour("ink") } },
    showlegend: false,
    transition: { duration: 0 },
  };
}
