"""What is known between the rounds of a choice: scores, costs, who has left, and the pilot's findings."""

import math
from collections.abc import Generator, Mapping
from typing import Any

from rdrop_exp.choose.plan import (
    BASELINE,
    Answer,
    Event,
    Family,
    Findings,
    Outcome,
    Plan,
    Round,
    Score,
    Setting,
    Stage,
    Trial,
)  # fmt: skip
from rdrop_exp.choose.race import Race
from rdrop_exp.statistics.paired import mean_sd

Scores = Mapping[Any, Score]
"""By the keys of rounds: trials, and those that pause by the share of training too."""
Steps = Generator[Round, Scores, Any]


class State:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.families: dict[str, Family] = {}
        """That race."""
        self.costs: dict[Setting, list[float]] = {}
        """Of trials that have ended."""
        self.paid: dict[Trial, float] = {}
        """Of each trial so far."""
        self.early: dict[float, dict[Setting, float]] = {share: {} for share in plan.pauses}
        """Share of training → validation of a setting's first seed."""
        self.spent = 0.0
        self.number = 0
        self.events: list[Event] = []
        self.told = 0
        self.findings: Findings | None = None
        self.race: Race | None = None

    def run(self, stage: Stage, trials: list[Trial], note: str = "", share: float = 1.0) -> Steps:
        """One round; its costs are counted. Returns its scores."""
        self.number += 1
        news, self.told = self.events[self.told :], len(self.events)
        racing = list(self.race.racing) if self.race else []
        scores = yield Round(
            stage=stage, number=self.number, trials=trials, racing=racing, events=news, spent=self.spent, note=note,
            findings=self.findings if self.number == 2 else None, leader=self.race.leader() if self.race else None,
            share=share,
        )  # fmt: skip
        self.spent += self.plan.overhead
        for (setting, seed, *_), score in scores.items():
            self.spent += max(0.0, score.cost - self.paid.get((setting, seed), 0.0))
            self.paid[setting, seed] = score.cost
            if share == 1:
                self.costs.setdefault(setting, []).append(score.cost)
            for at, value in score.early.items() if seed == 0 else ():
                self.early[at][setting] = value
        return scores

    def cost(self, setting: Setting) -> float:
        """Of a trial of the setting: the mean of its own, or else of the baseline's times the family's factor."""
        if known := self.costs.get(setting):
            return sum(known) / len(known)
        base = self.costs.get(BASELINE, [1.0])
        factor = self.families[setting.family].cost if setting.family in self.families else 1.0
        return factor * sum(base) / len(base)

    def price(self, trials: list[Trial]) -> float:
        """Of a round."""
        return self.plan.overhead + sum(self.cost(setting) for setting, _ in trials)

    def affordable(self, setting: Setting, budget: float) -> int:
        """Seeds of the setting and of the baseline, in one round."""
        return max(0, int((budget - self.plan.overhead) / (self.cost(BASELINE) + self.cost(setting))))

    def expected_gain(self, best: Setting) -> float:
        """Of the best over the baseline on new seeds: its lead, shrunken because it is the best of many.

        d · max(0, 1 − SE²/d²), the positive-part estimate of James and Stein (1961).
        """
        assert self.race is not None
        differences = self.race.differences(best, BASELINE)
        mean, sd = mean_sd(differences)
        return mean * max(0.0, 1 - (sd or 0.0) ** 2 / len(differences) / mean**2) if mean > 0 else 0.0

    def answer(self, outcome: Outcome, stage: Stage, best: Setting | None = None, **known: Any) -> Answer:
        """`best`: other than the leader."""
        leader = self.race.leader() if self.race else BASELINE
        best = best or leader
        if self.race and stage == Stage.RACE and best != BASELINE:
            differences = self.race.differences(best, BASELINE)
            known = {"effect": mean_sd(differences)[0], "seeds": len(differences), **known}
        return Answer(
            outcome=outcome, stage=stage, best=best, leader=leader, spent=self.spent, events=tuple(self.events),
            findings=self.findings, largest=self.race.largest_gain() if self.race else math.inf,
            cost=self.cost(best) / self.cost(BASELINE), **known,
        )  # fmt: skip
