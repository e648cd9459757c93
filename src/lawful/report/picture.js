"use strict";
(() => {
  // The figure as it is shown, on its own: styles written out, the box of the lines as a group, shares as pixels.
  function alone(figure) {
    const plot = figure.querySelector(".plot"), area = plot.querySelector(".area").getBoundingClientRect();
    const box = plot.getBoundingClientRect(), width = Math.ceil(box.width), entries = [...figure.querySelectorAll(".legend li")];
    const top = 28, legend = entries.length ? 24 * Math.ceil(entries.length / 4) : 0, height = Math.ceil(top + box.height + legend);
    const style = (from, to) => {
      const now = getComputedStyle(from);
      for (const name of ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "text-anchor", "font-size"]) {
        to.setAttribute(name, now.getPropertyValue(name));
      }
    };
    const make = (name, attributes, text = "") => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.textContent = text;
      return made;
    };
    const page = getComputedStyle(document.body);
    const out = make("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": page.fontFamily });
    out.append(make("rect", { width, height, fill: page.backgroundColor }));
    const heading = figure.querySelector("h3");
    out.append(make("text", { x: 0, y: 18, "font-size": 15, "font-weight": 650, fill: page.color }, heading ? heading.textContent : ""));
    const inner = make("g", { transform: `translate(${area.left - box.left} ${top + area.top - box.top})` });
    out.append(inner);
    const pixels = (value, whole) => (value.endsWith("%") ? parseFloat(value) / 100 * whole : value);
    for (const one of plot.querySelectorAll(".area text, .area line, .area use, .area path")) {
      if (!one.getClientRects().length) continue;
      let made;
      if (one.matches("use")) {
        const shape = document.querySelector(one.getAttribute("href"));
        made = make("path", { d: shape.getAttribute("d"), transform: `translate(${pixels(one.getAttribute("x"), area.width)} ${pixels(one.getAttribute("y"), area.height)})` });
      } else if (one.matches("path")) {
        const places = one.getAttribute("d").replace(/(-?[\d.]+),(-?[\d.]+)/g, (_, x, y) => `${(x / 1000 * area.width).toFixed(1)},${(y / 1000 * area.height).toFixed(1)}`);
        made = make("path", { d: places });
      } else {
        made = make(one.tagName, {}, one.textContent);
        for (const { name, value } of one.attributes) {
          if (/^(x|x1|x2)$/.test(name)) made.setAttribute(name, pixels(value, area.width));
          if (/^(y|y1|y2)$/.test(name)) made.setAttribute(name, pixels(value, area.height));
          if (/^(dx|dy)$/.test(name)) made.setAttribute(name, value);
        }
      }
      style(one, made);
      inner.append(made);
    }
    entries.forEach((entry, index) => {
      const at = { x: (index % 4) * width / 4, y: top + box.height + 24 * Math.floor(index / 4) + 12 };
      const key = entry.querySelector("svg > *");
      if (key) {
        const drawn = key.matches("g") ? key.querySelector("use") : key;
        const made = key.matches("g") ? make("path", { d: document.querySelector(drawn.getAttribute("href")).getAttribute("d") }) : drawn.cloneNode();
        made.setAttribute("transform", key.matches("g") ? `translate(${at.x + 11} ${at.y - 4})` : `translate(${at.x} ${at.y - 10})`);
        style(drawn, made);
        out.append(made);
      }
      out.append(make("text", { x: at.x + (key ? 28 : 0), y: at.y, "font-size": 12, fill: page.color }, entry.textContent));
    });
    return { text: new XMLSerializer().serializeToString(out), width, height };
  }
  window.lawfulPicture = alone;
})();
