"""The page of rdrop-report with the race drawn: paired differences on validation over seeds, and who left when."""

import html
import json
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from rdrop_exp.choose.live import paired
from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Answer, Stage, Trial
from rdrop_exp.choose.scale import Scale
from rdrop_exp.choose.state import Scores
from rdrop_exp.choose.trials import label
from rdrop_exp.choose.words import why

SCRIPT = """
/* The race: lines end where a setting left it. */
function drawRace() {
  const { lines, unit } = JSON.parse($("#race-data").textContent);
  const traces = lines.map((line) => ({
    x: line.x, y: line.y, name: line.name, mode: "lines+markers",
    line: { color: Charts.colour(line.best ? "good" : line.left ? "line" : "slot0"), width: line.best ? 3 : 1.5 },
    marker: { size: line.x.map((_, i) => (i === line.x.length - 1 ? 8 : 4)), symbol: line.left ? "x" : "circle" },
    text: line.x.map(() => Charts.escaped(line.left || line.name)), hovertemplate: "%{y:.2f}, %{x} seeds<br>%{text}<extra></extra>",
  }));
  const layout = {
    xaxis: Charts.axis("seeds", { type: "log", dtick: "D2" }),
    yaxis: Charts.axis(`validation, difference from none (${unit})`, { zeroline: true, zerolinecolor: Charts.colour("quiet") }),
  };
  Charts.draw($("#race .wide"), "", lines.map((line) => line.name).join("; "), traces, layout, 420, 480);
}
drawRace();
$("#theme").addEventListener("click", drawRace);
"""  # noqa: E501


def curves(scores: Scores, answer: Answer, scale: Scale) -> list[dict[str, Any]]:
    """For each setting that raced: running mean of its paired differences to the baseline, and why it left."""
    left, sign = {event.setting: why(event, scale) for event in answer.events}, 1 if scale.higher_is_better else -1
    lines = []
    for setting, gains in paired(scores).items():
        if setting != BASELINE:
            y = [round(sign * total / n, 4) for n, total in enumerate(accumulate(gains), 1)]
            name, x, best = label(setting), list(range(1, len(y) + 1)), setting == answer.best
            lines.append({"name": name, "x": x, "y": y, "left": left.get(setting, ""), "best": best})
    return lines


def section(lines: list[dict[str, Any]], answer: Answer, scale: Scale) -> str:
    """HTML of the race."""
    data = json.dumps({"lines": lines, "unit": scale.unit}, ensure_ascii=False).replace("<", "\\u003c")
    events = "".join(f"<li>Round {e.round}: {html.escape(why(e, scale))}</li>" for e in answer.events)
    return (
        '<section id="race" data-short="Race"><h2>Race</h2>'
        '<p class="lead">Running mean over seeds. Crosses mark settings that have left the race.</p>'
        f'<div class="wide"></div><details><summary>Who left the race, and why</summary><ul class="notes">{events}</ul>'
        f'</details><script type="application/json" id="race-data">{data}</script></section>'
    )


def write_page(
    folder: Path, folders: Mapping[Trial, Path], paragraph: str, scores: Scores, answer: Answer, scale: Scale
) -> Path:
    """`folder/report.html`: of the confirmation where there is one, else of the race, on validation alone.

    `folders`: of all trials of the choice; some may be of other experiments. The answer is the page's headline.
    """
    from rdrop_exp.report.collect import collect
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.page import as_json, build_page, payload
    from rdrop_exp.report.trial import Trial as ReadTrial

    confirmed = answer.stage == Stage.CONFIRM
    shown = [path for (_, seed), path in folders.items() if (seed >= CONFIRM_SEED) == confirmed]
    known: dict[str, tuple[int, ReadTrial]] = {}
    if not confirmed:  # test metrics of settings that were selected are not shown
        collect(shown, known)
        for _, trial in known.values():
            trial.metrics = {name: v for name, v in trial.metrics.items() if not name.startswith("test/")}
    report = make_report(shown, known=known)
    values = payload(report)
    for comparison in values["comparisons"]:
        comparison["conclusion"] = [paragraph, ""]
    drawn = section(curves(scores, answer, scale), answer, scale)
    path = folder / "report.html"
    path.write_text(build_page(report, data=as_json(values), section=drawn, script=SCRIPT), encoding="utf-8")
    return path
