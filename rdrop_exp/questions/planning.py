"""What a plan says before its trials start: whether its expectations can be answered, and what it can detect."""

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_slots import PlannedTrial
from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions.contrasts import Key
from rdrop_exp.questions.expectation import TRAINING, Expectation, Kind, parse
from rdrop_exp.questions.flat import flatten
from rdrop_exp.questions.measure import Measure, lacking, unit_of
from rdrop_exp.questions.selector import with_labels
from rdrop_exp.questions.series import course, levels, setting_of, sides
from rdrop_exp.runs.folder import load_result
from rdrop_exp.statistics.paired import mean_sd
from rdrop_exp.statistics.power import seeds_needed, smallest_detectable
from rdrop_exp.statistics.sequential import PLANNED

MOST_RESULTS = 1000
"""Finished trials that are read for their spread."""
NARROWS_NOTHING = ("hydra", "sweep=", "scale=", "name=", "output_dir=", "logger", "analysis.")
"""Beginnings of overrides that leave the groups of a sweep as they are."""


def check(texts: Mapping[str, Any], trials: Sequence[PlannedTrial]) -> list[str]:
    """Sentences for the plan; `OptionError` for an expectation that these trials cannot answer.

    `texts` is what the sweep's file says: seeds, smallest, spread and expects. Where overrides of the command line
    (`arguments`) have changed its groups, an expectation about a group that is not there is only mentioned.
    """
    firsts = {t.group: t for t in reversed(trials) if t.group and t.options}
    groups = {group: with_labels(flatten(t.options), t.options) for group, t in reversed(firsts.items())}
    expectations = parse(texts.get("expects"), texts.get("smallest"))
    narrowed = any(not str(a).lstrip("+~").startswith(NARROWS_NOTHING) for a in texts.get("arguments") or ())
    notes = []
    for e in expectations:
        try:
            answerable(e, groups)
            if option := lacking(e.on, [t.options for t in trials]) if e.on else "":
                raise OptionError(f"{e.where}: on={e.on.name if e.on else ''} is measured only with {option}")
        except OptionError as error:
            if not narrowed:
                raise
            notes.append(f"Not answered by these trials: {error}")
    return notes + detectable(texts, trials, groups, len(expectations))


def answerable(e: Expectation, groups: Mapping[str, Mapping[str, Any]]) -> None:
    """`OptionError` where the groups that an expectation compares are missing."""
    if e.kind is not Kind.SHAPE:
        sides(e, groups)
    elif e.over == TRAINING:
        course(e, groups)
    else:
        levels(e, groups)


def detectable(
    texts: Mapping[str, Any], trials: Sequence[PlannedTrial], groups: Mapping[str, Any], lines: int
) -> list[str]:
    """What the plan can detect, in a sentence; nothing for plans that compare nothing."""
    seeds = texts.get("seeds") or min(Counter(t.group for t in trials).values(), default=0)
    if seeds < 2 or len(groups) < 2:
        return []
    if len({t.metric for t in trials}) > 1:
        return ["What these seeds can detect is not said: the trials are compared by several metrics"]
    spread, finished = texts.get("spread"), 0
    if not spread:
        spread, finished = known_spread(trials, groups)
    if not spread:
        stated = texts.get("seeds") or texts.get("smallest") or lines
        hint = "add spread, the standard deviation of paired differences, to the sweep file, or run a few trials first"
        return [f"What {seeds} seeds can detect is unknown: {hint}"] if stated else []
    unit = f" {unit}" if (unit := unit_of(_metric(trials))) else ""
    level = PLANNED / (lines or len(groups) - 1)
    found = smallest_detectable(spread, seeds, level)
    of = f", from {finished} finished trials" if finished else ""
    sentences = [
        f"With {seeds} seeds this plan finds differences of {rounded_up(found or 0):g}{unit} or more with 80 % power"
        f" (standard deviation of paired differences {spread:.2g}{of})"
    ]
    smallest = texts.get("smallest")
    if smallest and found and found > smallest:
        needed = seeds_needed(smallest, spread, level)
        sentences.append(
            f"To find the smallest difference worth having ({smallest:g}{unit}), it would need"
            f" {needed or 'more than 10,000'} seeds"
        )
    return sentences


def _metric(trials: Sequence[PlannedTrial]) -> str:
    """What the trials are compared by: accuracy, unless they say otherwise."""
    return next((t.metric.rpartition("/")[2] for t in trials if t.metric), "accuracy")


def rounded_up(value: float) -> float:
    """To two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / unit - 1e-9) * unit


def known_spread(trials: Sequence[PlannedTrial], groups: Mapping[str, Any]) -> tuple[float | None, int]:
    """Standard deviation of paired differences on test, in the report's unit, and the number of trials it is from.

    Pooled over pairs of groups of the plan's settings: among finished trials of the same experiment, or else of all
    under `output_dir`. None where nothing is known.
    """
    wanted = {setting_of(flat) for flat in groups.values()}
    here = {Path(t.folder).parent for t in trials}
    roots = {Path(str(t.options.get("output_dir") or "outputs")) for t in trials if t.options}
    near = (path for folder in sorted(here) for path in sorted(folder.glob("*/result.json")))
    far = (path for root in sorted(roots) for depth in ("*/*", "*/*/*") for path in root.glob(f"{depth}/result.json"))
    for paths in (near, far):
        found = _results(itertools.islice(paths, MOST_RESULTS), wanted, Measure(f"test/{_metric(trials)}"))
        if spread := pooled(found):
            return spread, sum(len(values) for of_setting in found.values() for values in of_setting.values())
    return None, 0


def _results(paths: Iterable[Path], wanted: set[str], measure: Measure) -> dict[str, dict[str, dict[Key, float]]]:
    """The measure in the report's unit by setting, group and key, of finished trials in a wanted setting."""
    found: dict[str, dict[str, dict[Key, float]]] = defaultdict(lambda: defaultdict(dict))
    for group, options, value in _finished(paths, measure.name):
        setting = setting_of(flatten(options))
        if setting in wanted:
            key = options.get("seed", 0), options["dataset"].get("split_seed", 0)
            found[setting][group][key] = measure.scale * value
    return found


def _finished(paths: Iterable[Path], name: str) -> Iterator[tuple[str, dict[str, Any], float]]:
    for path in paths:
        try:
            result = load_result(path.parent)
            group, options, value = result["group"], result["options"], result["metrics"][name]
            if result["status"] == "finished" and isinstance(options["dataset"], dict):
                json.dumps(options, sort_keys=True)
                yield str(group), options, float(value)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue


def pooled(found: Mapping[str, Mapping[str, Mapping[Key, float]]]) -> float | None:
    """√ of the variance of paired differences, averaged over pairs of groups by their degrees of freedom."""
    squares, degrees = 0.0, 0
    for of_setting in found.values():
        for a, b in itertools.combinations(of_setting.values(), 2):
            differences = [a[key] - b[key] for key in a.keys() & b.keys()]
            if len(differences) > 1:
                squares += (len(differences) - 1) * (mean_sd(differences)[1] or 0.0) ** 2
                degrees += len(differences) - 1
    return (squares / degrees) ** 0.5 if squares else None
