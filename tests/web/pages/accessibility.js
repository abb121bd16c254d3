// What tests/web/pages/accessibility.py asks a page. Each function lists what is wrong.

const shown = (element) => element.checkVisibility({visibilityProperty: true}) && !element.closest("[hidden]");
const where = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 140);
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;

// Names, headings, landmarks, tables and ids.
function structure() {
  const found = [];
  const text = (element) => {
    if (!element || element.getAttribute("aria-hidden") === "true") return "";
    const label = element.getAttribute?.("aria-label")?.trim();
    if (label) return label;
    const parts = [...element.childNodes].map((node) => node.nodeType === 3 ? node.data
      : node.nodeType === 1 && !node.matches("input, select, textarea") ? text(node) : "");
    return (parts.join(" ").trim() || element.getAttribute("alt") || "").trim();
  };
  const name = (element) => {
    const by = element.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => text(document.getElementById(id))).join(" ").trim();
    const label = element.getAttribute("aria-label")?.trim();
    return label || [...(element.labels ?? [])].map(text).join(" ").trim();
  };
  const wanted = (holds, what) => holds || found.push(what);

  wanted(document.documentElement.lang, "the page has no language");
  wanted(document.title.trim(), "the page has no title");
  wanted(all("h1").length === 1, `${all("h1").length} headings of the first level`);
  wanted(all("main").length === 1, "not one main landmark");
  wanted(all("nav").length, "no navigation");
  for (const nav of all("nav")) wanted(name(nav), `a navigation without a name: ${where(nav)}`);
  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const here = Number(heading.tagName[1]);
    wanted(here <= level + 1, `from heading ${level} to ${here}: ${where(heading)}`);
    wanted(text(heading), `an empty heading: ${where(heading)}`);
    level = here;
  }
  for (const control of all("input:not([type=hidden]), select, textarea, progress"))
    wanted(name(control), `a field without a name: ${where(control)}`);
  for (const element of all("a[href], button, summary, [role=button]"))
    wanted(element.ariaHidden === "true" || name(element) || text(element), `nothing to call it by: ${where(element)}`);
  for (const element of all("img, svg, [role=img]"))
    wanted(element.closest("[aria-hidden=true]") || name(element) || element.getAttribute("alt") ||
      element.querySelector("title")?.textContent, `a picture without words: ${where(element)}`);
  for (const table of all("table")) {
    wanted(table.querySelector("th"), `a table without headers: ${where(table)}`);
    for (const header of table.querySelectorAll("th"))
      wanted(header.textContent.trim(), `an empty header: ${where(table.querySelector("tr"))}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) found.push(`twice the id ${id}`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"])
    for (const element of document.querySelectorAll(`[${attribute}]`))
      for (const id of element.getAttribute(attribute).split(" "))
        wanted(document.getElementById(id), `${attribute} leads nowhere: ${where(element)}`);
  for (const element of document.querySelectorAll("[tabindex]"))
    wanted(element.tabIndex <= 0, `out of the order: ${where(element)}`);
  for (const element of document.querySelectorAll("[aria-hidden=true]"))
    for (const inside of [element, ...element.querySelectorAll("a[href], button, input, select, textarea")])
      wanted(inside.tabIndex < 0, `hidden, but reached: ${where(inside)}`);
  return found;
}

// Whether what can be reached shows that it has the focus; the last key must have been Tab.
function focus() {
  const found = [];
  for (const element of all("a[href], button, summary, input, select, textarea, [tabindex='0']")) {
    if (element.disabled || element.tabIndex < 0) continue;
    element.focus({preventScroll: true});
    if (document.activeElement !== element) { found.push(`not to be focused: ${where(element)}`); continue; }
    const style = getComputedStyle(element);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    if (!outlined && style.boxShadow === "none") found.push(`focus is not seen: ${where(element)}`);
  }
  document.activeElement.blur();
  return found;
}

// Text, and hints in fields, against what is really behind them: 4.5 to 1.
function contrast() {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const colour = (words) => {
    if (!known.has(words)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = words;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(words, [r, g, b, a / 255]);
    }
    return known.get(words);
  };
  const over = (front, back, opacity = 1) => {
    const a = front[3] * opacity;
    return [0, 1, 2].map((at) => front[at] * a + back[at] * (1 - a)).concat(1);
  };
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = colour(getComputedStyle(at).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduceRight((back, front) => over(front, back), colour("Canvas"));
  };
  const opacity = (element) => {
    let all = 1;
    for (let at = element; at; at = at.parentElement) all *= Number(getComputedStyle(at).opacity);
    return all;
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + .05) / (less + .05);
  };
  const found = new Set();
  const check = (element, style, faded, said) => {
    const back = background(element);
    const measured = ratio(over(colour(style.color), back, faded), back);
    if (measured < 4.5) found.add(`${measured.toFixed(2)}: "${said.slice(0, 40)}" in ${where(element).slice(0, 90)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const said = walker.currentNode.data.trim();
    if (!said || seen.has(element) || !shown(element) || element.closest(":disabled, script, style, svg")) continue;
    seen.add(element);
    check(element, getComputedStyle(element), opacity(element), said);
  }
  for (const field of all("input:not([type=hidden]), textarea, select")) {
    if (field.disabled) continue;
    check(field, getComputedStyle(field), opacity(field), field.value ?? "");
    const hint = getComputedStyle(field, "::placeholder");
    if (field.placeholder) check(field, hint, Number(hint.opacity), field.placeholder);
  }
  return [...found];
}
