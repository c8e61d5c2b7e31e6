/* Draws the figures of rdrop-analyze: a line a group over steps, with a band. Colours come from the report's page.css. */
const data = JSON.parse(document.querySelector("#data").textContent);
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);
const colour = (name, alpha = 1) => {
  probe.style.color = `var(--${name})`;
  return `rgba(${getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).join(",")},${alpha})`;
};
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const DASHES = ["solid", "dash", "dot", "dashdot"];
const slot = (line) => `slot${line.baseline ? 0 : 1 + (line.number % 6)}`;
const dash = (line) => DASHES[Math.floor(line.number / 6) % DASHES.length];

function axis(title) {
  const quiet = colour("quiet");
  return { title: { text: title, standoff: 8, font: { size: 12, color: quiet } }, gridcolor: colour("line"), zeroline: false,
    linecolor: colour("line"), tickfont: { size: 11, color: quiet }, automargin: true };
}

function draw(figure) {
  const traces = [], said = [];
  for (const { line, x, y, low, high } of figure.lines) {
    const name = data.lines[line].label, own = data.lines[line];
    const inside = x.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null);
    const at = (values) => inside.map((i) => values[i]);
    if (inside.length > 1) traces.push({ x: [...at(x), ...at(x).reverse()], y: [...at(high), ...at(low).reverse()], fill: "toself",
      fillcolor: colour(slot(own), 0.14), line: { width: 0 }, mode: "lines", hoverinfo: "skip" });
    traces.push({ x, y, mode: x.length > 1 ? "lines" : "markers", line: { color: colour(slot(own)), dash: dash(own), width: 2 }, marker: { color: colour(slot(own)) },
      hovertemplate: `%{y:.4~g} at step %{x}<extra>${escaped(name)}</extra>` });
    said.push(`${name} ends at ${y.at(-1)}`);
  }
  const home = document.createElement("figure"), title = document.createElement("figcaption"), plot = document.createElement("div");
  title.textContent = figure.title;
  plot.className = "plot";
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${figure.title}: lines over steps; ${said.join("; ")}.`);
  home.append(title, plot);
  document.querySelector(".grid").append(home);
  Plotly.newPlot(plot, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest", height: 280, dragmode: "zoom",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") }, margin: { l: 48, r: 12, t: 10, b: 40 },
    xaxis: axis("step"), yaxis: { ...axis(""), ...(figure.log ? { type: "log", exponentformat: "power", dtick: 1 } : { rangemode: "tozero" }) },
  }, { displayModeBar: false, responsive: true });
}

for (const line of data.lines) {
  const item = document.createElement("li");
  item.textContent = line.label + (line.seeds > 1 ? ` (${line.seeds} seeds)` : "");
  item.style.setProperty("--swatch", `var(--${slot(line)})`);
  document.querySelector(".legend").append(item);
}
data.figures.forEach(draw);
document.querySelector("#steps").hidden = !data.figures.length;
document.querySelector("#measured").hidden = !document.querySelector("#measured tbody tr");
