// On every page: times that go on, and buttons that copy.

import { copy } from "./copying.js";
import { ago } from "./times.js";

const TICK_MS = 15_000;

function tellTimes() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[datetime]")) {
    const told = time.querySelector(".ago");
    if (told) told.textContent = ago(Date.parse(time.dateTime), now);
  }
}

function copyOnClick(event) {
  const button = event.target.closest("[data-copies], [data-copy-text]");
  if (!button) return;
  const figure = button.closest("figure");
  copy(button.dataset.copyText ?? textOf(figure.querySelector("code")), button);
}

// What is shown in place of an unseen character is not what was sent.
function textOf(code) {
  const twin = code.cloneNode(true);
  for (const mark of twin.querySelectorAll(".unseen")) {
    mark.replaceWith(String.fromCodePoint(parseInt(mark.textContent.slice(2), 16)));
  }
  return twin.textContent;
}

for (const button of document.querySelectorAll("[data-copies], [data-copy-text]")) button.hidden = false;
document.addEventListener("click", copyOnClick);
setInterval(tellTimes, TICK_MS);
