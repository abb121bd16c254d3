// The list of events: keys, ticks, and new rows as they come in.

import { copy } from "./copying.js";
import { listen } from "./keys.js";
import { follow } from "./live.js";
import { Rows } from "./rows.js";

const rows = new Rows();
const form = document.getElementById("selection");

function tellSelected() {
  const told = document.querySelector("[data-selected]");
  const number = rows.ticked.length;
  if (told) told.textContent = number ? String(number) : "";
}

function search() {
  const field = document.querySelector("input[name=q]");
  field.focus();
  field.select();
}

function replay() {
  if (!form) return;
  if (!rows.ticked.length) rows.tick();
  if (rows.ticked.length) form.requestSubmit();
}

async function copyEvent() {
  const row = rows.current;
  if (!row) return;
  const answer = await fetch(`${row.dataset.href}/as/json`);
  if (answer.ok) await copy(await answer.text());
}

listen([
  ["/", "Search", search],
  ["j", "Next event", () => rows.move(1)],
  ["k", "Event before", () => rows.move(-1)],
  ["Enter", "Open it", () => rows.open()],
  ["x", "Select it", () => rows.tick()],
  ["r", "Replay the selection, or it", replay],
  ["c", "Copy it as JSON", copyEvent],
  ["y", "Copy its link", () => rows.current && copy(new URL(rows.current.dataset.href, location.href).href)],
  ["Escape", "Leave it", () => rows.choose(null)],
]);

document.addEventListener("change", tellSelected);
tellSelected();

const live = document.querySelector("[data-stream]");
if (live) follow(live, live.dataset.stream, tellSelected);
