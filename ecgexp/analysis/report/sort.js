"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const key = (body, column) => {
    const cell = body.rows[0].cells[column];
    const text = (cell.dataset.key ?? cell.textContent).trim();
    const number = Number(text);
    return text === "" || Number.isNaN(number) ? text : number;
  };
  const order = (a, b) => {
    if (typeof a === typeof b && typeof a === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const is_up = head.getAttribute("aria-sort") === "descending" ||
        (!head.hasAttribute("aria-sort") && !head.classList.contains("score"));
      const bodies = [...table.tBodies].map((body) => [key(body, column), body]);
      bodies.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        return is_up ? order(a, b) : order(b, a);
      });
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", is_up ? "ascending" : "descending");
      for (const [, body] of bodies) table.insertBefore(body, table.tFoot);
    });
  });
}
