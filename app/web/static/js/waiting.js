// Looks every two seconds whether something has come, and shows it in place.

const LOOK_MS = 2_000;

async function look() {
  const shown = document.getElementById("diagnosis");
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("diagnosis");
  if (found.dataset.state === shown.dataset.state && found.dataset.receipt === shown.dataset.receipt) return;
  shown.replaceWith(document.adoptNode(found));
  for (const button of document.querySelectorAll("#diagnosis [data-copies]")) button.hidden = false;
}

async function watch() {
  try {
    if (!document.hidden) await look();
  } catch {
    // The gateway may be starting anew: the next look tells.
  }
  if (document.getElementById("diagnosis").dataset.state !== "arrived") setTimeout(watch, LOOK_MS);
}

setTimeout(watch, LOOK_MS);
