"use strict";
(() => {
  const { palettes, charts } = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)");
  const specs = new Map(charts.map((chart) => [chart.name, chart]));
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();

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

  function draw(plot, theme) {
    const palette = palettes[theme || (dark.matches ? "dark" : "light")];
    const spec = themed(specs.get(plot.dataset.chart), palette);
    const roomy = plot.clientWidth > 640;
    const ink = palette["@ink"], muted = palette["@muted"], grid = palette["@grid"];
    const axis = { gridcolor: grid, linecolor: muted, zeroline: false, ticks: "outside", ticklen: 4, tickcolor: grid, tickfont: { color: muted }, automargin: true };
    const title = (own) => ({ ...own.title, font: { size: 13, color: ink }, standoff: 10 });
    const layout = {
      ...spec.layout,
      xaxis: { ...axis, ...spec.layout.xaxis, title: title(spec.layout.xaxis) },
      yaxis: { ...axis, ...spec.layout.yaxis, title: title(spec.layout.yaxis) },
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
        ...(roomy ? { x: 1.02, y: 1, yanchor: "top" } : { orientation: "h", x: 0, y: -0.22, yanchor: "top" }),
        font: { color: ink, size: 12 },
        title: roomy ? { ...(spec.layout.legend || {}).title, font: { color: muted, size: 12 } } : { text: "" },
        tracegroupgap: 0,
        bgcolor: "rgba(0,0,0,0)",
      },
    };
    Plotly.react(plot, spec.data, layout, {
      displaylogo: false,
      responsive: true,
      showTips: false,
      displayModeBar: !touch.matches,
      modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
      toImageButtonOptions: { filename: plot.dataset.chart, scale: 2 },
    });
    drawn.add(plot);
  }

  function drawAgain(theme) {
    for (const plot of drawn) draw(plot, theme);
  }

  if (typeof Plotly !== "undefined") {
    const soon = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || drawn.has(entry.target)) continue;
        soon.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "600px 0px" });
    plots.forEach((plot) => soon.observe(plot));
    dark.addEventListener("change", () => drawAgain());
    window.addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot, "light")));
    window.addEventListener("afterprint", () => drawAgain());
  }

  const table = document.getElementById("runs-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];

  function key(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.value === undefined) return cell.textContent;
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  }

  function compare(a, b) {
    if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
    if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : Infinity; // empty cells last, either way
    return Number.isNaN(b) ? -Infinity : a - b;
  }

  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const order = compare(key(a, column), key(b, column));
        return down && Number.isFinite(order) ? -order : order;
      });
      body.append(...rows);
    });
  });

  const count = document.getElementById("runs-count");
  document.getElementById("runs-filter").addEventListener("input", (event) => {
    const terms = event.target.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !terms.every((term) => text.includes(term));
      if (!row.hidden) shown += 1;
    }
    count.textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
  });
})();
