// One event: keys, linked values that light up together, and copies.

import { copy } from "./copying.js";
import { listen } from "./keys.js";

async function copyFrom(link) {
  const answer = await fetch(link.href);
  if (answer.ok) await copy(await answer.text(), link);
}

function light(number) {
  for (const mark of document.querySelectorAll(".compared mark.link")) {
    mark.classList.toggle("lit", mark.dataset.link === number);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-copy-from]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  copyFrom(link);
});
document.addEventListener("pointerover", (event) => light(event.target.closest?.("mark.link")?.dataset.link));
document.addEventListener("click", (event) => {
  const open = document.querySelector("details.drop[open]");
  if (open && !open.contains(event.target)) open.open = false;
});

// Back is the list as it was, filters included.
const back = document.querySelector("a.back");
if (document.referrer && new URL(document.referrer).pathname === new URL(back.href).pathname) back.href = document.referrer;

const replay = document.querySelector("form.replay");

listen([
  ["r", "Replay it", () => replay?.requestSubmit()],
  ["c", "Copy it as JSON", () => copyFrom(document.querySelector("[data-copy-from]"))],
  ["y", "Copy its link", () => copy(location.href.split("?")[0])],
  ["Escape", "Back to the list", () => location.assign(back.href)],
]);
