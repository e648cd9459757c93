"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)");
  const PAPER = { wide: [650, 340], narrow: [318, 270] }; // pixels, as page.css has them for print
  const UNITS = { k: 1e3, M: 1e6, B: 1e9, G: 1e9, T: 1e12, P: 1e15, E: 1e18, Z: 1e21, min: 60, h: 3600, d: 86400, ms: 1e-3 };
  const drawn = new Set();
  let palettes = {};
  let specs = new Map();
  let soon = null;

  // "@role" and "@role/0.2" anywhere in a chart become colours of the theme.
  function themed(value, palette) {
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => themed(item, palette));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, palette)]));
    }
    if (typeof value !== "string" || value[0] !== "@") return value;
    const [role, opacity] = value.split("/");
    const hex = palette[role];
    if (!hex) return value;
    const alpha = opacity ? Math.round(255 * Number(opacity)).toString(16).padStart(2, "0") : "";
    return hex + alpha;
  }

  // Labels of a logarithmic axis that fit beside each other: of 1-2-5 the ones, else every other, and so on.
  function thinned(axis, room) {
    if (!axis.tickvals || axis.tickvals.length <= room) return axis;
    let kept = axis.tickvals.map((_, index) => index);
    const ones = kept.filter((index) => /^1(?!\d)/.test(axis.ticktext[index]) || /^10+\D?$/.test(axis.ticktext[index]));
    if (ones.length >= 3) kept = ones;
    while (kept.length > room) kept = kept.filter((_, index) => index % 2 === 0);
    return { ...axis, tickvals: kept.map((index) => axis.tickvals[index]), ticktext: kept.map((index) => axis.ticktext[index]) };
  }

  function draw(plot, paper) {
    const palette = palettes[paper || !dark.matches ? "light" : "dark"];
    const spec = themed(specs.get(plot.dataset.chart), palette);
    const isWide = plot.closest("figure").matches(".wide, :only-child");
    const [width, height] = paper ? PAPER[isWide ? "wide" : "narrow"] : [plot.clientWidth, undefined];
    const roomy = width > 640;
    const ink = palette["@ink"], muted = palette["@muted"], grid = palette["@grid"];
    const axis = { gridcolor: grid, linecolor: muted, zeroline: false, ticks: "outside", ticklen: 4, tickcolor: grid, tickfont: { color: muted }, tickangle: 0, automargin: true };
    const title = (own, folds) => {
      const text = folds && !roomy ? own.title.text.replace(" (", "<br>(") : own.title.text; // a phone is not that high
      return { text, font: { size: roomy ? 13 : 12, color: ink }, standoff: 10 };
    };
    const layout = {
      ...spec.layout,
      xaxis: { ...axis, ...thinned(spec.layout.xaxis, Math.max(3, Math.floor((width - 70) / 44))), title: title(spec.layout.xaxis) },
      yaxis: { ...axis, ...spec.layout.yaxis, title: title(spec.layout.yaxis, true) },
      ...(paper ? { width, height } : {}),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
      margin: { l: 56, r: 8, t: 28, b: 44 },
      hovermode: "closest",
      hoverlabel: { bgcolor: palette["@paper"], bordercolor: muted, font: { color: ink, size: 12 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: ink },
      dragmode: touch.matches ? false : "zoom",
      legend: {
        ...spec.layout.legend,
        ...(roomy ? { x: 1.02, y: 1, yanchor: "top" } : { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom" }),
        font: { color: ink, size: 12 },
        title: roomy ? { ...(spec.layout.legend || {}).title, font: { color: muted, size: 12 } } : { text: "" },
        tracegroupgap: 0,
        bgcolor: "rgba(0,0,0,0)",
      },
    };
    Plotly.react(plot, spec.data, layout, {
      displaylogo: false,
      responsive: !paper,
      showTips: false,
      displayModeBar: !touch.matches && !paper,
      modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
      toImageButtonOptions: { filename: plot.dataset.chart, scale: 2 },
    });
    drawn.add(plot);
  }

  // The library waits as text; reading it takes longer than the whole page, so the page is shown first.
  function library() {
    if (typeof Plotly !== "undefined") return true;
    const text = document.getElementById("plotly");
    if (!text) return false;
    const script = document.createElement("script");
    script.textContent = text.textContent;
    document.head.append(script);
    text.remove();
    return typeof Plotly !== "undefined";
  }

  function drawAgain() {
    for (const plot of drawn) draw(plot);
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

  // A term is text found anywhere in the row, or COLUMN=VALUE: that column's whole value, as shown or exact.
  function matches(row, names, term) {
    const [name, value] = term.split("=");
    const column = value === undefined ? -1 : names.indexOf(name);
    if (column < 0) return row.textContent.toLowerCase().includes(term);
    const cell = row.cells[column];
    return cell.textContent.toLowerCase() === value || (value !== "" && Number(cell.dataset.value) === Number(value) && Boolean(cell.dataset.value));
  }

  function filter(tooled) {
    const table = tooled.querySelector("table"), count = tooled.querySelector("output");
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
    const terms = tooled.querySelector("input").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
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
    const rows = [...tooled.querySelectorAll("tr")].filter((row) => !row.hidden);
    const text = rows.map((row) => [...row.cells].map((cell) => quoted(plain(cell.textContent))).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${tooled.dataset.name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Only what scrolls is a stop of the Tab key.
  function tabStops() {
    for (const frame of document.querySelectorAll(".scroll")) {
      const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
      if (scrolls) frame.setAttribute("tabindex", "0");
      else frame.removeAttribute("tabindex");
    }
  }

  // Once when the page opens; again when a watched page has been exchanged for a newer one.
  function start() {
    const found = JSON.parse(document.getElementById("charts").textContent);
    palettes = found.palettes;
    specs = new Map(found.charts.map((chart) => [chart.name, chart]));
    drawn.clear();
    if (soon) soon.disconnect();
    document.querySelectorAll("table.sortable").forEach(makeSortable);
    for (const tooled of document.querySelectorAll(".tooled")) {
      tooled.querySelector("input").addEventListener("input", () => filter(tooled));
      const button = tooled.querySelector("button.csv");
      if (button) button.addEventListener("click", () => csv(tooled));
    }
    tabStops();
    soon = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || drawn.has(entry.target)) continue;
        soon.unobserve(entry.target);
        setTimeout(() => { if (library() && entry.target.isConnected) draw(entry.target); }, 0); // after the page is shown
      }
    }, { rootMargin: "600px 0px" });
    document.querySelectorAll(".plot").forEach((plot) => soon.observe(plot));
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
    if (library()) document.querySelectorAll(".plot").forEach((plot) => draw(plot, true));
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => { one.open = false; });
    drawAgain();
  });
  window.addEventListener("resize", tabStops);
  document.addEventListener("toggle", tabStops, true);
  dark.addEventListener("change", drawAgain);
  window.lawful = { start, sort, filter };
  start();
})();
