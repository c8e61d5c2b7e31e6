/* Groups ranked over the settings of the report: average ranks, and who beats whom. */
function drawRanking(home, lead, ranking) {
  if (!ranking) return;
  const { groups, average_ranks: ranks, settings, left_out: left } = ranking;
  lead.textContent =
    `Groups that ${settings.length} settings share, by their rank in each; 1 is best. ${ranking.verdict}` +
    (left.length ? ` Not in the ranking, for want of shared groups: ${left.join(", ")}.` : "");
  const places = groups.map((_, i) => groups.length - 1 - i),
    names = { tickvals: places, ticktext: groups.map(Charts.escaped), showgrid: false };
  const half = ranking.critical_difference / 2;
  const bars = { type: "data", array: groups.map(() => half), color: Charts.colour("accent"), thickness: 2, width: 0 };
  const points = {
    x: ranks,
    y: places,
    mode: "markers",
    marker: { color: Charts.colour("accent"), size: 9 },
    error_x: bars,
    hovertemplate: "%{x:.3~g}<extra></extra>",
  };
  const layout = {
    xaxis: Charts.axis(`average rank, ± half the critical difference (${Charts.format(2 * half)})`),
    yaxis: Charts.axis("", { ...names, range: [-0.7, groups.length - 0.3] }),
  };
  const words = groups.map((group, i) => `${group}: ${Charts.format(ranks[i])}`);
  Charts.draw(home, "average rank", `${words.join("; ")}.`, [points], layout, 90 + 24 * groups.length, 480);
  drawWins(home, ranking, names);
}

/** A cell is the number of settings in which the row's group beats the column's. */
function drawWins(home, { groups, wins, settings }, names) {
  const trace = {
    type: "heatmap",
    x: groups.map((_, i) => i),
    y: names.tickvals,
    z: wins.map((row, i) => row.map((value, j) => (i === j ? null : value))),
    zmin: 0,
    zmax: settings.length,
    showscale: false,
    xgap: 2,
    ygap: 2,
    colorscale: [
      [0, Charts.mixed("paper", "accent", 0.08)],
      [1, Charts.mixed("paper", "accent", 0.95)],
    ],
    texttemplate: "%{z}",
    hoverongaps: false,
    customdata: groups.map((one) => groups.map((other) => `${Charts.escaped(one)}<br>beats ${Charts.escaped(other)}`)),
    hovertemplate: `%{customdata}<br>in %{z} of ${settings.length} settings<extra></extra>`,
  };
  const heads = { tickvals: trace.x, ticktext: trace.x.map((i) => `${i + 1}`), side: "top", showgrid: false };
  const layout = {
    xaxis: Charts.axis("", heads),
    yaxis: Charts.axis("", { ...names, ticktext: names.ticktext.map((name, i) => `${name}  ${i + 1}`) }),
    margin: { l: 48, r: 12, t: 28, b: 10 },
  };
  const beaten = (row) => groups.flatMap((group, j) => (row[j] > settings.length / 2 ? [group] : []));
  const words = groups.map((group, i) => `${group} beats ${beaten(wins[i]).join(", ") || "none"} more often than not`);
  const caption = `wins in ${settings.length} settings (row over column; a tie counts half)`;
  Charts.draw(home, caption, `${words.join("; ")}.`, [trace], layout, 60 + 28 * groups.length, 480);
}
