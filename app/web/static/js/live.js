// A list that follows the stream: the server renders the page anew, and rows that are new are put in.
//
// The stream tells only that something came. Rows are known by their id, so that ticks and focus stay where they are.

const REFRESH_MS = 2_000;
const GOING_ON_MS = 5_000;
const IDLE_REFRESH_MS = 60_000;
const REFUSED_MS = 30_000;

export function follow(element, url, onChange) {
  const button = element.querySelector("button");
  let source = null;
  let timer = null;
  let wanted = true;

  function refreshSoon(_event, after = REFRESH_MS) {
    timer ??= setTimeout(async () => {
      timer = null;
      if (await refresh()) onChange?.();
      // What is on its way arrives without the stream telling so.
      if (source && document.querySelector("[data-live] .going")) refreshSoon(null, GOING_ON_MS);
    }, after);
  }

  function connect() {
    if (source || document.hidden || !wanted) return;
    source = new EventSource(url);
    source.addEventListener("open", () => say("Live"));
    source.addEventListener("error", connectLater);
    // Its events are named by their type; "message" alone would miss them.
    for (const name of (element.dataset.types ?? "message").split(" ")) source.addEventListener(name, refreshSoon);
  }

  // A browser connects again by itself, but not after a refusal: when too many follow, or the session is over.
  function connectLater() {
    say("Waiting");
    if (source?.readyState !== EventSource.CLOSED) return;
    source = null;
    setTimeout(connect, REFUSED_MS);
  }

  function disconnect() {
    source?.close();
    source = null;
    clearTimeout(timer);
    timer = null;
  }

  function say(word) {
    element.querySelector(".said").textContent = word;
    element.classList.toggle("on", word === "Live");
  }

  button.addEventListener("click", () => {
    wanted = !wanted;
    button.setAttribute("aria-pressed", String(wanted));
    wanted ? connect() : (disconnect(), say("Paused"));
    if (wanted) refreshSoon();
  });
  document.addEventListener("visibilitychange", () => {
    document.hidden ? disconnect() : (connect(), wanted && refreshSoon());
  });
  addEventListener("pagehide", disconnect);
  // Some of what changes is no event: a retry that was given up, a delivery that a person cancelled.
  setInterval(() => source && refreshSoon(), IDLE_REFRESH_MS);
  element.hidden = false;
  connect();
  if (document.querySelector("[data-live] .going")) refreshSoon(null, GOING_ON_MS);
}

// Puts what has changed in [data-live] into the page; whether anything was new.
export async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
  const shown = document.querySelector("[data-live]");
  const into = shown?.querySelector("tbody");
  const from = fresh?.querySelector("tbody");
  if (!into || !from) {
    if (fresh && shown) shown.replaceChildren(...fresh.childNodes);
    return true;
  }
  return merge(into, from);
}

function merge(into, from) {
  let changed = false;
  const kept = new Set();
  let place = into.firstElementChild;
  for (const row of [...from.children]) {
    const old = document.getElementById(row.id);
    kept.add(row.id);
    if (!old) {
      row.classList.add("new");
      into.insertBefore(row, place);
      changed = true;
    } else {
      changed = renew(old, row) || changed;
      place = old.nextElementSibling;
    }
  }
  for (const row of [...into.children]) if (!kept.has(row.id) && !row.querySelector(":checked, :focus")) row.remove();
  return changed;
}

// Cells that read otherwise than before, such as where a delivery stands; never the tick, nor where the focus is.
function renew(old, row) {
  let changed = false;
  [...row.cells].forEach((cell, at) => {
    const shown = old.cells[at];
    if (cell.classList.contains("tick") || shown.textContent === cell.textContent) return;
    if (shown.contains(document.activeElement)) return;
    shown.replaceChildren(...cell.childNodes);
    changed = true;
  });
  return changed;
}
