// Times as the server writes them (app/web/pages/words.py).

const LONGER = [[86_400 * 365, "y"], [86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

export function ago(then, now) {
  const seconds = (now - then) / 1000;
  const span = Math.abs(seconds);
  for (const [unit, name] of LONGER) {
    if (span >= unit) return seconds > 0 ? `${Math.floor(span / unit)} ${name} ago` : `in ${Math.floor(span / unit)} ${name}`;
  }
  return "now";
}

export function moment(iso) {
  return iso.slice(0, 19).replace("T", " ");
}
