/* What the swept options do: one at a time, in pairs, and all at once. */

/** The judged measure at each value of an option, a line per regularizer, with intervals and a dot per seed. */
function drawTrend(home, chart, slots, metric, measure, base) {
  const { colour, escaped, format } = Charts,
    traces = [],
    words = [];
  const at = (point) => (chart.numeric ? Number(point.x) : point.x);
  for (const { regularizer, points } of chart.lines) {
    const slot = slots[regularizer],
      seeds = points.flatMap((p) => p.seeds.map((y) => [at(p), y]));
    const ends = (end) => points.map((p) => (p.low === null ? 0 : Math.abs(p[end] - p.mean)));
    const errors = {
      type: "data",
      symmetric: false,
      array: ends("high"),
      arrayminus: ends("low"),
      width: 4,
      thickness: 1.25,
    };
    traces.push(
      {
        x: seeds.map(([x]) => x),
        y: seeds.map(([, y]) => y),
        mode: "markers",
        hovertemplate: "%{y:.5~g}<extra>seed</extra>",
        marker: { color: colour(slot, 0.4), size: 5 },
      },
      {
        x: points.map(at),
        y: points.map((p) => p.mean),
        mode: "lines+markers",
        name: regularizer,
        text: points.map((p) => escaped(p.group)),
        error_y: { ...errors, color: colour(slot, 0.8) },
        line: { color: colour(slot), width: 2 },
        marker: { size: 8, symbol: SYMBOLS[Number(slot.slice(4))] },
        hovertemplate: "%{text}<br>%{y:.5~g}<extra></extra>",
      },
    );
    words.push(`${regularizer}: ${points.map((p) => `${format(p.mean)} at ${p.x}`).join(", ")}`);
  }
  const line = { color: colour("slot0"), dash: "dot", width: 1.5 };
  const shapes = base === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: base, y1: base, line }];
  const numbers = chart.numeric
    ? { type: chart.log ? "log" : "linear", tickvals: chart.values.map(Number), ticktext: chart.values }
    : { type: "category", categoryorder: "array", categoryarray: chart.values };
  const seen = chart.lines.flatMap((one) =>
    one.points.flatMap((p) => [p.low ?? p.mean, p.high ?? p.mean, ...p.seeds]),
  );
  const range = robustRange(base === null ? seen : [...seen, base]);
  const yaxis = Charts.axis("", range),
    outliers = range.range ? " (outliers beyond the axis)" : "";
  const layout = { xaxis: Charts.axis(chart.option, numbers), yaxis, shapes };
  Charts.draw(
    home,
    `${measure} ${metric.name} over ${chart.option}${outliers}`,
    `${words.join(". ")}.`,
    traces,
    layout,
  );
}

/** The range of most values, where a diverged group would flatten all others; else Plotly's choice. */
function robustRange(values) {
  const ordered = values.toSorted((a, b) => a - b),
    at = (share) => ordered[Math.round(share * (ordered.length - 1))];
  const reach = 3 * (at(0.75) - at(0.25)),
    low = Math.max(at(0), at(0.25) - reach),
    high = Math.min(at(1), at(0.75) + reach);
  const pad = 0.05 * (high - low);
  return reach > 0 && (low > at(0) || high < at(1)) ? { range: [low - pad, high + pad] } : {};
}

/** A matrix of validation means for two options of one regularizer, the best cell framed. */
function drawHeat(home, chart, metric) {
  const { colour, mixed, escaped, format } = Charts;
  const values = chart.z.flat().filter((v) => v !== null),
    high = Math.max(...values),
    low = Math.min(...values);
  const best = metric.higher ? high : low,
    frame = { type: "rect", line: { color: colour("ink"), width: 2 } };
  const cells = chart.z.flatMap((row, j) => row.map((v, i) => [v, i, j]));
  const words = cells.map(([v, i, j]) => `${chart.x}=${chart.xs[i]}, ${chart.y}=${chart.ys[j]}: ${format(v)}`);
  const shapes = cells
    .filter(([v]) => v === best)
    .map(([, i, j]) => ({ ...frame, x0: i - 0.5, x1: i + 0.5, y0: j - 0.5, y1: j + 0.5 }));
  const ticks = (texts) => ({
    tickvals: texts.map((_, i) => i),
    ticktext: texts.map(escaped),
    showgrid: false,
    range: [-0.5, texts.length - 0.5],
  });
  const trace = {
    type: "heatmap",
    z: chart.z,
    customdata: chart.n,
    showscale: false,
    xgap: 2,
    ygap: 2,
    colorscale: [
      [0, mixed("paper", "accent", 0.08)],
      [1, mixed("paper", "accent", 0.95)],
    ],
    reversescale: !metric.higher,
    zmin: low,
    zmax: high === low ? low + 1 : high,
    texttemplate: `%{z:.${metric.digits}f}`,
    textfont: { size: 12 },
    hovertemplate: "%{z:.5~g}, mean of %{customdata} groups<extra></extra>",
  };
  const layout = {
    xaxis: Charts.axis(chart.x, ticks(chart.xs)),
    yaxis: Charts.axis(chart.y, ticks(chart.ys)),
    shapes,
  };
  const height = Math.max(220, 90 + 42 * chart.ys.length);
  Charts.draw(home, `${chart.regularizer}: ${chart.x} × ${chart.y}`, `${words.join("; ")}.`, [trace], layout, height);
}

/** One line per group over all swept options, from its regularizer to its test result. */
function drawParallel(home, lead, c) {
  const rows = c.rows
    .filter((row) => row.ranked)
    .filter((row, i) => i < PARALLEL || row.baseline)
    .reverse(); // best on top
  const names = [...new Set(c.rows.flatMap((row) => Object.keys(row.options)))];
  if (rows.length < 3 || !names.length) return;
  const axes = [...optionAxes(rows, ["regularizer", ...names]), ...resultAxes(rows, c)];
  lead.textContent =
    "One line per group; darker means better on validation; the baseline is dotted. " +
    "Click a value to show only the groups that have it." +
    (c.rows.length > PARALLEL ? ` Only the best ${PARALLEL} groups are drawn.` : "");
  const fits = (row) => Object.entries(state.picked).every(([name, wanted]) => optionOf(row, name) === wanted);
  const traces = rows.map((row, i) => ({
    x: axes.map((_, j) => j),
    y: axes.map((a) => a.at(row, i)),
    mode: "lines",
    name: row.group,
    hoveron: "points",
    line: row.baseline
      ? { color: Charts.colour("slot0"), width: 2, dash: "dot" }
      : { color: Charts.mixed("line", "accent", 0.15 + 0.85 * (i / (rows.length - 1)) ** 2), width: 1.75 },
    opacity: fits(row) ? 1 : 0.08,
    hovertemplate: `${Charts.escaped(row.group)}<br>validation ${fixed(row.val_mean)}${unit()}<extra></extra>`,
  }));
  const hidden = { visible: false, fixedrange: true };
  const layout = {
    xaxis: { ...hidden, range: [-0.02, axes.length - 0.98] },
    yaxis: { ...hidden, range: [-0.06, 1.16] },
    dragmode: false,
    shapes: axes.map((_, i) => ({
      type: "line",
      x0: i,
      x1: i,
      y0: 0,
      y1: 1,
      layer: "below",
      line: { color: Charts.colour("line"), width: 1 },
    })),
    annotations: axes.flatMap((a, i) => axisNotes(a, i, axes.length - 1)),
    margin: { l: 8, r: 8, t: 8, b: 8 },
  };
  const words = `Each line is a group; the best is ${rows.at(-1).group}. The table holds the same values.`;
  const plot = Charts.draw(home, "", words, traces, layout, 380, 104 * axes.length);
  plot.removeAllListeners("plotly_clickannotation");
  plot.on("plotly_clickannotation", ({ annotation }) => {
    const [name, text] = JSON.parse(annotation.name);
    if (state.picked[name] === text) delete state.picked[name];
    else state.picked[name] = text;
    section("parallel", (again, same) => drawParallel(again, same, c));
  });
}
const optionOf = (row, name) => (name === "regularizer" ? row.regularizer : (row.options[name] ?? "–"));

function optionAxes(rows, names) {
  const order = (a, b) => (a === "–" ? -1 : b === "–" ? 1 : a - b || a.localeCompare(b));
  return names
    .map((name) => {
      const values = [...new Set(rows.map((row) => optionOf(row, name)))].toSorted(order);
      const place = (v) => (values.length > 1 ? 0.04 + (0.92 * values.indexOf(v)) / (values.length - 1) : 0.5);
      const at = (row, i) => place(optionOf(row, name)) + 0.05 * (i / rows.length - 0.5); // lines side by side
      return { name, discrete: true, picked: state.picked[name], ticks: values.map((v) => [place(v), v]), at };
    })
    .filter((a) => a.ticks.length > 1);
}
function resultAxes(rows, { metric, measure }) {
  return [...new Set(["val", measure])].map((part) => {
    const values = rows.map((row) => row[`${part}_mean`]).filter((v) => v !== null);
    const low = Math.min(...values),
      high = Math.max(...values);
    const place = (v) => (v === null ? null : high > low ? (v - low) / (high - low) : 0.5);
    const ticks = [low, (low + high) / 2, high].map((v) => [place(v), v.toFixed(metric.digits)]);
    return { name: part === "val" ? "validation" : part, ticks, at: (row) => place(row[`${part}_mean`]) };
  });
}
function axisNotes(a, i, last) {
  const side = i === last ? "right" : "left",
    plain = { x: i, showarrow: false };
  const title = {
    ...plain,
    y: 1.06,
    text: `<b>${Charts.escaped(a.name)}</b>`,
    yanchor: "bottom",
    font: { size: 12 },
  };
  return [
    { ...title, xanchor: i === 0 || i === last ? side : "center" },
    ...a.ticks.map(([at, text]) => ({
      ...plain,
      y: at,
      text: Charts.escaped(text),
      captureevents: Boolean(a.discrete),
      name: JSON.stringify([a.name, text]),
      xanchor: side,
      xshift: i === last ? -6 : 6,
      bgcolor: Charts.colour("paper", 0.85),
      borderpad: 1,
      font: { size: 11, color: Charts.colour(a.picked === text ? "accent" : "quiet") },
    })),
  ];
}
