// The list of deliveries: keys, new rows as they are made, and where the others stand.

import { listen } from "./keys.js";
import { follow } from "./live.js";
import { Rows } from "./rows.js";

const rows = new Rows();

listen([
  ["j", "Next delivery", () => rows.move(1)],
  ["k", "Delivery before", () => rows.move(-1)],
  ["Enter", "Open it", () => rows.open()],
  ["Escape", "Leave it", () => rows.choose(null)],
]);

const live = document.querySelector("[data-stream]");
if (live) follow(live, live.dataset.stream);
