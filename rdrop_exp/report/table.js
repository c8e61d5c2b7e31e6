/* The table of groups. */
const small = (text) => make("span", { className: "sd" }, text);
const spread = (mean, sd) => (mean === null ? [] : [fixed(mean), sd === null ? null : small(` ± ${fixed(sd)}`)]);
const pValue = (p) => (p === null ? "" : p < 0.001 ? "<0.001" : p.toFixed(3));
function verdict(row) {
  if (row.baseline) return "baseline";
  if (!row.seeds) return "not finished";
  return make("span", { className: row.verdict.replaceAll(" ", "-") }, row.verdict + row.outlook);
}
function trainingTime(row) {
  return [row.time, row.relative_cost === null ? null : small(` ×${fixed(row.relative_cost, 2)}`)];
}
const range = (low, high, digits) => (low === null ? "" : `[${fixed(low, digits)}, ${fixed(high, digits)}]`);
const chance = (r) =>
  r.p_better === null ? [] : [`${fixed(r.p_better, 2)} `, small(range(r.p_better_low, r.p_better_high, 2))];
const whole = (value) => ((value ?? null) === null ? "" : Math.round(value).toLocaleString("en"));
/** key, heading, cell, first direction of sorting. */
const COLUMNS = [
  ["rank", "group", null, 1],
  ["val_mean", "validation", (r) => spread(r.val_mean, r.val_sd), 0],
  ["test_mean", "test", (r) => spread(r.test_mean, r.test_sd), 0],
  ["difference", "difference [95 %]", (r, reach) => [difference(r, reach)], 0],
  ["p_adjusted", "p", (r) => [pValue(r.p_adjusted)], 1],
  ["verdict", "verdict", (r) => [verdict(r)], 1],
  ["items_low", "with new test items [95 %]", (r) => [range(r.items_low, r.items_high)], 0],
  ["p_better", "P(better)", chance, 0],
  ["seeds", "seeds", (r) => [String(r.seeds)], -1],
  ["train_loss", "train loss", (r) => [fixed(r.train_loss, 4)], 1],
  ["gap", "gap", (r) => [fixed(r.gap)], 1],
  ["training_seconds", "training", trainingTime, 1],
  ["images_per_second", "images/s", (r) => [whole(r.images_per_second)], -1],
  ["tokens_per_second", "tokens/s", (r) => [whole(r.tokens_per_second)], -1],
];
/** Columns that no row has a value for. */
const OPTIONAL = ["items_low", "p_better", "images_per_second", "tokens_per_second"];
/** On a phone the difference and the verdict come first. */
function columns() {
  const first = narrow.matches ? ["rank", "difference", "verdict"] : [];
  const empty = OPTIONAL.filter((key) => current().rows.every((row) => (row[key] ?? null) === null));
  return [
    ...first.map((key) => COLUMNS.find((one) => one[0] === key)),
    ...COLUMNS.filter((one) => ![...first, ...empty].includes(one[0])),
  ];
}

function difference(row, reach) {
  if (row.difference === null) return "";
  const x = (value) => 28 + 26 * Math.max(-1, Math.min(1, value / reach));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const set = (element, properties) => {
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    return element;
  };
  const shape = (tag, properties) => svg.append(set(document.createElementNS(svg.namespaceURI, tag), properties));
  set(svg, { width: 56, height: 14, "aria-hidden": "true" });
  const ink = `var(--${inkOf(row)})`,
    middle = { y1: 7, y2: 7, stroke: ink, "stroke-width": 2 };
  shape("line", { x1: 28, x2: 28, y1: 0, y2: 14, stroke: "var(--line)", "stroke-width": 1.5 });
  if (row.difference_low !== null)
    shape("line", { ...middle, x1: x(row.difference_low), x2: x(row.difference_high) });
  shape("circle", { cx: x(row.difference), cy: 7, r: 3.5, fill: ink });
  return make("span", { className: "effect" }, intervalText(row), svg);
}

/** Rows without a value go last, in either direction. */
function sorted(rows) {
  const [key, direction] = state.sort;
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  return rows.toSorted((a, b) => {
    if (a[key] === null || b[key] === null) return (a[key] === null) - (b[key] === null) || a.index - b.index;
    return direction * (order(a[key], b[key]) || a.index - b.index);
  });
}

function heading([key, title, , first]) {
  const [by, direction] = state.sort,
    usual = first || (current().metric.higher ? -1 : 1);
  const button = make("button", { type: "button", onclick: () => sortBy(key, usual) }, title);
  const cell = make("th", { scope: "col", className: ["rank", "verdict"].includes(key) ? "words" : "" }, button);
  cell.dataset.key = key;
  cell.setAttribute("aria-sort", by === key ? (direction > 0 ? "ascending" : "descending") : "none");
  return cell;
}

function table() {
  const { rows, metric, measure, setting, notes } = current(),
    needle = $("#filter").value.trim().toLowerCase();
  const fitting = sorted(rows).filter((row) => row.group.toLowerCase().includes(needle));
  const shown = state.all ? fitting : fitting.slice(0, ROWS),
    reach = reachOf(rows);
  const caption = make("caption", { className: "unseen" }, `Groups of ${setting}, ${metric.name}`);
  $("#table").replaceChildren(
    caption,
    make("thead", {}, make("tr", {}, ...columns().map(heading))),
    make("tbody", {}, ...shown.map((row) => tableRow(row, reach))),
  );
  $("#filter-label").hidden = rows.length <= 15;
  $("#filter-count").textContent = needle ? `${fitting.length} of ${rows.length} groups` : "";
  $("#all-rows").hidden = fitting.length <= ROWS;
  $("#all-rows").textContent = state.all ? `Show the first ${ROWS}` : `Show all ${fitting.length} groups`;
  $("#groups-lead").textContent =
    `${rows.length} group${rows.length > 1 ? "s" : ""} on ${setting}, ` +
    `${metric.name}${metric.percent ? " in percent" : ""}: ranked on validation, compared on ${measure}. ` +
    "Tick groups to show them in the figures.";
  $("#notes").replaceChildren(...[...state.data.notes, ...notes].map((note) => make("li", {}, ...marked(note))));
}

function tableRow(row, reach) {
  const slot = state.slots.get(row.identity);
  const box = make("input", {
    type: "checkbox",
    checked: slot !== undefined,
    onchange: (event) => toggle(row, event.target),
  });
  if (slot) box.style.setProperty("--swatch", `var(--${slot})`);
  const label = make("label", { title: "Show in the figures" }, box, make("span", {}, row.group));
  const cells = columns()
    .slice(1)
    .map(([key, , cell]) => make("td", { className: key === "verdict" ? "words" : "" }, ...cell(row, reach)));
  const className = `${row.ranked && row.tied ? "best" : ""} ${row.baseline ? "baseline" : ""}`;
  return make("tr", { className }, make("th", { scope: "row" }, label), ...cells);
}

function sortBy(key, first) {
  state.sort = [key, state.sort[0] === key ? -state.sort[1] : first];
  table();
  $(`th[data-key="${key}"] button`).focus();
  remember();
}
