// The table of clients: who reads, how far behind, and who has lost pulses.

import { Poll, ask } from "./api.js";
import { byId, element, keep, setText } from "./dom.js";
import { bytes, count, duration, plural } from "./format.js";
import { Growth } from "./health.js";
import { tellOfClients } from "./status.js";

const KINDS = { PUSH: "all pulses (PULL)", PUB: "live (SUB)" };

let known = new Map(); // by address: the lag before, and how the losses grow

export function startClients() {
  new Poll("Clients", [document.body], 1000, async (signal) => take(await ask("clients", { signal }))).start();
}

function take(clients) {
  const now_ms = performance.now();
  const before = known;
  known = new Map();
  const losing = [];
  for (const client of clients) {
    const past = before.get(client.address) ?? { losses: new Growth(), lag_messages: Infinity };
    const lost = past.losses.of(client.lost_messages, now_ms);
    client.falling = client.lag_messages > past.lag_messages;
    if (lost > 0) losing.push({ name: client.name, lost });
    known.set(client.address, { losses: past.losses, lag_messages: client.lag_messages });
  }
  show(clients);
  tellOfClients(clients, losing);
}

function show(clients) {
  keep(byId("clients"), clients.length > 0 ? clients : [null], (client) => client?.address ?? "none", makeRow, (row, client) => {
    if (client === null) return;
    const { lag_messages, lag_s, lost_messages } = client;
    const cells = row.children;
    setText(cells[0], client.name);
    setText(cells[1], KINDS[client.role] ?? client.role);
    setText(cells[2], lag_messages === 0 ? "nothing" : `${plural(lag_messages, "message")}, ${duration(lag_s)}`);
    setText(cells[3], lost_messages > 0 ? `▲ ${count(lost_messages)}` : "0");
    cells[3].classList.toggle("bad", lost_messages > 0);
    setText(cells[4], `${plural(client.sent_messages, "message")}, ${bytes(client.sent_bytes)}`);
  });
}

function makeRow(client) {
  if (client === null) return element("tr", {}, element("td", { colspan: 5, class: "quiet" }, "Nobody reads at the moment."));
  const cells = ["", "", "right", "right", "right"].map((look) => element("td", look ? { class: look } : {}));
  const row = element("tr", {}, ...cells);
  cells[0].title = client.address;
  return row;
}
