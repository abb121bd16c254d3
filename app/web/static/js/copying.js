// Copying, and saying that it was done.

const SAID_MS = 1_500;

export async function copy(text, button) {
  await write(text);
  if (!button || button.dataset.said) return;
  button.dataset.said = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = button.dataset.said;
    delete button.dataset.said;
  }, SAID_MS);
}

// The clipboard of scripts exists on https and on localhost alone.
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
