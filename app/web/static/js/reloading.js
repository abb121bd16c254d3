// A page that shows something under way asks for itself again, until it does not say so any more.

const RELOADS_MAX = 120;
const mark = document.querySelector("[data-reload-ms]");
const key = `reloads ${location.pathname}`;

function again() {
  const reloads = Number(sessionStorage.getItem(key) ?? 0) + 1;
  if (document.hidden || document.activeElement?.matches("input, textarea, select")) return setTimeout(again, 1_000);
  if (reloads > RELOADS_MAX) return;
  sessionStorage.setItem(key, reloads);
  location.reload();
}

if (mark) setTimeout(again, Number(mark.dataset.reloadMs));
else sessionStorage.removeItem(key);
