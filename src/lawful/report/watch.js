"use strict";
// Follows a study that runs: asks for its state, and exchanges the page for a newer one without moving it.
(() => {
  const line = document.getElementById("live");
  let version = Number(line.dataset.version);

  function placed() {
    const section = [...document.querySelectorAll("section[id]")].find((one) => one.getBoundingClientRect().bottom > 0);
    return section && window.scrollY > 0 ? { id: section.id, top: section.getBoundingClientRect().top } : null;
  }

  const name = (one) => `${(one.closest("[id]") || one).id}/${one.querySelector("summary").textContent.replace(/\d+/g, "")}`;

  // What the reader has done to the page: opened, filtered, sorted, and where the cursor is.
  function doings() {
    const tables = [...document.querySelectorAll("table.sortable")].map((table) => {
      const header = table.querySelector("th[aria-sort]"), tooled = table.closest(".tooled");
      return {
        title: table.caption.textContent,
        column: header ? header.cellIndex : -1,
        direction: header && header.getAttribute("aria-sort"),
        filter: tooled ? tooled.querySelector("input").value : "",
        hasFocus: Boolean(tooled) && tooled.querySelector("input") === document.activeElement,
        left: table.parentElement.scrollLeft,
        top: table.parentElement.scrollTop,
      };
    });
    return { tables, open: new Set([...document.querySelectorAll("details[open]")].map(name)) };
  }

  function redo({ tables, open }) {
    for (const one of document.querySelectorAll("details")) if (open.has(name(one))) one.open = true;
    for (const was of tables) {
      const table = [...document.querySelectorAll("table.sortable")].find((one) => one.caption.textContent === was.title);
      if (!table) continue;
      if (was.column >= 0) window.lawful.sort(table, was.column, was.direction);
      const tooled = table.closest(".tooled");
      if (tooled && was.filter) {
        tooled.querySelector("input").value = was.filter;
        window.lawful.filter(tooled);
      }
      if (tooled && was.hasFocus) tooled.querySelector("input").focus({ preventScroll: true });
      table.parentElement.scrollTo({ left: was.left, top: was.top, behavior: "instant" });
    }
  }

  function exchange(next) {
    if ([document, next].some((one) => one.querySelector("[data-starts-anew]"))) return location.reload(); // its script must
    const at = placed(), done = doings();
    for (const part of ["main", "footer", "#palette"]) document.querySelector(part).replaceWith(document.adoptNode(next.querySelector(part)));
    document.title = next.title;
    window.lawful.start();
    window.lawfulCalculator();
    redo(done);
    const section = at && document.getElementById(at.id);
    if (section) window.scrollBy({ top: section.getBoundingClientRect().top - at.top, behavior: "instant" });
    version = Number(next.getElementById("live").dataset.version);
  }

  async function follow() {
    try {
      const now = await (await fetch("/now")).json();
      if (line.textContent !== now.line) line.textContent = now.line;
      if (now.version !== version) exchange(new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html"));
    } catch {
      line.textContent = "No longer watched: this is the last page there was. `lawful watch` goes on with it.";
    }
    setTimeout(follow, 2000);
  }
  follow();
})();
