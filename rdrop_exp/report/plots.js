/* The report's figures: each function takes plain values and draws one figure into `home`. */
const Plots = (() => {
  const { colour, mixed, axis, draw, escaped, format } = Charts;
  const DASHES = { train: "dash", val: "solid" };
  const SYMBOLS = ["circle", "circle", "square", "diamond", "triangle-up", "cross", "star"];

  /** A line per group, its mean over seeds, with a band. `lines`: [{label, slot, series: {name: {x, y, low, high}}}];
      `names`: series to draw, by part (train is dashed). */
  function curves(home, caption, lines, names, unit) {
    const traces = [],
      said = [];
    for (const { label, slot, series } of lines) {
      for (const [part, name] of Object.entries(names)) {
        const s = series[name];
        if (!s) continue;
        const named = { name: `${label}, ${part}`, legendgroup: label };
        const band = part !== "train" && Charts.band(s, slot);
        if (band) traces.push({ ...named, ...band });
        traces.push({
          ...named,
          x: s.x,
          y: s.y,
          mode: "lines",
          line: {
            color: colour(slot, part === "train" ? 0.75 : 1),
            dash: DASHES[part] || "solid",
            width: part === "train" ? 1.25 : 2,
          },
          hovertemplate: `%{y:.4~g}${unit} at epoch %{x:.4~g}<extra>${escaped(named.name)}</extra>`,
        });
        if (part !== "train") said.push(`${label} ends at ${format(s.y.at(-1))}${unit}`);
      }
    }
    if (traces.length)
      draw(home, caption, `Lines over epochs: ${said.join("; ")}.`, traces, {
        xaxis: axis("epoch"),
        yaxis: axis("", names.rate || names.mean ? { rangemode: "tozero" } : settled(lines, names)),
      });
  }

  /** The range of values after the first tenth of training, where the lines have come close enough to be told apart. */
  function settled(lines, names) {
    const series = lines.flatMap((line) => Object.values(names).map((name) => line.series[name])).filter(Boolean);
    const from = Math.max(...series.map((s) => s.x.at(-1))) / 10;
    const parts = series.flatMap((s) =>
      [s.y, s.low || [], s.high || []].map((values) => values.filter((v, i) => v !== null && s.x[i] >= from)),
    );
    const values = parts.flat(),
      low = Math.min(...values),
      high = Math.max(...values);
    const pad = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
    return values.length ? { range: [low - pad, high + pad] } : {};
  }

  /** Validation at each value of one option, a line a regularizer. */
  function marginal(home, chart, slots, metric, base) {
    const traces = [],
      said = [];
    for (const line of chart.lines) {
      const slot = slots[line.regularizer];
      traces.push({
        x: line.points.map((p) => p.x),
        y: line.points.map((p) => p.y),
        text: line.points.map((p) => escaped(p.group)),
        mode: "markers",
        marker: { color: colour(slot, 0.45), size: 6 },
        hovertemplate: "%{text}<br>%{y:.4~g}<extra></extra>",
      });
      traces.push({
        x: line.x,
        y: line.y,
        mode: "lines+markers",
        name: line.regularizer,
        line: { color: colour(slot), width: 2 },
        marker: { size: 8, symbol: SYMBOLS[+slot.slice(4)] },
        hovertemplate: `${escaped(line.regularizer)}, mean at %{x}: %{y:.4~g}<extra></extra>`,
      });
      said.push(`${line.regularizer}: ${line.x.map((x, i) => `${format(line.y[i])} at ${x}`).join(", ")}`);
    }
    const shapes =
      base === null
        ? []
        : [
            {
              type: "line",
              xref: "paper",
              x0: 0,
              x1: 1,
              y0: base,
              y1: base,
              line: { color: colour("slot0"), dash: "dot", width: 1.5 },
            },
          ];
    draw(home, chart.option, `Mean validation ${metric}. ${said.join(". ")}.`, traces, {
      xaxis: axis(chart.option, { type: "category", categoryorder: "array", categoryarray: chart.values }),
      yaxis: axis(""),
      shapes,
    });
  }

  /** A matrix of validation means for two options of one regularizer, the best cell framed. */
  function heat(home, chart, metric) {
    const flat = chart.z.flat().filter((v) => v !== null),
      high = Math.max(...flat),
      low = Math.min(...flat);
    const best = metric.higher ? high : low;
    const said = (v, i, j) => `${chart.x}=${chart.xs[i]}, ${chart.y}=${chart.ys[j]}: ${format(v)}`;
    const cells = chart.z.flatMap((row, j) => row.map((v, i) => [v, i, j])).filter(([v]) => v === best);
    const frame = { type: "rect", line: { color: colour("ink"), width: 2 } };
    const shapes = cells.map(([, i, j]) => ({ ...frame, x0: i - 0.5, x1: i + 0.5, y0: j - 0.5, y1: j + 0.5 }));
    const ticks = (texts) => ({
      tickvals: texts.map((_, i) => i),
      ticktext: texts.map(escaped),
      showgrid: false,
      range: [-0.5, texts.length - 0.5],
    });
    const scale = [
      [0, mixed("paper", "accent", 0.08)],
      [1, mixed("paper", "accent", 0.95)],
    ];
    draw(
      home,
      `${chart.regularizer}: ${chart.x} × ${chart.y}`,
      `Mean validation ${metric.name}: ${chart.z.flatMap((row, j) => row.map((v, i) => said(v, i, j))).join("; ")}.`,
      [
        {
          type: "heatmap",
          z: chart.z,
          customdata: chart.n,
          texttemplate: `%{z:.${metric.digits}f}`,
          textfont: { size: 12 },
          colorscale: scale,
          reversescale: !metric.higher,
          showscale: false,
          xgap: 2,
          ygap: 2,
          zmin: low,
          zmax: high === low ? low + 1 : high,
          hovertemplate:
            `${escaped(chart.x)} %{x}, ${escaped(chart.y)} %{y}<br>` +
            "%{z:.5~g}, mean of %{customdata} groups<extra></extra>",
        },
      ],
      { xaxis: axis(chart.x, ticks(chart.xs)), yaxis: axis(chart.y, ticks(chart.ys)), shapes },
      Math.max(220, 90 + 42 * chart.ys.length),
    );
  }

  /** One line a group over all swept options, from its regularizer to its test measure. */
  function parallel(home, axes, lines, onPick) {
    const shapes = [],
      notes = [],
      traces = [];
    axes.forEach((a, i) => {
      shapes.push({
        type: "line",
        x0: i,
        x1: i,
        y0: 0,
        y1: 1,
        layer: "below",
        line: { color: colour("line"), width: 1 },
      });
      notes.push({
        x: i,
        y: 1.06,
        text: `<b>${escaped(a.name)}</b>`,
        showarrow: false,
        yanchor: "bottom",
        font: { size: 12 },
        xanchor: i === 0 ? "left" : i === axes.length - 1 ? "right" : "center",
      });
      a.ticks.forEach(([at, text]) =>
        notes.push({
          x: i,
          y: at,
          text: escaped(text),
          showarrow: false,
          captureevents: a.discrete,
          name: JSON.stringify([a.name, text]),
          xanchor: i === axes.length - 1 ? "right" : "left",
          xshift: i === axes.length - 1 ? -6 : 6,
          bgcolor: colour("paper", 0.85),
          borderpad: 1,
          font: { size: 11, color: colour(a.picked === text ? "accent" : "quiet") },
        }),
      );
    });
    lines.forEach((l) =>
      traces.push({
        x: axes.map((_, i) => i),
        y: l.at,
        mode: "lines",
        name: l.label,
        hoveron: "points",
        line: {
          width: l.base ? 2 : 1.75,
          dash: l.base ? "dot" : "solid",
          color: l.base ? colour("slot0") : mixed("line", "accent", 0.15 + 0.85 * l.share),
        },
        opacity: l.dim ? 0.08 : 1,
        hovertemplate: `${escaped(l.label)}<br>${escaped(l.said)}<extra></extra>`,
      }),
    );
    const plot = draw(
      home,
      "",
      `Each line is a group; the best is ${lines.at(-1).label}. The table holds the same values.`,
      traces,
      {
        xaxis: { visible: false, range: [-0.02, axes.length - 0.98], fixedrange: true },
        yaxis: { visible: false, range: [-0.06, 1.16], fixedrange: true },
        shapes,
        annotations: notes,
        dragmode: false,
        margin: { l: 8, r: 8, t: 8, b: 8 },
      },
      380,
      104 * axes.length,
    );
    plot.removeAllListeners("plotly_clickannotation");
    plot.on("plotly_clickannotation", (event) => onPick(...JSON.parse(event.annotation.name)));
  }

  /** Test measure against time, every group a point with its standard deviation. */
  function cost(home, points, metric, where) {
    const unit =
      Math.max(...points.map((p) => p.x)) > 6000
        ? [3600, "hours"]
        : Math.max(...points.map((p) => p.x)) > 100
          ? [60, "minutes"]
          : [1, "seconds"];
    const traces = points.map((p) => ({
      x: [p.x / unit[0]],
      y: [p.y],
      name: p.label,
      mode: "markers",
      error_y: {
        type: "data",
        array: [p.sd || 0],
        visible: p.slot !== null && p.sd !== null,
        color: colour(p.slot || "line", 0.6),
        thickness: 1.25,
        width: 0,
      },
      marker: {
        size: p.slot ? 11 : 7,
        symbol: p.slot ? SYMBOLS[+p.slot.slice(4)] : "circle-open",
        color: colour(p.slot || "quiet", p.slot ? 1 : 0.6),
      },
      hovertemplate:
        `${escaped(p.label)}<br>%{y:.5~g}${metric.percent ? " %" : ""}` + ` in %{x:.3~g} ${unit[1]}<extra></extra>`,
    }));
    draw(
      home,
      "",
      points
        .map((p) => `${p.label}: ${format(p.y)} in ${format(p.x)} s`)
        .slice(0, 20)
        .join("; "),
      traces,
      {
        xaxis: axis(`${unit[1]} per trial`, { rangemode: "tozero" }),
        yaxis: axis(`${where} ${metric.name}${metric.percent ? ", %" : ""}`),
      },
      360,
    );
  }
  return { curves, marginal, heat, parallel, cost };
})();
