// The page of the buffer: starts its parts, and knows the keys that work everywhere.

import { startCaptures } from "./captures.js";
import { onChannels, startChannels } from "./channels.js";
import { startClients } from "./clients.js";
import { startCompleteness } from "./completeness.js";
import { byId } from "./dom.js";
import { closeChannel, openChannel, startPlot } from "./plot.js";
import { startStatus, tellOfChannels } from "./status.js";

const WRITTEN_IN = "input, select, textarea";

startStatus();
startClients();
startChannels(openChannel);
onChannels(tellOfChannels);
startPlot();
startCompleteness(openChannel);
startCaptures();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !event.target.closest(WRITTEN_IN)) {
    event.preventDefault();
    byId("channel-search").focus();
    byId("channel-search").select();
  } else if (event.key === "Escape" && !(event.target.closest(WRITTEN_IN)?.value)) closeChannel();
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the page's address names the open channel
  byId("channel-search").focus();
});
