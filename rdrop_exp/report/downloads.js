/* Downloads of the comparison and of the figures, from the data in the page. */
function save(name, type, content) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
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
    hidden = ["options", "ranked", "index", "time", "wandb", "outlook"];
  const names = Object.keys(rows[0]).filter((name) => !hidden.includes(name));
  const swept = [...new Set(rows.flatMap((row) => Object.keys(row.options)))];
  const lines = rows.map((row) => [...names.map((name) => row[name]), ...swept.map((name) => row.options[name])]);
  return [[...names, ...swept], ...lines].map((line) => `${line.map(csvCell).join(",")}\n`).join("");
}

const fileName = (text) =>
  text
    .replaceAll(/[^\w.-]+/g, "-")
    .replaceAll(/^[-.]+|-+$/g, "")
    .slice(0, 80) || "report";
const figureName = (figure) =>
  [figure.closest("section").id, figure.dataset.key]
    .filter(Boolean)
    .map(fileName)
    .join("-");

/** A figure as text ("svg") or base64 ("png"), with the caption and the legend that the page shows beside it. */
async function picture(figure, format) {
  const plot = $(".plot", figure),
    legend = [...figure.closest("section").querySelectorAll(".legend li")];
  const keys = legend.map((item) => ({
    x: [null],
    y: [null],
    mode: "lines",
    name: Charts.escaped(item.textContent),
    line: { color: getComputedStyle(item, "::before").backgroundColor, width: 4 },
    showlegend: true,
  }));
  const { margin } = plot.layout,
    top = figure.dataset.key ? 24 : 0,
    bottom = 20 * keys.length; // one line each where the figure is narrow
  const layout = {
    ...plot.layout,
    paper_bgcolor: Charts.colour("paper"),
    title: { text: Charts.escaped(figure.dataset.key), font: { size: 14 }, x: 0.01, y: 0.99, yanchor: "top" },
    margin: { ...margin, t: margin.t + top },
    showlegend: keys.length > 0,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
  };
  const data = [...plot.data.map((trace) => ({ ...trace, showlegend: false })), ...keys];
  const size = { width: plot.clientWidth, height: plot.clientHeight + top + bottom, scale: format === "png" ? 3 : 1 };
  const url = await Plotly.toImage({ data, layout: { ...layout, height: size.height } }, { format, ...size });
  const encoded = url.slice(url.indexOf(",") + 1);
  return format === "svg" ? decodeURIComponent(encoded) : encoded;
}

function downloads() {
  const button = (text, action) => make("button", { type: "button", className: "plain", onclick: action }, text);
  const name = fileName(state.data.title);
  $("#downloads").replaceChildren(
    "Download: ",
    button("CSV", () => save(`${name}.csv`, "text/csv", asCsv())),
    " ",
    button("JSON", () => save(`${name}.json`, "application/json", JSON.stringify(state.data, null, 1))),
  );
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.codePointAt(0));
  for (const figure of document.querySelectorAll("main figure")) {
    if ($("button", figure)) continue;
    const title = figureName(figure);
    const svg = async () => save(`${title}.svg`, "image/svg+xml", await picture(figure, "svg"));
    const png = async () => save(`${title}.png`, "image/png", bytes(await picture(figure, "png")));
    const buttons = [button("SVG", svg), button("PNG", png)];
    for (const one of buttons) one.setAttribute("aria-label", `Download ${title} as ${one.textContent}`);
    $("figcaption", figure).after(make("span", { className: "saves" }, ...buttons));
  }
}

/** For `rdrop-report --figures`: the figures of every setting, as JSON in an element that the command reads. */
async function writeFigures() {
  const files = [],
    several = state.data.comparisons.length > 1;
  for (const [i, { setting }] of state.data.comparisons.entries()) {
    choosing(i);
    for (const figure of document.querySelectorAll("main > section:not([hidden]) figure")) {
      const whole = figure.closest("[data-whole]"); // of the report, the same for every setting
      if (whole && i) continue;
      const name = (several && !whole ? `${fileName(setting)}-` : "") + figureName(figure);
      files.push([name, await picture(figure, "svg"), await picture(figure, "png")]);
    }
  }
  const text = JSON.stringify(files).replaceAll("<", "\\u003c");
  document.body.append(make("script", { type: "application/json", id: "pictures" }, text));
}
if (location.hash === "#pictures") addEventListener("load", writeFigures);
