// The overview follows the stream: it tells that something came, and what has changed is taken from the page made anew.

const REFRESH_MS = 3_000;
const IDLE_REFRESH_MS = 60_000;

const live = document.querySelector("[data-types]");
const said = document.querySelector("[data-live-state]");
let stream = null;
let timer = null;

function say(text) {
  said.hidden = false;
  said.textContent = text;
}

function refreshIn(delay) {
  timer ??= setTimeout(async () => {
    timer = null;
    if (!document.hidden) await refresh();
  }, delay);
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return say("Not following: reload the page");
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("The gateway does not answer");
  }
}

// Whoever is at a part with the keyboard, or has a row of numbers open, keeps it as it is.
function put(fresh) {
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const next = fresh.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
    if (!next || part.contains(document.activeElement) || part.querySelector("details[open]")) continue;
    const known = new Set([...part.querySelectorAll("tr[id]")].map((row) => row.id));
    for (const row of next.querySelectorAll("tr[id]")) row.classList.toggle("new", !known.has(row.id));
    part.replaceChildren(...next.childNodes);
  }
}

function connect() {
  if (stream || document.hidden) return;
  stream = new EventSource("/api/stream");
  stream.addEventListener("open", () => say("Following"));
  stream.addEventListener("error", () => say("Waiting for the gateway"));
  for (const type of live.dataset.types.split(" ")) stream.addEventListener(type, () => refreshIn(REFRESH_MS));
}

function disconnect() {
  stream?.close();
  stream = null;
}

if (live) {
  connect();
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : (connect(), refreshIn(0))));
  setInterval(() => refreshIn(0), IDLE_REFRESH_MS);
}
