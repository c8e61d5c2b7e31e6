/* Charts shared by the pages of rdrop-report and rdrop-analyze. Needs Plotly and the variables of page.css; defines
   Charts.colour(name, alpha)    a colour of page.css as rgba(), in the theme in force
   Charts.mixed(a, b, share)     between two of them
   Charts.axis(title, more)      a Plotly axis in the page's style
   Charts.band(curve, slot)      a filled trace between curve.low and curve.high over curve.x, or null without any
   Charts.draw(home, caption, words, traces, layout, height, width)    one figure; returns its plot
   Charts.update(home, fill)     calls fill(home): figures it draws again are updated in place, the others removed
   Charts.escaped(text)          text for Plotly, which reads some HTML
   Charts.format(value)          four significant digits */
const Charts = (() => {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  /** A colour of page.css as the three numbers that the theme in force gives it. */
  function channels(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe)
      .color.match(/[\d.]+/g)
      .slice(0, 3)
      .map(Number);
  }
  const colour = (name, alpha = 1) => `rgba(${channels(name).join(",")},${alpha})`;
  const mixed = (a, b, share) => {
    const [one, two] = [channels(a), channels(b)];
    return `rgb(${one.map((v, i) => Math.round(v + (two[i] - v) * share)).join(",")})`;
  };

  function axis(title, more = {}) {
    const quiet = colour("quiet"),
      line = colour("line");
    return {
      title: { text: title, standoff: 8, font: { size: 12, color: quiet } },
      gridcolor: line,
      zeroline: false,
      linecolor: line,
      tickcolor: line,
      tickfont: { size: 11, color: quiet },
      automargin: true,
      ...more,
    };
  }

  function band({ x, low, high }, slot) {
    const inside = low ? x.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null) : [];
    if (inside.length < 2) return null;
    const at = (values) => inside.map((i) => values[i]);
    return {
      x: [...at(x), ...at(x).reverse()],
      y: [...at(high), ...at(low).reverse()],
      fill: "toself",
      fillcolor: colour(slot, 0.14),
      line: { width: 0 },
      mode: "lines",
      hoverinfo: "skip",
    };
  }

  /** Caption above, plot below; `words` say what it shows. A figure of the same caption is drawn over. */
  function draw(home, caption, words, traces, layout, height = 280, width = 0) {
    const before = [...home.children].find((child) => child.dataset.key === caption);
    const figure = before || document.createElement("figure");
    delete figure.dataset.stale;
    figure.dataset.key = caption;
    if (!before) figure.append(document.createElement("figcaption"), document.createElement("div"));
    const title = figure.firstElementChild,
      plot = figure.lastElementChild;
    title.textContent = caption;
    plot.className = "plot";
    plot.style.height = `${height}px`;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", caption ? `${caption}. ${words}` : words);
    if (width) figure.style.minWidth = `${width}px`;
    home.append(figure);
    const fine = matchMedia("(pointer: fine)").matches;
    const label = { color: colour("ink"), size: 12 };
    Plotly.react(
      plot,
      traces,
      {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        showlegend: false,
        hovermode: "closest",
        height,
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") },
        margin: { l: 48, r: 12, t: 10, b: 40 },
        dragmode: fine ? "zoom" : false,
        uirevision: caption,
        hoverlabel: {
          bgcolor: colour("paper"),
          bordercolor: colour("line"),
          font: label,
          align: "left",
          namelength: -1,
        },
        ...layout,
      },
      { displayModeBar: false, responsive: true },
    );
    return plot;
  }

  function update(home, fill) {
    for (const figure of home.children) figure.dataset.stale = "";
    fill(home);
    for (const figure of [...home.children].filter((child) => "stale" in child.dataset)) {
      Plotly.purge(figure.lastElementChild);
      figure.remove();
    }
  }

  const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const format = (value) =>
    value === null || value === undefined ? "none" : Number(value.toPrecision(4)).toString();
  return { colour, mixed, axis, band, draw, update, escaped, format };
})();
