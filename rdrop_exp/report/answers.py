"""Answers to what sweeps expected, from the trials of a report.

Every line of `expects` is tested on paired seeds, at an equal share of the 5 % that the lines of a report may be wrong
in together, however often one looks (`rdrop_exp.statistics.sequential`). Where a line makes several claims at once, all
must hold (intersection–union test), and one that is refuted at its part of the share refutes the line.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rdrop_exp.config.schema import OptionError
from rdrop_exp.questions import contrasts as make
from rdrop_exp.questions.contrasts import Contrast, Values
from rdrop_exp.questions.evidence import Evidence
from rdrop_exp.questions.expectation import MOST_LINES, TRAINING, Expectation, Kind, Shape, parse_line
from rdrop_exp.questions.measure import Measure, Window, value
from rdrop_exp.questions.selector import Flat, with_labels
from rdrop_exp.questions.series import Levels, by_value, course, levels, numbers, sides
from rdrop_exp.report.comparison import Report, Row
from rdrop_exp.report.expected import Answer, AnswerRow
from rdrop_exp.report.plan import planned_seeds
from rdrop_exp.report.sweep import Sweep
from rdrop_exp.report.text import one_line
from rdrop_exp.report.trial import Status
from rdrop_exp.statistics.power import POWER


@dataclass(slots=True)
class Question:
    """One line on the groups of one setting."""

    row: AnswerRow
    contrasts: list[Contrast] = field(default_factory=list)
    smallest: float | None = None
    complete: bool = True
    """Whether every group has its planned seeds, so that the choice among them is final."""


def answers(report: Report, smallest: float | None = None, power: float = POWER) -> list[AnswerRow]:
    """A row for every line of `expects` and setting; lines that cannot be read or answered say why in `note`.

    `smallest` takes the place of the sweeps' own.
    """
    parts: dict[str, list[Sweep]] = {}  # one sweep that ran in several folders asks once
    for sweep in report.sweeps:
        if sweep.expects:
            parts.setdefault(f"{sweep.title} {sweep.smallest} {sweep.expects}", []).append(sweep)
    questions = [question for sweeps in parts.values() for question in _Asked(report, sweeps, smallest).questions()]
    for question in questions:
        if question.contrasts:
            judge(question, 1 / len(questions), power)
    return [question.row for question in questions]


class _Asked:
    """One sweep's expectations, and the groups that they are about."""

    def __init__(self, report: Report, sweeps: list[Sweep], smallest: float | None) -> None:
        self.sweeps, self.smallest = sweeps, smallest or sweeps[0].smallest
        folders, planned = {s.folder for s in sweeps}, {group for s in sweeps for group in s.planned}
        self.rows: dict[str, Row] = {}
        """Groups by identity, best on validation first within a setting."""
        self.settings: dict[str, str] = {}
        for comparison in report.comparisons:
            for row in (*comparison.ranked, *comparison.rows):
                if any(t.folder.parent in folders or t.group in planned for t in row.group.trials):
                    self.rows.setdefault(row.group.identity, row)
                    self.settings[row.group.identity] = comparison.setting.label
        self.flats: dict[str, Flat] = {
            identity: with_labels(row.group.flat, row.group.trials[0].options) for identity, row in self.rows.items()
        }
        self.pending = planned - {trial.group for row in self.rows.values() for trial in row.group.trials}
        metric = report.comparisons[0].metric if report.comparisons else None
        where = {comparison.measure for comparison in report.comparisons}
        self.metric = Measure(f"{'test' if 'test' in where else 'val'}/{metric.name if metric else 'accuracy'}")
        self.higher_is_better = metric is None or metric.higher_is_better

    def questions(self) -> list[Question]:
        return [q for i, line in enumerate(self.sweeps[0].expects[:MOST_LINES], 1) for q in self._of_line(i, line)]

    def _of_line(self, number: int, line: Any) -> list[Question]:
        where = f"expects, line {number}"
        claim = one_line(line.get("claim")) if isinstance(line, dict) else ""
        try:
            e = parse_line(line, where, self.smallest)
            claim = one_line(e.claim)
            asked = list(self._of_expectation(e))
        except OptionError as error:
            note = str(error).removeprefix(f"{where}: ")
            return [Question(AnswerRow(claim=claim or where, answer=Answer.OPEN, note=note))]
        for question in asked if len(asked) > 1 else ():
            question.row.claim += f" ({question.row.setting})"
        return asked

    def _of_expectation(self, e: Expectation) -> Iterable[Question]:
        measure = e.on or self.metric
        if e.kind is not Kind.SHAPE:
            for first, *others in sides(e, self.flats).values():
                of = self._values(measure, e.at)
                a, *b = [of(self._best(ids)) for ids in (first, *others)]
                tested = make.of_sides(e.kind, a, b, self._direction(measure))
                yield self._question(e, tested, [*first, *itertools.chain(*others)], measure.unit)
        elif e.over == TRAINING:
            assert e.shape is not None
            for ids in course(e, self.flats).values():
                best = self._best(ids)
                series = [self._values(measure, window)(best) for window in make.windows(*(e.at or (0.0, 1.0)))]
                tested = make.of_shape(e.shape, series, self._direction(measure))
                yield self._question(e, tested, ids, measure.unit)
        else:
            for each in levels(e, self.flats).values():
                ids = [i for _, of_level in each for i in of_level]
                yield self._question(e, self._over(e, each, measure), ids, "" if e.best else measure.unit)

    def _over(self, e: Expectation, each: Levels, measure: Measure) -> list[Contrast]:
        """Contrasts over the levels of an option, at each of them the best group or the best level of another."""
        assert e.shape is not None
        of, direction = self._values(measure, e.at), self._direction(measure)
        if e.best:
            inner = [numbers(by_value(e.best, ids, self.flats)) for _, ids in each]
            series = [make.best_level([(v, of(self._best(ids))) for v, ids in found], direction) for found in inner]
            return make.of_shape(e.shape, series, direction)
        chosen = [self._best(ids) for _, ids in each]
        top = chosen.index(self._best(chosen[1:-1])) if e.shape is Shape.HUMP else 0
        return make.of_shape(e.shape, list(map(of, chosen)), direction, top)

    def _question(self, e: Expectation, tested: list[Contrast], ids: list[str], unit: str) -> Question:
        labels = sorted({self.settings[i] for i in ids})
        plans = {i: self._planned(self.rows[i]) for i in ids}
        row = AnswerRow(
            claim=one_line(e.claim), source=one_line(e.source), answer=Answer.OPEN, unit=unit,
            setting=", ".join(labels), planned=min((n for n in plans.values() if n), default=None),
        )  # fmt: skip
        unfinished = any(len(self.rows[i].group.having(Status.FINISHED)) < (n or 0) for i, n in plans.items())
        return Question(row, tested, e.smallest, complete=not unfinished and not self.pending)

    def _planned(self, row: Row) -> int | None:
        """By the sweep itself; trials in another sweep's folder are its own, too."""
        groups = {trial.group for trial in row.group.trials}
        own = [sum(s.planned.get(i) or s.seeds or 0 for i in groups) for s in self.sweeps]
        return planned_seeds(row.group, self.sweeps) or max(own, default=0) or None

    def _best(self, ids: Sequence[str]) -> str:
        """The best on validation."""
        order = list(self.rows)
        sign = 1 if self.higher_is_better else -1

        def key(identity: str) -> tuple[bool, float, int]:
            mean = self.rows[identity].val.mean
            return mean is None, -sign * round(mean or 0.0, 9), order.index(identity)

        return min(ids, key=key)

    def _direction(self, measure: Measure) -> int:
        return (1 if self.higher_is_better else -1) if measure == self.metric else measure.sign

    def _values(self, measure: Measure, at: Window | None) -> Callable[[str], Values]:
        """A group's values by seed and split, of its finished trials."""

        def of(identity: str) -> Values:
            trials = self.rows[identity].group.having(Status.FINISHED)
            values = {t.key: value(measure, t.metrics, t.best_epoch, t.folder, at) for t in trials}
            return {key: number for key, number in values.items() if number is not None}

        return of


def judge(question: Question, share: float, power: float = POWER) -> None:
    """Set answer, estimate, interval and projected seeds of the question's row; `share`: its part of the 5 %."""
    row, smallest = question.row, question.smallest
    plan = row.planned if question.complete else 0  # 0: no number of seeds is the planned one
    parts = share / len(question.contrasts)
    tests = [Evidence(contrast, smallest, plan, share, parts) for contrast in question.contrasts]
    weakest = min(tests, key=lambda test: test.support)
    refuting = [test for test in tests if test.refutes]
    irrelevant = [test for test in tests if test.irrelevant]
    if all(test.agrees for test in tests):
        row.answer, shown = Answer.AGREES, weakest
    elif refuting:
        row.answer, shown = Answer.DISAGREES, refuting[0]
    elif irrelevant:
        row.answer, shown = Answer.IRRELEVANT, irrelevant[0]
    else:
        row.answer, shown = Answer.OPEN, weakest
    row.seeds = len(shown.values)
    row.interim = row.planned is not None and (row.seeds < row.planned or not question.complete)
    if not shown.values:
        row.note = "no finished trials share a seed and have this measure"
        return
    if shown.sd == 0:
        row.note = "the difference is the same in every seed, so it cannot be tested"
    row.estimate, row.interval = shown.mean, shown.interval if row.answer is Answer.AGREES else shown.wide
    if row.answer is Answer.OPEN and not row.interim:
        row.more_seeds, row.power = shown.more_seeds(row.planned, share, power), power
