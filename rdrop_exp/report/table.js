/* The table of groups. */
const spread = (mean, sd) =>
  mean === null ? [] : [fixed(mean), sd === null ? null : make("span", { className: "sd" }, ` ± ${fixed(sd)}`)];
const pValue = (p) => (p === null ? "" : p < 0.001 ? "<0.001" : p.toFixed(3));
function verdict(row) {
  if (row.baseline) return "baseline";
  if (!row.seeds) return "not finished";
  const more = row.more_seeds ? ` · ${row.more_seeds} more seed${row.more_seeds > 1 ? "s" : ""} needed` : "";
  return make("span", { className: row.verdict.replaceAll(" ", "-") }, row.verdict + more);
}
/** key, heading, cell, first direction of sorting. */
const COLUMNS = [
  ["rank", "group", null, 1],
  ["val_mean", "validation", (r) => spread(r.val_mean, r.val_sd), 0],
  ["test_mean", "test", (r) => spread(r.test_mean, r.test_sd), 0],
  ["difference", "difference [95 %]", (r, reach) => [difference(r, reach)], 0],
  ["p_holm", "p (Holm)", (r) => [pValue(r.p_holm)], 1],
  ["verdict", "verdict", (r) => [verdict(r)], 1],
  ["seeds", "seeds", (r) => [String(r.seeds)], -1],
  ["train_loss", "train loss", (r) => [fixed(r.train_loss, 4)], 1],
  ["gap", "gap", (r) => [fixed(r.gap)], 1],
  [
    "seconds",
    "time",
    (r) => [
      r.time,
      r.relative_cost === null ? null : make("span", { className: "sd" }, ` ×${fixed(r.relative_cost, 2)}`),
    ],
    1,
  ],
  [
    "images_per_second",
    "images/s",
    (r) => [r.images_per_second === null ? "" : Math.round(r.images_per_second).toLocaleString("en")],
    -1,
  ],
];

function difference(row, reach) {
  if (row.difference === null) return "";
  const text =
    signed(row.difference) +
    (row.difference_low === null ? "" : ` [${fixed(row.difference_low)}, ${fixed(row.difference_high)}]`);
  const x = (value) => 36 + 34 * Math.max(-1, Math.min(1, value / reach));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shape = (tag, properties) => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    svg.append(element);
  };
  for (const [name, value] of Object.entries({ width: 72, height: 14, "aria-hidden": "true" }))
    svg.setAttribute(name, value);
  const ink = row.verdict === "better" ? "var(--good)" : row.verdict === "worse" ? "var(--bad)" : "var(--quiet)";
  shape("line", { x1: 36, x2: 36, y1: 0, y2: 14, stroke: "var(--line)", "stroke-width": 1.5 });
  if (row.difference_low !== null)
    shape("line", {
      x1: x(row.difference_low),
      x2: x(row.difference_high),
      y1: 7,
      y2: 7,
      stroke: ink,
      "stroke-width": 2,
    });
  shape("circle", { cx: x(row.difference), cy: 7, r: 3.5, fill: ink });
  return make("span", { className: "effect" }, text, svg);
}

/** Scale of the small intervals: four fifths of them fit, so that one outlier does not flatten the others. */
function reachOf(rows) {
  const ends = rows
    .filter((r) => r.difference !== null)
    .map((r) => Math.max(Math.abs(r.difference_low ?? r.difference), Math.abs(r.difference_high ?? r.difference)))
    .sort((a, b) => a - b);
  return ends[Math.floor(0.8 * (ends.length - 1))] || 1;
}

function sorted(rows) {
  const [key, direction] = state.sort;
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  return [...rows].sort((a, b) => {
    if (a[key] === null || b[key] === null) return (a[key] === null) - (b[key] === null) || a.rank - b.rank;
    return direction * order(a[key], b[key]) || a.rank - b.rank;
  });
}

function table() {
  const { rows, metric, best, measure, setting } = current();
  const head = make(
    "tr",
    {},
    ...COLUMNS.map(([key, title, , first]) => {
      const [by, direction] = state.sort;
      const button = make(
        "button",
        { type: "button", onclick: () => sortBy(key, first || (metric.higher ? -1 : 1)) },
        title,
      );
      const cell = make("th", { scope: "col", className: ["rank", "verdict"].includes(key) ? "words" : "" }, button);
      cell.dataset.key = key;
      cell.setAttribute("aria-sort", by === key ? (direction > 0 ? "ascending" : "descending") : "none");
      return cell;
    }),
  );
  const needle = $("#filter").value.trim().toLowerCase();
  const fitting = sorted(rows).filter((row) => row.group.toLowerCase().includes(needle));
  const shown = state.all ? fitting : fitting.slice(0, ROWS),
    reach = reachOf(rows);
  $("#table").replaceChildren(
    make(
      "caption",
      { className: "quiet words", style: "position:absolute;left:-99rem" },
      `Groups of ${setting}, ${metric.name}`,
    ),
    make("thead", {}, head),
    make("tbody", {}, ...shown.map((row) => tableRow(row, reach, row.rank - 1 === best))),
  );
  $("#filter-label").hidden = rows.length <= 15;
  $("#filter-count").textContent = needle ? `${fitting.length} of ${rows.length} groups` : "";
  $("#all-rows").hidden = fitting.length <= ROWS;
  $("#all-rows").textContent = state.all ? `Show the first ${ROWS}` : `Show all ${fitting.length} groups`;
  $("#groups-lead").textContent =
    `${rows.length} group${rows.length > 1 ? "s" : ""} on ${setting}, ` +
    `${metric.name}${metric.percent ? " in percent" : ""}: ` +
    `ranked on validation, compared on ${measure}. Tick groups to show them in the figures.`;
  $("#notes").replaceChildren(
    ...[...state.data.notes, ...current().notes].map((note) => make("li", {}, ...marked(note))),
  );
}

function tableRow(row, reach, best) {
  const slot = state.slots.get(row.identity);
  const box = make("input", {
    type: "checkbox",
    checked: slot !== undefined,
    onchange: (event) => toggle(row, event.target),
  });
  if (slot) box.style.setProperty("--swatch", `var(--${slot})`);
  const name = make(
    "th",
    { scope: "row" },
    make("label", { title: "Show in the figures" }, box, make("span", {}, row.group)),
  );
  const cells = COLUMNS.slice(1).map(([key, , cell]) =>
    make("td", { className: key === "verdict" ? "words" : "" }, ...cell(row, reach)),
  );
  return make("tr", { className: `${best ? "best" : ""} ${row.baseline ? "baseline" : ""}` }, name, ...cells);
}

function sortBy(key, first) {
  state.sort = [key, state.sort[0] === key ? -state.sort[1] : first];
  table();
  $(`th[data-key="${key}"] button`).focus();
  remember();
}
