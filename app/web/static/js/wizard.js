// The URL for the provider, while the name and the password are still being typed (app/web/pages/proofs.py).

const nameForm = document.querySelector("[data-name-form]");
const keyForm = document.querySelector("[data-key-form]");
const nameField = nameForm.elements.name;

function valueOf(name) {
  return keyForm.elements[`secret.${name}`]?.value.trim() ?? "";
}

function filled(template) {
  const basic = encodeURIComponent(valueOf("basic_auth")).replaceAll("%3A", ":");
  const token = valueOf("token");
  const text = template.replace("NAMEHERE", nameField.value).replace("BASICHERE@", basic ? `${basic}@` : "");
  if (!token && template.includes("?")) return text.split("?")[0];
  return text.replace("TOKENHERE", template.includes("?") ? encodeURIComponent(token) : token);
}

function show() {
  keyForm.elements.name.value = nameField.value;
  for (const place of document.querySelectorAll("[data-template]")) place.textContent = filled(place.dataset.template);
  const headers = document.querySelector("[data-headers]");
  if (headers) headers.hidden = !valueOf("token");
}

nameForm.querySelector("[data-shows-url]").hidden = true;
nameForm.addEventListener("submit", (event) => event.preventDefault());
nameForm.addEventListener("input", show);
keyForm.addEventListener("input", show);
show();
