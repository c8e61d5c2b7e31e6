/* The figures of rdrop-analyze: a line per group over steps, with a band. Charts is rdrop_exp/report/charts.js. */
const data = JSON.parse(document.querySelector("#data").textContent);
const DASHES = ["solid", "dash", "dot", "dashdot"];
const slot = (line) => `slot${line.baseline ? 0 : 1 + (line.number % 6)}`;
const dash = (line) => DASHES[Math.floor(line.number / 6) % DASHES.length];

function drawFigure(figure) {
  const traces = [],
    words = [];
  for (const curve of figure.lines) {
    const line = data.lines[curve.line],
      colour = Charts.colour(slot(line)),
      band = Charts.band(curve, slot(line));
    if (band) traces.push(band);
    traces.push({
      x: curve.x,
      y: curve.y,
      mode: curve.x.length > 1 ? "lines" : "markers",
      line: { color: colour, dash: dash(line), width: 2 },
      marker: { color: colour },
      hovertemplate: `%{y:.4~g} at step %{x}<extra>${Charts.escaped(line.label)}</extra>`,
    });
    words.push(`${line.label} ends at ${Charts.format(curve.y.at(-1))}`);
  }
  const yaxis = figure.log ? { type: "log", exponentformat: "power", dtick: 1 } : { rangemode: "tozero" };
  Charts.draw(document.querySelector(".grid"), figure.title, `Lines over steps: ${words.join("; ")}.`, traces, {
    xaxis: Charts.axis("step"),
    yaxis: Charts.axis("", yaxis),
  });
}

for (const line of data.lines) {
  const item = document.createElement("li");
  item.textContent = line.label + (line.seeds > 1 ? ` (${line.seeds} seeds)` : "");
  item.style.setProperty("--swatch", `var(--${slot(line)})`);
  document.querySelector(".legend").append(item);
}
data.figures.forEach(drawFigure);
document.querySelector("#steps").hidden = !data.figures.length;
document.querySelector("#measured").hidden = !document.querySelector("#measured tbody tr");
