"use strict";
(() => {
  // The hosts: every row is in a data block; a page of them at a time is in the document.
  const block = document.getElementById("hosts-data");
  if (block) {
    const rows = JSON.parse(block.textContent);
    const table = document.getElementById("hosts-table");
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const search = document.getElementById("hosts-search");
    const said = document.getElementById("hosts-said");
    const [before, after] = ["hosts-before", "hosts-after"].map((name) => document.getElementById(name));
    const size = 25;
    let shown = rows, page = 0, column = 1, down = true;
    const count = new Intl.NumberFormat("en");
    const bytes = (number) => {
      const units = ["B", "KiB", "MiB", "GiB", "TiB"];
      let unit = 0;
      while (number >= 1024 && unit < 4) { number /= 1024; unit += 1; }
      return (unit ? number.toFixed(1) : number.toFixed(0)) + " " + units[unit];
    };
    const text = (value, place) => {
      if (place === 0) return value;
      if (place === 7) return bytes(value);
      if (place === 8) return value < 0 ? "–" : count.format(Math.round(value)) + " ms";
      return count.format(value);
    };
    const draw = () => {
      const pages = Math.max(1, Math.ceil(shown.length / size));
      page = Math.min(Math.max(page, 0), pages - 1);
      const part = document.createDocumentFragment();
      for (const row of shown.slice(page * size, (page + 1) * size)) {
        const line = document.createElement("tr");
        row.forEach((value, place) => {
          const cell = document.createElement(place ? "td" : "th");
          if (place) cell.className = "n"; else cell.scope = "row";
          cell.textContent = text(value, place);
          line.append(cell);
        });
        part.append(line);
      }
      body.replaceChildren(part);
      before.disabled = page === 0;
      after.disabled = page === pages - 1;
      const first = shown.length ? page * size + 1 : 0;
      said.textContent = count.format(first) + " to " + count.format(Math.min((page + 1) * size, shown.length)) +
        " of " + count.format(shown.length) + (shown.length === 1 ? " host" : " hosts");
    };
    const order = () => {
      const sign = down ? -1 : 1;
      shown.sort((a, b) => {
        const [x, y] = [a[column], b[column]];
        return sign * (x < y ? -1 : x > y ? 1 : 0) || (a[0] < b[0] ? -1 : 1);
      });
      heads.forEach((head, place) => {
        head.setAttribute("aria-sort", place === column ? (down ? "descending" : "ascending") : "none");
      });
      draw();
    };
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        down = place === column ? !down : place > 0;
        column = place;
        page = 0;
        order();
      });
    });
    search.addEventListener("input", () => {
      const word = search.value.trim().toLowerCase();
      shown = word ? rows.filter((row) => row[0].toLowerCase().includes(word)) : rows.slice();
      page = 0;
      order();
    });
    before.addEventListener("click", () => { page -= 1; draw(); });
    after.addEventListener("click", () => { page += 1; draw(); });
    document.getElementById("hosts-tools").hidden = false;
    shown = rows.slice();
    order();
  }
  // The link graph: what leads to and from the host that is pointed at.
  for (const plot of document.querySelectorAll(".links-plot .plot")) {
    const edges = [...plot.querySelectorAll(".edge")], nodes = [...plot.querySelectorAll(".node")];
    for (const node of nodes) {
      node.addEventListener("pointerenter", () => {
        const own = node.dataset.node, near = new Set([own]);
        for (const edge of edges) {
          const on = edge.dataset.from === own || edge.dataset.to === own;
          edge.classList.toggle("on", on);
          if (on) near.add(edge.dataset.from).add(edge.dataset.to);
        }
        for (const each of nodes) each.classList.toggle("on", near.has(each.dataset.node));
        plot.classList.add("focus");
      });
      node.addEventListener("pointerleave", () => plot.classList.remove("focus"));
    }
  }
})();
