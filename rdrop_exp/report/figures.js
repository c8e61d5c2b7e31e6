/* Which groups are drawn, and the figures drawn of them. */
/** The baseline, and the best of each regularizer; where these are few, the best of the rest. */
function choose() {
  const { rows, baseline } = current();
  state.slots = new Map([[rows[baseline].identity, "slot0"]]);
  const candidates = rows.filter((row) => row.ranked && !row.baseline),
    seen = new Set();
  const first = candidates.filter((row) => !seen.has(row.regularizer) && seen.add(row.regularizer));
  const most = Math.max(4, Math.min(SLOTS, first.length));
  for (const row of [...first, ...candidates.filter((row) => !first.includes(row))].slice(0, most)) take(row);
}
function take(row) {
  const used = new Set(state.slots.values());
  const free = Array.from({ length: SLOTS }, (_, i) => `slot${i + 1}`).find((slot) => !used.has(slot));
  if (free) state.slots.set(row.identity, row.baseline ? "slot0" : free);
  return Boolean(free);
}
function toggle(row, box) {
  state.touched = true;
  if (!box.checked) state.slots.delete(row.identity);
  else if (!take(row)) {
    box.checked = false;
    $("#filter-count").textContent = `At most ${SLOTS} groups and the baseline can be shown: untick one first.`;
    return;
  }
  const slot = state.slots.get(row.identity);
  box.style.setProperty("--swatch", slot ? `var(--${slot})` : "");
  figures();
}

/** Metrics of `analysis.every`, and their captions. */
const ANALYSES = {
  "analysis/direction_variance": "gradient direction variance",
  "analysis/direction_error": "gradient direction error",
  "analysis/gradient_norm": "gradient norm",
  "analysis/model_distance": "distance from the initial weights",
  "analysis/inconsistency": "KL of noisy and clean outputs",
  "analysis/ece": "calibration error (ECE)",
};

// ---- figures ---------------------------------------------------------------------------------------------------
function figures() {
  const c = current(),
    { rows, metric, measure } = c;
  const drawn = rows.filter((row) => state.slots.has(row.identity));
  const items = () =>
    drawn.map((row) => {
      const item = make("li", {}, row.group + (row.baseline ? " (baseline)" : ""));
      item.style.setProperty("--swatch", `var(--${state.slots.get(row.identity)})`);
      return item;
    });
  document.querySelectorAll(".legend").forEach((legend) => legend.replaceChildren(...items()));
  const lines = drawn.map((row) => ({
    label: row.group,
    slot: state.slots.get(row.identity),
    series: c.curves[row.rank - 1] || {},
  }));
  lines.sort((a, b) => (a.slot !== "slot0") - (b.slot !== "slot0")); // the baseline lies beneath the others
  const has = (name) => lines.some((line) => line.series[name]);
  const active = (name) =>
    lines.filter((line) => line.series[name]).some((line) => line.series[name].y.some((v) => v > 0));

  section("curves", (home) => {
    const loss = has("train/cross_entropy") ? "train/cross_entropy" : "train/loss";
    if (metric.name !== "loss")
      Plots.curves(
        home,
        `${metric.name}${metric.percent ? ", %" : ""}`,
        lines,
        { train: `train/${metric.name}`, val: `val/${metric.name}` },
        unit(),
      );
    Plots.curves(home, loss === "train/loss" ? "loss" : "cross-entropy", lines, { train: loss, val: "val/loss" }, "");
  });
  section("schedules", (home) => {
    if (active("rate/dropout")) Plots.curves(home, "dropout", lines, { rate: "rate/dropout" }, "");
    if (active("rate/drop_path")) Plots.curves(home, "stochastic depth", lines, { rate: "rate/drop_path" }, "");
  });
  section("analysis", (home) => {
    for (const [name, caption] of Object.entries(ANALYSES))
      if (has(name)) Plots.curves(home, caption, lines, { mean: name }, "");
  });
  const regularizers = [...new Set(c.marginals.flatMap((chart) => chart.lines.map((line) => line.regularizer)))];
  // A regularizer's lines have the colour of its best group in the figures above, or one that is free.
  const free = Array.from({ length: SLOTS }, (_, i) => `slot${i + 1}`).filter(
    (slot) => ![...state.slots.values()].includes(slot),
  );
  const slots = Object.fromEntries(
    regularizers.map((name, i) => {
      const row = drawn.find((one) => one.regularizer === name && !one.baseline);
      return [name, row ? state.slots.get(row.identity) : free.shift() || `slot${1 + (i % SLOTS)}`];
    }),
  );
  section("options", (home, lead) => {
    lead.textContent =
      `Validation ${metric.name}${unit()} at each value. Lines are means over the other options, ` +
      "dots are groups, the dotted line is the baseline.";
    c.marginals.forEach((chart) => Plots.marginal(home, chart, slots, metric.name, rows[c.baseline].val_mean));
    legend($("#options"), regularizers.length > 1 ? regularizers.map((name) => [name, slots[name]]) : []);
  });
  section("pairs", (home, lead) => {
    lead.textContent =
      `Mean validation ${metric.name}${unit()} for each pair of values; the best cell is framed.` +
      (c.pairs_more ? ` ${c.pairs_more} more pairs are not shown.` : "");
    c.pairs.forEach((chart) => Plots.heat(home, chart, metric));
  });
  section("parallel", (home, lead) => parallel(home, lead, c));
  section("cost", (home, lead) => {
    lead.textContent =
      "Up is better, left is cheaper. Bars show one standard deviation; selected groups are coloured as above.";
    if (!metric.higher) lead.textContent = lead.textContent.replace("Up", "Down");
    const points = rows
      .filter((row) => row.seconds !== null && row[`${measure}_mean`] !== null)
      .map((row) => ({
        x: row.seconds,
        y: row[`${measure}_mean`],
        sd: row[`${measure}_sd`],
        label: row.group,
        slot: state.slots.get(row.identity) || null,
      }));
    if (points.length)
      Plots.cost(
        home,
        points.sort((a, b) => (a.slot !== null) - (b.slot !== null)),
        metric,
        measure,
      );
  });
  contents();
}

/** Draw a section anew, and hide it where there is nothing to draw. */
function section(id, fill) {
  const part = $(`#${id}`),
    home = $(".grid, .wide", part);
  part.hidden = false; // a plot measures its place
  Charts.update(home, () => fill(home, $(".lead", part)));
  part.hidden = !home.childElementCount;
}
function legend(part, entries) {
  $(".legend", part)?.remove();
  if (!entries.length) return;
  $(".lead", part).after(
    make(
      "ul",
      { className: "legend" },
      ...entries.map(([name, slot]) => {
        const item = make("li", {}, name);
        item.style.setProperty("--swatch", `var(--${slot})`);
        return item;
      }),
    ),
  );
}

function parallel(home, lead, c) {
  const { metric, measure } = c;
  const rows = c.rows
    .filter((row) => row.ranked)
    .filter((row, i) => i < PARALLEL || row.baseline)
    .reverse(); // the best is drawn last, on top
  const names = [...new Set(c.rows.flatMap((row) => Object.keys(row.options)))];
  if (rows.length < 3 || !names.length) return;
  const value = (row, name) => (name === "regularizer" ? row.regularizer : (row.options[name] ?? "–"));
  const order = (a, b) => (a === "–" ? -1 : b === "–" ? 1 : a - b || a.localeCompare(b));
  const axes = ["regularizer", ...names]
    .map((name) => {
      const values = [...new Set(rows.map((row) => value(row, name)))].sort(order);
      const at = (v) => (values.length > 1 ? 0.04 + (0.92 * values.indexOf(v)) / (values.length - 1) : 0.5);
      return {
        name,
        discrete: true,
        picked: state.picked[name],
        ticks: values.map((v) => [at(v), v]),
        at: (row, i) => at(value(row, name)) + 0.05 * (i / rows.length - 0.5),
      };
    })
    .filter((a) => a.ticks.length > 1);
  for (const part of new Set(["val", measure])) {
    const values = rows.map((row) => row[`${part}_mean`]).filter((v) => v !== null),
      low = Math.min(...values),
      high = Math.max(...values);
    const at = (v) => (v === null ? null : high > low ? (v - low) / (high - low) : 0.5);
    axes.push({
      name: part === "val" ? "validation" : part,
      ticks: [low, (low + high) / 2, high].map((v) => [at(v), v.toFixed(metric.digits)]),
      at: (row) => at(row[`${part}_mean`]),
    });
  }
  lead.textContent =
    "One line per group; darker means better on validation; the baseline is dotted. " +
    "Click a value to show only the groups that have it." +
    (c.rows.length > PARALLEL ? ` Only the best ${PARALLEL} groups are drawn.` : "");
  const fits = (row) => Object.entries(state.picked).every(([name, wanted]) => value(row, name) === wanted);
  const lines = rows.map((row, i) => ({
    label: row.group,
    base: row.baseline,
    share: rows.length > 1 ? (i / (rows.length - 1)) ** 2 : 1,
    dim: !fits(row),
    at: axes.map((a) => a.at(row, i)),
    said: `validation ${fixed(row.val_mean)}${unit()}`,
  }));
  Plots.parallel(home, axes, lines, (name, text) => {
    if (state.picked[name] === text) delete state.picked[name];
    else state.picked[name] = text;
    section("parallel", (again, same) => parallel(again, same, c));
  });
}
