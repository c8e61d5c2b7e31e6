/* Metrics over epochs: a line per group, its mean over seeds, with a band. */
const DASHES = { train: "dash", val: "solid" };
const SYMBOLS = ["circle", "circle", "square", "diamond", "triangle-up", "cross", "star"];

/** `lines`: [{label, slot, series: {name: {x, y, low, high}}}]; `names`: series to draw by part (train is dashed). */
function drawCurves(home, caption, lines, names, unitText) {
  const traces = [],
    ends = [];
  for (const { label, slot, series } of lines) {
    for (const [part, name] of Object.entries(names)) {
      const s = series[name];
      if (!s) continue;
      const named = { name: `${label}, ${part}`, legendgroup: label },
        thin = part === "train";
      const band = thin ? null : Charts.band(s, slot);
      if (band) traces.push({ ...named, ...band });
      const line = {
        color: Charts.colour(slot, thin ? 0.75 : 1),
        dash: DASHES[part] || "solid",
        width: thin ? 1.25 : 2,
      };
      const hovertemplate = `%{y:.4~g}${unitText} at epoch %{x:.4~g}<extra>${Charts.escaped(named.name)}</extra>`;
      traces.push({ ...named, x: s.x, y: s.y, mode: "lines", line, hovertemplate });
      if (!thin) ends.push(`${label} ends at ${Charts.format(s.y.at(-1))}${unitText}`);
    }
  }
  if (!traces.length) return;
  const range = names.rate || names.mean ? { rangemode: "tozero" } : settledRange(lines, names);
  const layout = { xaxis: Charts.axis("epoch"), yaxis: Charts.axis("", range) };
  Charts.draw(home, caption, `Lines over epochs: ${ends.join("; ")}.`, traces, layout);
}

/** The range of values after the first tenth of training, which would flatten all that follows. */
function settledRange(lines, names) {
  const series = lines.flatMap((line) => Object.values(names).map((name) => line.series[name])).filter(Boolean);
  const from = Math.max(...series.map((s) => s.x.at(-1))) / 10;
  const late = (s) => (values) => (values || []).filter((v, i) => v !== null && s.x[i] >= from);
  const values = series.flatMap((s) => [s.y, s.low, s.high].flatMap(late(s)));
  const low = Math.min(...values),
    high = Math.max(...values);
  const pad = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
  return values.length ? { range: [low - pad, high + pad] } : {};
}
