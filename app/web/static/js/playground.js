// Tries the mapping while it is written, in the way of the form, and shows what comes of it in its place.

const QUIET_MS = 700;
const TRIED_MAX_CHARACTERS = 120_000;

const form = document.querySelector("[data-playground]");
const says = form.querySelector("[data-says]");
let timer;
let running;

async function send(action) {
  clearTimeout(timer);
  running?.abort();
  const mine = (running = new AbortController());
  const fields = new URLSearchParams(new FormData(form));
  fields.set("action", action);
  says.textContent = action === "compare" ? "Reading the last receipts…" : "Trying…";
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: fields, signal: mine.signal });
    show(new DOMParser().parseFromString(await answer.text(), "text/html"), answer.status);
  } catch (error) {
    if (error.name !== "AbortError") says.textContent = "The gateway did not answer; try again.";
  }
}

function show(page, status) {
  const found = page.getElementById("result");
  if (!found) {
    says.textContent = status === 413 ? "Too large to be tried: MAILWEIR_API_BODY_BYTES_MAX sets the limit." : `It was refused (${status}): reload the page.`;
    return;
  }
  for (const button of found.querySelectorAll("[data-copies]")) button.hidden = false;
  document.getElementById("result").replaceWith(document.adoptNode(found));
  says.textContent = "";
}

function tryLater() {
  const { mapping, body } = form.elements;
  if (mapping.value.length + body.value.length > TRIED_MAX_CHARACTERS) return;
  clearTimeout(timer);
  timer = setTimeout(() => send("try"), QUIET_MS);
}

if (says) {
  form.addEventListener("input", tryLater);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter?.value ?? "try");
  });
  send("try");
}
