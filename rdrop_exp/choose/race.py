"""Who leads a race and who has left it: statistics of validation accuracy, without I/O.

Seeds are nested: a setting has the seeds 0 … n−1. A setting is dropped where it is shown not to be better than the
leader by `tolerance` or more. The interval is valid at any number of seeds (`statistics.sequential`), and its level is
RISK over the number of settings that may ever enter. Only its comparison with a leader can lose the best setting. So
the chance that it is dropped for one that is worse by more than `tolerance` is at most RISK.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rdrop_exp.choose.plan import BASELINE, Event, Fate, Setting
from rdrop_exp.statistics.paired import mean_sd
from rdrop_exp.statistics.sequential import anytime_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RISK = 0.1
REACH = 2.0
"""Levels over which settings of one regularizer are alike: the length scale of the smoothing."""
SHARED = 0.3
"""Of the variance between settings: what those of one regularizer have in common."""


@dataclass(slots=True)
class Race:
    possible: int
    """Settings that may ever enter."""
    tolerance: float = 0.1
    """By which the leader may be worse than a setting that is dropped."""
    values: dict[Setting, list[float]] = field(default_factory=dict)
    """Gains on validation (`Scale`), by seed; also of settings that have left."""
    racing: list[Setting] = field(default_factory=list)
    left: dict[Setting, Event] = field(default_factory=dict)
    _leader: Setting | None = None

    def seeds(self, setting: Setting) -> int:
        return len(self.values.get(setting, ()))

    def add(self, setting: Setting, values: Sequence[float]) -> None:
        """Further seeds of a setting, which enters with its first ones."""
        self.values.setdefault(setting, []).extend(values)
        if setting not in self.racing and setting not in self.left:
            self.racing.append(setting)
        self._leader = None

    def differences(self, one: Setting, other: Setting) -> list[float]:
        """By seed, over the seeds that both have."""
        return [a - b for a, b in zip(self.values[one], self.values[other], strict=False)]

    def estimates(self, others: Sequence[Setting] = ()) -> dict[Setting, tuple[float, float]]:
        """Smoothed mean of every setting and its standard deviation, also of `others`, which have not raced.

        A Gaussian process over regularizers and levels (Rasmussen and Williams 2006, equations 2.25 and 2.26): a mean
        that neighbours do not support is shrunken towards theirs. Means are of differences from the setting with most
        seeds, over the seeds that both have.
        """
        import numpy as np

        known = list(self.values)
        every = [*known, *(s for s in others if s not in self.values)]
        raw, variance = self._means(known)
        scale = max(float(raw.var() - variance.mean()), 0.25 * float(variance.mean()), 1e-4 * self.tolerance**2)
        centre = float(np.median(raw))
        kernel = scale * _likeness(every, known)
        weights = np.linalg.solve(kernel[: len(known)] + np.diag(variance + 1e-7 * self.tolerance**2), kernel.T).T
        means = (centre + weights @ (raw - centre)).tolist()
        sds = np.sqrt(np.maximum(scale - (weights * kernel).sum(axis=1), 0.0)).tolist()
        return dict(zip(every, zip(means, sds, strict=True), strict=True))

    def _means(self, known: list[Setting]) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
        """Paired means, (settings,), and the variance of each, with one variance of a seed for all settings."""
        import numpy as np

        counts = np.array([len(self.values[s]) for s in known])
        table = np.zeros((len(known), counts.max()))
        for row, setting in zip(table, known, strict=True):
            row[: len(self.values[setting])] = self.values[setting]
        reference = max(range(len(known)), key=lambda i: (counts[i], known[i] in self.racing))
        present = np.arange(table.shape[1]) < counts[:, None]
        differences = np.where(present, table - table[reference], 0.0)
        means = differences.sum(axis=1) / counts
        squares = np.where(present, np.square(differences - means[:, None]), 0.0).sum()
        degrees = int((counts - 1).sum() - (counts[reference] - 1))
        return means, squares / degrees / 2 / counts if degrees and squares else (10 * self.tolerance) ** 2 / counts

    def leader(self) -> Setting:
        """The best estimate among settings in the race with at least half of the most seeds."""
        if not self.racing:  # trials of all of them failed
            return BASELINE
        if self._leader is None:
            estimates, most = self.estimates(), max(map(self.seeds, self.racing))
            candidates = [s for s in self.racing if 2 * self.seeds(s) >= most]
            self._leader = max(candidates, key=lambda s: estimates[s][0])
        return self._leader

    def runner_up(self) -> Setting | None:
        """The best estimate of those that are not the baseline, of at least half its seeds where there are any."""
        complete = [s for s in self.values if s != BASELINE and getattr(self.left.get(s), "fate", "") != Fate.FAILED]
        most, estimates = max(map(self.seeds, complete), default=0), self.estimates()
        return max((s for s in complete if 2 * self.seeds(s) >= most), key=lambda s: estimates[s][0], default=None)

    def upper(self, setting: Setting, other: Setting) -> float:
        """Bound of setting − other at this comparison's part of the risk, one-sided; infinite with too few seeds."""
        level = min(1.0, 2 * RISK / max(1, self.possible - 1))
        interval = anytime_interval(self.differences(setting, other), level)
        return math.inf if interval is None else interval[1]

    def drop(self, number: int) -> list[Event]:
        """Settings that cannot win any more leave the race."""
        leader = self.leader()
        uppers = {s: self.upper(s, leader) for s in self.racing if s != leader}
        return self.leave([self._event(s, Fate.DROPPED, number) for s, u in uppers.items() if u < self.tolerance])

    def cut(self, keep: int, number: int) -> list[Event]:
        """The best so many stay, by their estimates."""
        leader, estimates = self.leader(), self.estimates()
        ranked = sorted(self.racing, key=lambda s: (s != leader, -estimates[s][0], s))
        return self.leave([self._event(s, Fate.CUT, number) for s in ranked[keep:]])

    def fail(self, setting: Setting, number: int) -> Event:
        """A trial of the setting failed: it leaves, or does not enter."""
        event = Event(setting, Fate.FAILED, number)
        self.leave([event])
        return event

    def _event(self, setting: Setting, fate: Fate, number: int) -> Event:
        differences = self.differences(setting, self.leader())
        return Event(setting, fate, number, self.leader(), mean_sd(differences)[0], len(differences))

    def leave(self, events: list[Event]) -> list[Event]:
        gone = {event.setting: event for event in events}
        self.left |= gone
        self.racing = [s for s in self.racing if s not in gone]
        self._leader = None if self._leader in gone else self._leader
        return events

    def largest_gain(self) -> float:
        """No setting that ever raced is better than the baseline by more than this, with confidence 1 − RISK."""
        if any(event.fate == Fate.PRUNED for event in self.left.values()):
            return math.inf
        return max((self.upper(s, BASELINE) for s in self.values if s != BASELINE), default=math.inf)


def _likeness(rows: Sequence[Setting], columns: Sequence[Setting]) -> "NDArray[np.float64]":
    """Prior correlations of the settings' means, (rows, columns): those of other regularizers are independent."""
    import numpy as np

    names = {s.family: i for i, s in enumerate((*rows, *columns))}
    axes = max(len(s.levels) for s in (*rows, *columns))
    one, other = (np.array([[names[s.family], *s.levels, *[0] * (axes - len(s.levels))] for s in part], dtype=float)
                  for part in (rows, columns))  # fmt: skip
    squares = np.square(one[:, None, 1:] - other[:, 1:]).sum(axis=2)
    alike = SHARED + (1 - SHARED) * np.exp(-squares / (2 * REACH**2))
    return np.where(one[:, None, 0] == other[:, 0], alike, 0.0)
