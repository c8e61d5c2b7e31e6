/* Which groups are drawn, and the sections of figures drawn of them. */

/** At first the best group and the baseline; where the baseline is the best, the second best. */
function choose() {
  const { rows, baseline } = current();
  state.slots = new Map([[rows[baseline].identity, "slot0"]]);
  const best = rows.find((row) => row.ranked && !row.baseline);
  if (best) take(best);
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
  figuresOfSelected();
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

function figures() {
  const c = current();
  section("effects", (home, lead) => drawForest(home, lead, c));
  section("pairs", (home, lead) => {
    lead.textContent =
      `Mean validation ${c.metric.name}${unit()} for each pair of values; the best cell is framed.` +
      (c.pairs_more ? ` ${c.pairs_more} more pairs are not shown.` : "");
    c.pairs.forEach((chart) => drawHeat(home, chart, c.metric));
  });
  section("parallel", (home, lead) => drawParallel(home, lead, c));
  section("ranking", (home, lead) => drawRanking(home, lead, state.data.ranking));
  figuresOfSelected();
}

/** The figures of the groups that are ticked in the table. */
function figuresOfSelected() {
  const c = current(),
    drawn = c.rows.filter((row) => state.slots.has(row.identity));
  const items = () =>
    drawn.map((row) => legendItem(row.group + (row.baseline ? " (baseline)" : ""), state.slots.get(row.identity)));
  document.querySelectorAll(".legend").forEach((legend) => legend.replaceChildren(...items()));
  const lines = drawn.map((row) => ({
    label: row.group,
    slot: state.slots.get(row.identity),
    series: c.curves[row.index] || {},
  }));
  lines.sort((a, b) => (a.slot !== "slot0") - (b.slot !== "slot0")); // the baseline lies beneath the others
  section("options", (home, lead) => trends(home, lead, c, drawn));
  overEpochs(c, lines);
  section("cost", (home, lead) => drawCost(home, lead, c));
  contents();
  downloads();
}

/** Learning curves, schedules and what was measured while training. */
function overEpochs({ metric }, lines) {
  const has = (name) => lines.some((line) => line.series[name]);
  const active = (name) => lines.some((line) => line.series[name]?.y.some((v) => v > 0));
  section("curves", (home) => {
    const loss = has("train/cross_entropy") ? "train/cross_entropy" : "train/loss";
    const parts = { train: `train/${metric.name}`, val: `val/${metric.name}` };
    if (metric.name !== "loss") drawCurves(home, metric.name + (metric.percent ? ", %" : ""), lines, parts, unit());
    drawCurves(home, loss === "train/loss" ? "loss" : "cross-entropy", lines, { train: loss, val: "val/loss" }, "");
  });
  section("schedules", (home) => {
    if (active("rate/dropout")) drawCurves(home, "dropout", lines, { rate: "rate/dropout" }, "");
    if (active("rate/drop_path")) drawCurves(home, "stochastic depth", lines, { rate: "rate/drop_path" }, "");
  });
  section("analysis", (home) => {
    for (const [name, caption] of Object.entries(ANALYSES))
      if (has(name)) drawCurves(home, caption, lines, { mean: name }, "");
  });
}

function trends(home, lead, c, drawn) {
  const regularizers = [...new Set(c.trends.flatMap((chart) => chart.lines.map((line) => line.regularizer)))];
  // A regularizer's lines have the colour of its group in the other figures, or one that is free.
  const free = Array.from({ length: SLOTS }, (_, i) => `slot${i + 1}`).filter(
    (slot) => ![...state.slots.values()].includes(slot),
  );
  const slots = Object.fromEntries(
    regularizers.map((name, i) => {
      const row = drawn.find((one) => one.regularizer === name && !one.baseline);
      return [name, row ? state.slots.get(row.identity) : free.shift() || `slot${1 + (i % SLOTS)}`];
    }),
  );
  lead.textContent =
    "The best group on validation at each value: mean with 95 % interval; small dots are seeds. " +
    `The dotted line is ${c.rows[c.baseline].group}.`;
  const base = c.rows[c.baseline][`${c.measure}_mean`];
  c.trends.forEach((chart) => drawTrend(home, chart, slots, c.metric, c.measure, base));
  $("#options .legend").replaceChildren(...regularizers.map((name) => legendItem(name, slots[name])));
}

/** Draw a section again, and hide it where there is nothing to draw. */
function section(id, fill) {
  const part = $(`#${id}`),
    home = $(".grid, .wide", part);
  part.hidden = false; // a plot measures its place
  Charts.update(home, () => fill(home, $(".lead", part)));
  part.hidden = !home.childElementCount;
}
function legendItem(text, slot) {
  const item = make("li", {}, text);
  item.style.setProperty("--swatch", `var(--${slot})`);
  return item;
}
