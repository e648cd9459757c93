"use strict";
(() => {
  const UNITS = { k: 1e3, m: 1e6, b: 1e9, g: 1e9, t: 1e12, M: 1e6, B: 1e9, G: 1e9, T: 1e12, P: 1e15, E: 1e18, Z: 1e21, min: 60, h: 3600, d: 86400, ms: 1e-3 };

  const near = 24; // pixels from a mark or a line within which it is the one that is meant

  // A value on an axis as the axis writes it: 12.3k, 4.56M; FLOPs in G, T, P, and 1e18.
  function short(value, isFlops) {
    if (isFlops && value >= 1e18) return Number(value.toPrecision(3)).toExponential().replace("e+", "e");
    const units = isFlops ? [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] : [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
    const [unit, name] = units.find(([size]) => Math.abs(value) >= size) || [1, ""];
    return `${Number((value / unit).toPrecision(name ? 3 : 4))}${name}`;
  }

  // Of a plot: a function from a share of an axis to its value in words.
  function axis(text) {
    const [low, high, scale, kind] = text.split(" "), [from, to] = [Number(low), Number(high)];
    return (share) => short(scale === "log" ? from * (to / from) ** share : from + share * (to - from), kind === "flops");
  }

  // What is drawn, as places in pixels of the plot: marks, and the corners of lines.
  function places(plot) {
    const area = plot.querySelector(".area").getBoundingClientRect();
    const own = { left: area.left - plot.getBoundingClientRect().left, top: area.top - plot.getBoundingClientRect().top };
    const found = [];
    for (const mark of plot.querySelectorAll(".marks use")) {
      if (mark.closest(".is-off")) continue;
      found.push({ node: mark, x: parseFloat(mark.getAttribute("x")) / 100 * area.width, y: parseFloat(mark.getAttribute("y")) / 100 * area.height });
    }
    const lines = [];
    for (const path of plot.querySelectorAll(".paths .line:not(.is-off)")) {
      const corners = path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(",").map(Number));
      lines.push({ node: path, corners: corners.map(([x, y]) => [x / 1000 * area.width, y / 1000 * area.height]) });
    }
    return { own, area, marks: found, lines };
  }

  // The nearest mark, else the nearest line at the corner that is nearest.
  function meant(seen, x, y) {
    let best = null, least = near;
    for (const mark of seen.marks) {
      const far = Math.hypot(mark.x - x, mark.y - y);
      if (far < least) [best, least] = [mark, far];
    }
    if (best) return best;
    for (const line of seen.lines) {
      for (const [left, top] of line.corners) {
        const far = Math.hypot(left - x, top - y);
        if (far < least) [best, least] = [{ node: line.node, x: left, y: top }, far];
      }
    }
    return best;
  }

  function words(plot, seen, at) {
    const said = at.node.querySelector("title");
    const text = at.node.dataset.says || (said ? said.textContent : "");
    if (!at.node.matches(".line")) return text;
    return `${text}\nat ${axis(plot.dataset.x)(at.x / seen.area.width)}: ${axis(plot.dataset.y)(1 - at.y / seen.area.height)}`;
  }

  function tell(plot, seen, at) {
    plot.querySelectorAll(".is-at").forEach((one) => one.classList.remove("is-at"));
    let tip = plot.querySelector(".tip");
    if (!at) return tip && tip.remove();
    at.node.classList.add("is-at");
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("role", "status");
      plot.append(tip);
    }
    tip.textContent = words(plot, seen, at);
    const left = seen.own.left + at.x, top = seen.own.top + at.y;
    tip.style.left = `${Math.max(0, left + 14 + tip.offsetWidth > plot.clientWidth ? left - 14 - tip.offsetWidth : left + 14)}px`;
    tip.style.top = `${Math.max(0, Math.min(top - tip.offsetHeight / 2, plot.clientHeight - tip.offsetHeight))}px`;
  }

  // The pointer names what is near; of the keys, the arrows go from mark to mark from left to right.
  function makeTold(plot) {
    for (const title of plot.querySelectorAll(".area title")) { // else the browser shows it, too
      title.parentNode.dataset.says = title.textContent;
      title.remove();
    }
    let index = -1;
    const over = (event) => {
      const seen = places(plot);
      return [seen, meant(seen, event.clientX - seen.area.left, event.clientY - seen.area.top)];
    };
    plot.addEventListener("pointermove", (event) => tell(plot, ...over(event)));
    plot.addEventListener("pointerdown", (event) => tell(plot, ...over(event)));
    plot.addEventListener("pointerleave", () => tell(plot, null, null));
    plot.addEventListener("focusout", () => tell(plot, null, null));
    plot.addEventListener("click", (event) => {
      const at = over(event)[1];
      if (at && at.node.dataset.run) choose(at.node.dataset.run);
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const seen = places(plot), marks = seen.marks.sort((a, b) => a.x - b.x || a.y - b.y);
      if (step && marks.length) {
        index = (index + step + marks.length) % marks.length;
        tell(plot, seen, marks[index]);
      } else if (event.key === "Enter" && marks[index] && marks[index].node.dataset.run) choose(marks[index].node.dataset.run);
      else if (event.key === "Escape") tell(plot, null, null);
      else return;
      event.preventDefault();
    });
  }

  // An entry of a legend shows and hides all that shares its key.
  function toggle(button) {
    const isOn = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(isOn));
    for (const one of button.closest("figure").querySelectorAll(".plot [data-legend]")) {
      if (one.dataset.legend === button.dataset.legend) one.classList.toggle("is-off", !isOn);
    }
  }

  function number(text) {
    const found = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/^[^\d+-]*([+-]?\d[\d.]*(?:e[+-]?\d+)?)\s*([A-Za-z]*)/);
    if (!found) return NaN;
    return Number(found[1]) * (UNITS[found[2]] || (/^[kMGTPEZ](FLOP|i?B)/.test(found[2]) ? UNITS[found[2][0]] : 1));
  }

  function key(cell) {
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    return cell.classList.contains("right") ? number(cell.textContent) : cell.textContent;
  }

  function compare(a, b) {
    if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), "en", { numeric: true });
    if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : Infinity; // empty cells last, either way
    return Number.isNaN(b) ? -Infinity : a - b;
  }

  function sort(table, column, direction) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", direction);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const order = compare(key(a.cells[column]), key(b.cells[column]));
      return direction === "descending" && Number.isFinite(order) ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        sort(table, column, header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
      });
    });
  }

  // A term is text found anywhere in the row, or COLUMN and one of = != < <= > >= and a value: of text as shown, of
  // numbers the exact one, with 16k or 1.2M as units.
  function matches(row, names, term) {
    const found = term.match(/^(.+?)(<=|>=|!=|=|<|>)(.*)$/), column = found ? names.indexOf(found[1]) : -1;
    if (column < 0) return row.textContent.toLowerCase().includes(term);
    const cell = row.cells[column], [, , sign, value] = found, wanted = number(value);
    const exact = cell.dataset.value ? Number(cell.dataset.value) : number(cell.textContent);
    const isSame = cell.textContent.toLowerCase() === value || (value !== "" && exact === Number(value)) || (value !== "" && exact === wanted);
    if (sign === "=" || sign === "!=") return isSame === (sign === "=");
    return { "<": exact < wanted, "<=": exact <= wanted, ">": exact > wanted, ">=": exact >= wanted }[sign];
  }

  function filter(tooled) {
    const table = tooled.querySelector("table"), count = tooled.querySelector("output");
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
    const text = tooled.querySelector("input").value.toLowerCase().replace(/\s*(<=|>=|!=|=|<|>)\s*/g, "$1");
    const terms = text.split(/[\s,]+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !terms.every((term) => matches(row, names, term));
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  }

  function csv(tooled) {
    // an apostrophe keeps a spreadsheet from taking a text for a formula; numbers, with or without a unit, are none
    const isNumber = (text) => /^[+\-][\d.,e+\-]+( [%A-Za-z/]{1,8})?$/.test(text);
    const begins = /(^|[;|\t\r\n])(?='*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])/g;  // as in table.py
    const plain = (text) => (isNumber(text) ? text : text.replace(begins, "$1'"));
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    save(shown(tooled).map((row) => row.map((text) => quoted(plain(text))).join(",")).join("\n") + "\n", `${tooled.dataset.name}.csv`, "text/csv");
  }

  // The texts of the rows and columns that are shown, the header first.
  function shown(tooled) {
    const rows = [...tooled.querySelectorAll("tr")].filter((row) => !row.hidden);
    return rows.map((row) => [...row.cells].filter((cell) => !cell.hidden).map((cell) => cell.textContent.trim()));
  }

  function asMarkdown(tooled) {
    const [head, ...rows] = shown(tooled).map((row) => row.map((text) => text.replace(/[\\|`*_[\]<>]/g, "\\$&").replace(/\s+/g, " ")));
    return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n";
  }

  function asLatex(tooled) {
    const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    const escaped = (text) => text.replace(/[\\~^&%$#_{}]/g, (sign) => special[sign] || `\\${sign}`).replace(/−/g, "$-$").replace(/–/g, "--");
    const [head, ...rows] = shown(tooled).map((row) => `${row.map(escaped).join(" & ")} \\\\`);
    const columns = "l".repeat(shown(tooled)[0].length);
    return `\\begin{tabular}{${columns}}\n\\hline\n${head}\n\\hline\n${rows.join("\n")}\n\\hline\n\\end{tabular}\n`;
  }

  function save(content, name, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // A packed table is saved unpacked.
  async function saveUnpacked(event) {
    if (!window.DecompressionStream) return; // the link saves the packed file
    event.preventDefault();
    const [, packed] = event.currentTarget.href.split(","), name = event.currentTarget.download.replace(/\.gz$/, "");
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    save(await new Response(unpacked).blob(), name, "text/csv");
  }

  // To the clipboard; where the browser forbids it, as a file.
  async function copy(button, text, name) {
    const was = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = was; }, 1500);
    } catch {
      save(text, name, "text/plain");
    }
  }

  function button(text, does) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "quiet";
    made.textContent = text;
    made.addEventListener("click", () => does(made));
    return made;
  }

  // A list of the columns: the ones without a tick are hidden, in copies too.
  function columnChooser(table) {
    const chooser = document.createElement("details");
    chooser.className = "columns-of";
    chooser.innerHTML = "<summary>Columns</summary>";
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => { for (const row of table.rows) row.cells[column].hidden = !box.checked; });
      label.append(box, ` ${header.textContent}`);
      chooser.append(label);
    });
    return chooser;
  }

  function addTools(tooled) {
    const tools = tooled.querySelector(".tools"), name = tooled.dataset.name;
    if (tools.querySelector(".quiet")) return;
    tools.append(
      columnChooser(tooled.querySelector("table")),
      button("Copy as Markdown", (one) => copy(one, asMarkdown(tooled), `${name}.md`)),
      button("Copy as LaTeX", (one) => copy(one, asLatex(tooled), `${name}.tex`)),
    );
  }

  function savePicture(figure, kind) {
    const { text, width, height } = window.lawfulPicture(figure), name = figure.querySelector(".plot").dataset.chart;
    if (kind === "svg") return save(text, `${name}.svg`, "image/svg+xml");
    const image = new Image(), address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * width, 2 * height];
      canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
      URL.revokeObjectURL(address);
      canvas.toBlob((blob) => save(blob, `${name}.png`, "image/png"));
    };
    image.src = address;
  }

  // The marks of a figure as rows, and of each line that has a name a few places: what it shows, as text.
  function rowsOf(figure) {
    const plot = figure.querySelector(".plot"), seen = places(plot);
    const [across, up] = [axis(plot.dataset.x), axis(plot.dataset.y)];
    const named = Object.fromEntries([...figure.querySelectorAll(".legend button")].map((entry) => [entry.dataset.legend, entry.textContent]));
    const row = (node, x, y, text) => [named[node.closest("[data-legend]")?.dataset.legend] || "", across(x / seen.area.width), up(1 - y / seen.area.height), text];
    const marks = seen.marks.map(({ node, x, y }) => row(node, x, y, (node.dataset.says || "").replace(/\n/g, ", ")));
    const lines = seen.lines.filter(({ node }) => !node.dataset.run).flatMap(({ node, corners }) => {
      const every = Math.max(1, Math.ceil(corners.length / 9));
      return corners.filter((_, k) => k % every === 0).map(([x, y]) => row(node, x, y, node.dataset.says || "line"));
    });
    return [["", plot.querySelector(".title.x").textContent, plot.querySelector(".title").textContent, ""], ...marks, ...lines];
  }

  // Opens and closes the table under a figure.
  function showTable(figure, opener) {
    const old = figure.querySelector(".figure-table");
    opener.setAttribute("aria-expanded", String(!old));
    if (old) return old.remove();
    const frame = document.createElement("div"), table = document.createElement("table");
    frame.className = "figure-table";
    frame.tabIndex = 0;
    frame.dataset.name = figure.querySelector(".plot").dataset.chart;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "The chart as a table");
    rowsOf(figure).forEach((cells, k) => {
      const row = (k ? table.tBodies[0] || table.createTBody() : table.createTHead()).insertRow();
      for (const text of cells) {
        const cell = document.createElement(k ? "td" : "th");
        cell.textContent = text;
        row.append(cell);
      }
    });
    frame.append(button("Download as CSV", () => csv(frame)), table);
    figure.append(frame);
  }

  function addFigureTools(figure) {
    if (figure.querySelector(".figure-tools")) return;
    const tools = document.createElement("p"), link = document.createElement("a");
    tools.className = "figure-tools";
    link.href = `#${figure.id}`;
    link.textContent = "Link";
    const opener = button("Table", (one) => showTable(figure, one));
    opener.setAttribute("aria-expanded", "false");
    tools.append(opener, button("SVG", () => savePicture(figure, "svg")), button("PNG", () => savePicture(figure, "png")), link);
    figure.append(tools);
  }

  // Of a run: its curve and its marks in every chart, its row as a list, its folder.
  function choose(run) {
    document.querySelectorAll(".is-chosen").forEach((one) => one.classList.remove("is-chosen"));
    const old = document.getElementById("chosen");
    if (old) old.remove();
    for (const one of document.querySelectorAll(".area [data-run]")) {
      if (one.dataset.run === run) one.classList.add("is-chosen");
    }
    const row = [...document.querySelectorAll("#runs tr[data-run]")].find((one) => one.dataset.run === run);
    if (!row) return;
    const table = row.closest("table"), panel = document.createElement("aside"), list = document.createElement("dl");
    panel.id = "chosen";
    panel.setAttribute("aria-label", `Run ${run}`);
    panel.tabIndex = -1;
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const name = document.createElement("dt"), value = document.createElement("dd");
      name.textContent = header.textContent;
      value.textContent = row.cells[column].textContent;
      if (value.textContent.trim()) list.append(name, value);
    });
    panel.append(button("Close", () => { panel.remove(); choose(""); }), list);
    if (row.dataset.folder) {
      const link = document.createElement("a");
      link.href = row.dataset.folder;
      link.textContent = `Its folder, ${row.dataset.folder}`;
      panel.append(link);
    }
    const chart = document.querySelector(".line.is-chosen");
    if (chart) {
      const link = document.createElement("a");
      link.href = `#${chart.closest("figure").id}`;
      link.textContent = "Its curve";
      panel.append(link);
    }
    document.body.append(panel);
    panel.focus({ preventScroll: true });
    panel.addEventListener("keydown", (event) => { if (event.key === "Escape") panel.querySelector("button").click(); });
  }

  // Only what scrolls is a stop of the Tab key.
  function tabStops() {
    for (const frame of document.querySelectorAll(".scroll")) {
      const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
      if (scrolls) frame.setAttribute("tabindex", "0");
      else frame.removeAttribute("tabindex");
    }
  }

  // The run and the text of every mark stand once in the page.
  function tellMarks() {
    const said = JSON.parse(document.getElementById("said").textContent);
    for (const mark of document.querySelectorAll(".marks [data-says]")) {
      const [run, text] = said[mark.dataset.says] || ["", ""];
      if (run) mark.dataset.run = run;
      mark.dataset.says = text;
    }
  }

  // Once when the page opens; again when a watched page has been exchanged for a newer one.
  function start() {
    tellMarks();
    document.querySelectorAll(".plot").forEach(makeTold);
    for (const entry of document.querySelectorAll(".legend button")) entry.addEventListener("click", () => toggle(entry));
    document.querySelectorAll("table.sortable").forEach(makeSortable);
    for (const tooled of document.querySelectorAll(".tooled")) {
      tooled.querySelector("input").addEventListener("input", () => filter(tooled));
      const asCsv = tooled.querySelector("button.csv");
      if (asCsv) asCsv.addEventListener("click", () => csv(tooled));
      addTools(tooled);
    }
    for (const figure of document.querySelectorAll("figure:has(.plot)")) addFigureTools(figure);
    for (const link of document.querySelectorAll("a[download$='.gz']")) link.addEventListener("click", saveUnpacked);
    for (const row of document.querySelectorAll("#runs tr[data-run]")) row.addEventListener("click", () => choose(row.dataset.run));
    tabStops();
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => { one.open = false; });
  });
  window.addEventListener("resize", tabStops);
  document.addEventListener("toggle", tabStops, true);
  window.lawful = { start, sort, filter };
  start();
})();
