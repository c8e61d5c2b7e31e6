/* What the groups gain over the baseline, and what they cost. */

/** How far the intervals of most rows reach: beyond, one outlier would flatten all the others. */
function reachOf(rows) {
  const ends = rows
    .filter((r) => r.difference !== null)
    .map((r) => Math.max(Math.abs(r.difference_low ?? r.difference), Math.abs(r.difference_high ?? r.difference)))
    .toSorted((a, b) => a - b);
  const typical = ends[Math.floor(0.75 * (ends.length - 1))] || ends.at(-1) || 1;
  return ends.at(-1) > 2.5 * typical ? 1.25 * typical : ends.at(-1) || 1;
}
const inkOf = (row) => (row.verdict === "better" ? "good" : row.verdict === "worse" ? "bad" : "quiet");

/** Every group's difference to the baseline with its interval; what leaves the scale is marked by an arrowhead. */
function drawForest(home, lead, c) {
  const compared = c.rows.filter((row) => row.difference !== null);
  const rows = compared.slice(0, state.all ? undefined : ROWS).reverse(),
    reach = reachOf(compared);
  if (rows.length < 2) return;
  const lows = rows.map((row) => row.difference_low ?? row.difference);
  const highs = rows.map((row) => row.difference_high ?? row.difference);
  const from = Math.max(-reach, Math.min(0, ...lows)),
    to = Math.min(reach, Math.max(0, ...highs));
  const left = lows.flatMap((low, i) => (low < from ? [i] : [])),
    right = highs.flatMap((high, i) => (high > to ? [i] : []));
  const traces = ["good", "bad", "quiet"].map((ink) => forestTrace(rows, ink));
  traces.push(arrowheads(left, from, "triangle-left"), arrowheads(right, to, "triangle-right"));
  const pad = 0.08 * (to - from),
    names = rows.map((row) => Charts.escaped(row.group));
  const zero = { color: Charts.colour("slot0"), width: 1.5, dash: "dot" };
  const layout = {
    xaxis: Charts.axis(`${c.measure} ${c.metric.name}, difference`, { range: [from - pad, to + pad] }),
    yaxis: Charts.axis("", {
      tickvals: names.map((_, i) => i),
      ticktext: names,
      showgrid: false,
      range: [-0.7, rows.length - 0.3],
    }),
    shapes: [{ type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: zero }],
  };
  lead.textContent =
    `Difference to ${c.rows[c.baseline].group} on ${c.measure}${unit() && ", in points"}, with 95 % intervals.` +
    (left.length + right.length ? " Arrowheads mark intervals that go beyond the scale." : "") +
    (rows.length < compared.length
      ? ` The best ${ROWS} of ${compared.length} groups; “Show all” above adds the others.`
      : "");
  const words = rows
    .toReversed()
    .slice(0, 20)
    .map((row) => `${row.group}: ${intervalText(row)}, ${row.verdict}`);
  Charts.draw(home, "", `${words.join("; ")}.`, traces, layout, 90 + 24 * rows.length, 480);
}

/** The rows of one colour, as points with error bars. */
function forestTrace(rows, ink) {
  const places = rows.flatMap((row, i) => (inkOf(row) === ink ? [i] : [])),
    members = places.map((i) => rows[i]);
  const ends = (key) => members.map((row) => Math.abs((row[key] ?? row.difference) - row.difference));
  const color = Charts.colour(ink),
    bars = { type: "data", symmetric: false, color, thickness: 2, width: 0 };
  return {
    x: members.map((row) => row.difference),
    y: places,
    mode: "markers",
    marker: { color, size: 9 },
    name: ink,
    error_x: { ...bars, array: ends("difference_high"), arrayminus: ends("difference_low") },
    text: members.map((row) => `${Charts.escaped(row.group)}<br>${intervalText(row)}, ${row.verdict}`),
    hovertemplate: "%{text}<extra></extra>",
  };
}
function arrowheads(places, x, symbol) {
  const marker = { symbol, size: 11, color: Charts.colour("quiet") };
  return { x: places.map(() => x), y: places, mode: "markers", name: "clipped", marker, hoverinfo: "skip" };
}

/** Test results against training time: selected groups with their standard deviation, the others as rings. */
function drawCost(home, lead, c) {
  const { metric, measure } = c,
    result = `${measure}_mean`,
    percent = metric.percent ? " %" : "";
  lead.textContent =
    `${metric.higher ? "Up" : "Down"} is better, left is cheaper. ` +
    "Bars show one standard deviation; selected groups are coloured as above.";
  const rows = c.rows.filter((row) => row.training_seconds !== null && row[result] !== null);
  if (!rows.length) return;
  const longest = Math.max(...rows.map((row) => row.training_seconds));
  const [scale, name] = longest > 6000 ? [3600, "hours"] : longest > 100 ? [60, "minutes"] : [1, "seconds"];
  const points = (some, marker, more) => ({
    x: some.map((row) => row.training_seconds / scale),
    y: some.map((row) => row[result]),
    mode: "markers",
    marker,
    text: some.map((row) => Charts.escaped(row.group)),
    ...more,
    hovertemplate: `%{text}<br>%{y:.5~g}${percent} in %{x:.3~g} ${name}<extra></extra>`,
  });
  const slots = state.slots,
    colour = Charts.colour;
  const rings = { size: 7, symbol: "circle-open", color: colour("quiet", 0.6) };
  const selected = rows
    .filter((row) => slots.has(row.identity))
    .map((row) => {
      const slot = slots.get(row.identity),
        bar = { type: "data", array: [row[`${measure}_sd`] || 0], thickness: 1.25, width: 0 };
      const marker = { size: 11, symbol: SYMBOLS[Number(slot.slice(4))], color: colour(slot) };
      return points([row], marker, { name: row.group, error_y: { ...bar, color: colour(slot, 0.6) } });
    });
  const traces = [
    points(
      rows.filter((row) => !slots.has(row.identity)),
      rings,
      { name: "others" },
    ),
    ...selected,
  ];
  const words = rows
    .slice(0, 20)
    .map((row) => `${row.group}: ${Charts.format(row[result])} in ${Charts.format(row.training_seconds)} s`);
  const layout = {
    xaxis: Charts.axis(`training time, ${name} per trial`),
    yaxis: Charts.axis(`${measure} ${metric.name}${percent && ", %"}`),
  };
  Charts.draw(home, "", words.join("; "), traces, layout, 360);
}
