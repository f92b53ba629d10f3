"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // A heading sorts its column: numbers by their value, largest first, texts by the alphabet.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const compare = (one, other, sign) => {
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1; // cells without a number come last
    if (typeof one === "number") return sign * (one - other);
    return sign * one.localeCompare(other, undefined, { numeric: true });
  };
  for (const button of all("table.sortable thead button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th"), table = button.closest("table"), column = heading.cellIndex;
      const rows = [...table.tBodies[0].rows];
      const numbers = rows.some((row) => typeof valueOf(row, column) === "number");
      const now = heading.getAttribute("aria-sort");
      const direction = now ? (now === "ascending" ? "descending" : "ascending") : (numbers ? "descending" : "ascending");
      all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      rows.sort((one, other) => compare(valueOf(one, column), valueOf(other, column), sign));
      table.tBodies[0].append(...rows);
    });
  }

  // A number marks all runs that it comes from.
  for (const link of all("a.trace")) {
    link.addEventListener("click", () => {
      all("tbody.traced").forEach((body) => body.classList.remove("traced"));
      const anchors = (link.dataset.sources || link.hash.slice(1)).split(" ");
      anchors.forEach((anchor) => document.getElementById(anchor).classList.add("traced"));
    });
  }

  // Data sets are tabs: arrow keys, Home and End go through them.
  const tabs = all("[role=tab]");
  const select = (tab, focus) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", chosen);
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
  };
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => select(tab, false));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const target = { ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place === 0 ? last : place - 1, Home: 0, End: last }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      select(tabs[target], true);
    });
  });
  if (tabs.length) select(tabs[0], false);

  // Method and shots choose a panel.
  for (const section of all("section.dataset")) {
    const method = section.querySelector("select.method"), shots = section.querySelector("select.shots");
    const show = () => {
      let found = false;
      for (const panel of all(".panel", section)) {
        const chosen = panel.dataset.method === method.value && panel.dataset.shots === shots.value;
        panel.hidden = !chosen;
        found = found || chosen;
      }
      section.querySelector(".none").classList.toggle("shown", !found);
    };
    method.addEventListener("change", show);
    shots.addEventListener("change", show);
    show();
  }

  // Paper can't unfold anything.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
})();
