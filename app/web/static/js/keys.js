// Keys: single letters that do what the page offers anyway, and a list of them behind "?".

const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

// commands: [key, what it does, function]
export function listen(commands) {
  const byKey = new Map(commands.map(([key, , run]) => [key, run]));
  const help = dialog(commands);
  byKey.set("?", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = event.target.closest?.(TYPING);
    if (typing && event.key !== "Escape") return;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    const run = byKey.get(event.key);
    if (!run) return;
    event.preventDefault();
    typing ? typing.blur() : run(event);
  });
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }
}

function dialog(commands) {
  const help = document.createElement("dialog");
  help.setAttribute("aria-label", "Keys");
  const title = Object.assign(document.createElement("h2"), { textContent: "Keys" });
  const list = Object.assign(document.createElement("div"), { className: "keys" });
  for (const [key, said] of [...commands, ["?", "This list"]]) {
    list.append(
      Object.assign(document.createElement("kbd"), { textContent: key === "Escape" ? "Esc" : key }),
      Object.assign(document.createElement("span"), { textContent: said }),
    );
  }
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  form.append(Object.assign(document.createElement("button"), { textContent: "Close" }));
  help.append(title, list, form);
  document.body.append(help);
  return help;
}
