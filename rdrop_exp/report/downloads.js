/* Downloads of the comparison, from the data in the page. */
function save(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A cell that no spreadsheet takes for a formula, quoted where it must be. */
function csvCell(value) {
  if (typeof value !== "string") return value ?? "";
  const text = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One line per group of all settings, with a column for each swept option. */
function asCsv() {
  const rows = state.data.comparisons.flatMap((c) => c.rows),
    hidden = ["options", "ranked", "index", "time", "wandb"];
  const names = Object.keys(rows[0]).filter((name) => !hidden.includes(name));
  const swept = [...new Set(rows.flatMap((row) => Object.keys(row.options)))];
  const lines = rows.map((row) => [...names.map((name) => row[name]), ...swept.map((name) => row.options[name])]);
  return [[...names, ...swept], ...lines].map((line) => `${line.map(csvCell).join(",")}\n`).join("");
}

/** The SVG of a figure, by Plotly. */
async function saveFigure(plot, name) {
  const url = await Plotly.toImage(plot, { format: "svg", width: plot.clientWidth, height: plot.clientHeight });
  save(`${name}.svg`, "image/svg+xml", decodeURIComponent(url.slice(url.indexOf(",") + 1)));
}

const fileName = (text) => text.replaceAll(/[^\w.-]+/g, "-").replaceAll(/^-+|-+$/g, "") || "report";

function downloads() {
  const button = (text, action) => make("button", { type: "button", className: "plain", onclick: action }, text);
  const name = fileName(state.data.title);
  $("#downloads").replaceChildren(
    "Download: ",
    button("CSV", () => save(`${name}.csv`, "text/csv", asCsv())),
    " ",
    button("JSON", () => save(`${name}.json`, "application/json", JSON.stringify(state.data, null, 1))),
  );
  for (const figure of document.querySelectorAll("main figure")) {
    if ($("button", figure)) continue;
    const title = () => fileName(figure.dataset.key || figure.closest("section").id);
    const svg = button("SVG", () => saveFigure($(".plot", figure), title()));
    svg.setAttribute("aria-label", `Download ${title()} as SVG`);
    $("figcaption", figure).after(svg);
  }
}
