"use strict";
(() => {
  const value = cell => cell.dataset.value ?? cell.textContent.trim().replace(/(\d),(?=\d{3})/g, "$1");
  const number = text => Number.parseFloat(text);

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

  function addButtons(part) {
    for (const table of part.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((heading, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...heading.childNodes);
        heading.append(button);
        button.addEventListener("click", () => sort(table, heading, column));
      });
    }
  }

  function choose(site, part) {
    for (const row of part.querySelectorAll("[data-site]")) row.hidden = site !== "" && row.dataset.site !== site;
  }

  addButtons(document);
  document.addEventListener("renewed", event => {
    addButtons(event.target);
    choose(document.querySelector(".filter select")?.value ?? "", event.target);
  });
  const filter = document.querySelector(".filter");
  if (filter === null) return;
  const said = filter.querySelector("[role=status]");
  filter.hidden = false;
  filter.querySelector("select").addEventListener("change", event => {
    const site = event.target.value;
    choose(site, document);
    said.textContent = site === "" ? "All sites are shown." : `Only ${site} is shown in the tables.`;
  });
})();
