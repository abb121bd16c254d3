// A row of a list that is chosen with the keyboard. It is remembered by its id, because rows come in above it.

export class Rows {
  #id = null;

  get all() {
    return [...document.querySelectorAll("table.rows tbody tr")];
  }

  get current() {
    return this.#id && document.getElementById(this.#id);
  }

  get ticked() {
    return this.all.filter((row) => row.querySelector("input:checked"));
  }

  move(steps) {
    const rows = this.all;
    if (!rows.length) return;
    const at = rows.indexOf(this.current);
    this.choose(rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + steps))]);
  }

  choose(row) {
    this.current?.classList.remove("here");
    this.#id = row?.id ?? null;
    row?.classList.add("here");
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("a[href]")?.focus({ preventScroll: true });
  }

  open() {
    const href = this.current?.dataset.href;
    if (href) location.assign(href);
  }

  tick() {
    const box = this.current?.querySelector("td.tick input");
    if (!box) return;
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
