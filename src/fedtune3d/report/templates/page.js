"use strict";
(() => {
  const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, s: 1, min: 60, h: 3600 };
  const UNKNOWN = /^(–|held back|not (defined|shown|corrected).*)?$/;

  function value(cell) {
    const text = (cell.dataset.value ?? cell.textContent).trim().replaceAll("−", "-").replace(/(\d),(?=\d{3})/g, "$1");
    return UNKNOWN.test(text) ? "" : text;
  }

  function number(text) {
    const measured = [...text.matchAll(/([\d.]+) (kB|MB|GB|B|min|h|s)\b/g)];
    if (measured.length === 0 || text.replace(/([\d.]+) (kB|MB|GB|B|min|h|s)\b/g, "").trim() !== "") return Number.parseFloat(text);
    return measured.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit], 0);
  }

  function compare(first, second) {
    const [one, other] = [number(first), number(second)];
    if (Number.isNaN(one) && Number.isNaN(other)) return first.localeCompare(second);
    if (Number.isNaN(one)) return 1;
    return Number.isNaN(other) ? -1 : one - other;
  }

  function sort(table, heading, column) {
    const falling = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const fixed = rows.filter(row => row.classList.contains("summary"));
    const moved = rows.filter(row => !row.classList.contains("summary"));
    const known = row => value(row.cells[column]) !== "";
    moved.sort((one, other) => {
      if (known(one) !== known(other)) return known(one) ? -1 : 1;
      const order = compare(value(one.cells[column]), value(other.cells[column]));
      return falling ? -order : order;
    });
    body.append(...moved, ...fixed);
  }

  function button(text, label) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    if (label) made.setAttribute("aria-label", label);
    return made;
  }

  function addSorting(part) {
    for (const table of part.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((heading, column) => {
        const sorts = button("");
        sorts.append(...heading.childNodes);
        heading.append(sorts);
        sorts.addEventListener("click", () => sort(table, heading, column));
      });
    }
  }

  function enlarge(image) {
    const dialog = document.createElement("dialog");
    const close = button("Close");
    const shown = image.cloneNode();
    dialog.className = "enlarged";
    dialog.setAttribute("aria-label", image.alt);
    const frame = document.createElement("div");
    frame.tabIndex = 0;
    frame.append(shown);
    dialog.append(close, frame);
    document.body.append(dialog);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
  }

  function addEnlarging(part) {
    for (const image of part.querySelectorAll("figure img")) {
      const opens = button("", `Enlarge: ${image.alt}`);
      opens.className = "enlarge";
      image.replaceWith(opens);
      opens.append(image);
      opens.addEventListener("click", () => enlarge(image));
    }
  }

  function copyByHand(text) {
    const selection = getSelection();
    selection.selectAllChildren(text);
    const done = document.execCommand("copy");
    selection.removeAllRanges();
    return done;
  }

  function addCopying(part) {
    for (const text of part.querySelectorAll("pre.copied")) {
      const copies = button("Copy");
      copies.className = "copy";
      text.before(copies);
      copies.addEventListener("click", async () => {
        const done = await navigator.clipboard?.writeText(text.textContent).then(() => true, () => false);
        copies.textContent = done || copyByHand(text) ? "Copied" : "Select the text to copy it";
      });
    }
  }

  function addUnfolding(part) {
    const contents = part.localName === "nav" ? part : part.querySelector("nav.contents");
    if (contents === null) return;
    const all = () => [...document.querySelectorAll("main details")];
    const unfolds = button("Unfold all");
    contents.append(unfolds);
    unfolds.addEventListener("click", () => {
      const open = unfolds.textContent === "Unfold all";
      for (const details of all()) details.open = open;
      unfolds.textContent = open ? "Fold all" : "Unfold all";
    });
  }

  function addScrollSign(part) {
    const sizes = new ResizeObserver(entries => {
      for (const { target } of entries) target.classList.toggle("more", target.scrollWidth > target.clientWidth + 1);
    });
    for (const wide of part.querySelectorAll(".wide")) sizes.observe(wide);
  }

  function prepare(part) {
    addSorting(part);
    addScrollSign(part);
    addEnlarging(part);
    addCopying(part);
    addUnfolding(part);
  }

  prepare(document);
  document.addEventListener("renewed", event => prepare(event.target));
})();
