"""How well `rdrop-choose` chooses: its policy on synthetic problems, without training.

python benchmarks/choose.py                    # 1,000 problems, the table of docs/choose.md
python benchmarks/choose.py --problems 100 --set 1
python benchmarks/choose.py --prune-within --problems 500 --budgets 150
python benchmarks/choose.py --spreads sweeps   # spreads and correlations of the claims' sweeps, which are noisier
"""

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdrop_exp.choose.families import FAMILIES, families
from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Answer, Family, Fate, Outcome, Plan, Regime, Score, Setting
from rdrop_exp.choose.policy import policy
from rdrop_exp.choose.stages import CONFIRM_SHARE
from rdrop_exp.choose.within import SHARES

CLOSE = 0.2
"""Points from the best that count as having found it."""
MOST_SEEDS = 800
SWEEPS = (
    (1.66, 0.04), (2.62, 0.0), (2.20, 0.0), (0.44, 0.49), (2.12, 0.0), (0.38, 0.39), (0.28, 0.55), (2.15, 0.0),
    (0.46, 0.41), (1.84, 0.11), (0.49, 0.28), (0.58, 0.19), (0.50, 0.19), (1.79, 0.07), (1.84, 0.0),
)  # fmt: skip
"""Standard deviation of paired differences on validation in points, and correlation between groups over seeds: medians
of fourteen sweeps of sweeps/claims and of sweeps/demo.yaml; correlations below 0 are 0."""
EARLY = {0.25: (1.4, 0.0), 0.5: (1.1, 0.55)}
"""Share of training → standard deviation of paired differences there over that at the end, and their correlation: in 16
seeds of sweeps/demo.yaml, where dropout 0.1 also loses 0.6 and 0.9 points there, and gains 0.8 at the end."""
STANDARD = next(family.start for family in FAMILIES if family.name == "dropout")


@dataclass(slots=True)
class Problem:
    """True means in points over the baseline, and accuracies by (setting, seed)."""

    families: tuple[Family, ...]
    candidates: int
    """Settings to choose among: the first ones, the baseline included."""
    index: dict[Setting, int]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    """Of a trial given its seed's part."""
    shared: float
    """Standard deviation of the seed's part."""
    rng: np.random.Generator
    noise: NDArray[np.float32]
    """Standard normal: a row for each setting, and the last for the seed's part."""
    slowing: float
    """Points by which a rate of 0.1 slows down the start of training."""

    def value(self, setting: Setting, seed: int) -> float:
        i = self.index[setting]
        column = seed if seed < CONFIRM_SEED else seed - CONFIRM_SEED + MOST_SEEDS
        return float(self.means[i] + self.shared * self.noise[-1, column] + self.deviations[i] * self.noise[i, column])

    def early(self, setting: Setting, share: float) -> float:
        """Of the first seed at this share of training.

        The effect grows with training; noise slows training down while it acts, the more the higher its rate and the
        earlier; the trial's own deviation is larger, and related to the final one as in EARLY.
        """
        i, (scale, correlation) = self.index[setting], EARLY[min(EARLY, key=lambda at: abs(at - share))]
        own = correlation * self.noise[i, 0] + math.sqrt(1 - correlation**2) * self.noise[i, -round(8 * share) - 1]
        values = next((f.values(setting) for f in self.families if f.name == setting.family), {})
        cutoff = next((v for option, v in values.items() if option.endswith("cutoff_share")), 0.0)
        noisy = min(cutoff, share) if setting.family.startswith("early") else max(0.0, share - cutoff)
        rate = math.sqrt(max((v for option, v in values.items() if "drop" in option), default=0.0) / 0.1)
        slowed = self.slowing * rate * (1 - share) * noisy / share
        acting = 0.0 if cutoff >= share and not setting.family.startswith("early") else 1.0
        effect = share * float(self.means[i]) * acting
        return float(effect - slowed + self.shared * self.noise[-1, 0] + scale * self.deviations[i] * own)

    @property
    def best(self) -> float:
        return float(self.means.max())

    def regret(self, setting: Setting) -> float:
        return self.best - float(self.means[self.index[setting]])


def make_problem(rng: np.random.Generator, null: bool = False, sweeps: bool = False) -> Problem:
    """Smooth in the logarithm of rate, alpha and cutoff, with a peak near the published values; seeds correlated."""
    over = rng.random() < 0.5
    raced = families(Regime.OVERFITTING if over else Regime.UNDERFITTING)
    settings, means = [BASELINE], [0.0]
    for family in raced:
        top = float(np.clip(rng.normal(0, 0.2) if rng.random() < 0.5 else rng.normal(0.2, 1.0), -6, 2))
        top = min(top, 0.0) if null else top
        peaks = [axis.start + rng.normal(0, 1.2) for axis in family.axes]
        curves = [rng.uniform(0.05, 0.4) for _ in family.axes]
        for setting in family.settings():
            fall = sum(c * (x - peak) ** 2 for c, x, peak in zip(curves, setting.levels, peaks, strict=True))
            rough = 0.0 if null else rng.normal(0, 0.05)
            settings.append(setting)
            means.append(max(-6.0, top - fall + rough))
    candidates = len(settings)
    if STANDARD not in settings:  # underfitting: standard noise, which the pilot tries, hurts
        settings.append(STANDARD)
        means.append(-1.0)
    pair_sd, correlation = rng.uniform(0.5, 2.0), rng.uniform(0.2, 0.7)
    if sweeps:
        pair_sd, correlation = SWEEPS[rng.integers(len(SWEEPS))]
    sd = pair_sd / math.sqrt(2 * (1 - correlation))
    own = sd * math.sqrt(1 - correlation)
    factors = {family.name: rng.uniform(0.7, 1.4) for family in raced}
    noise = rng.standard_normal((len(settings) + 1, 2 * MOST_SEEDS), dtype=np.float32)
    return Problem(
        raced, candidates, {s: i for i, s in enumerate(settings)}, np.array(means),
        np.array([own * factors.get(s.family, 1.0) for s in settings]), sd * math.sqrt(correlation), rng, noise,
        float(np.random.default_rng(int(1e6 * abs(noise[0, 0]))).uniform(0, 3)),
    )  # fmt: skip


def choose(problem: Problem, budget: float, pauses: tuple[float, ...] = ()) -> Answer:
    """The policy's answer."""
    families = dict.fromkeys(Regime, problem.families)
    steps = policy(Plan(families=families, standard=STANDARD, budget=budget, pauses=pauses))
    try:
        now = next(steps)
        while True:
            scores = {}
            for key in now.keys:
                share = now.share if now.share < 1 else None
                value = problem.value(*key[:2]) if share is None else problem.early(key[0], share)
                early = {at: problem.early(key[0], at) for at in pauses if share is None and key[1] == 0}
                scores[key] = Score(value, value, share or 1.0, early=early)
            now = steps.send(scores)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def values_of(problem: Problem, rows: NDArray[np.int64], seeds: slice) -> NDArray[np.float64]:
    noise = problem.shared * problem.noise[-1, seeds] + problem.deviations[rows, None] * problem.noise[rows][:, seeds]
    return np.asarray(problem.means[rows, None] + noise)


def full_grid(problem: Problem, budget: float) -> float:
    """Regret of the best mean of all settings, with equal seeds."""
    rows = np.arange(problem.candidates)
    n = max(1, int(budget / len(rows)))
    return problem.best - float(problem.means[values_of(problem, rows, slice(0, n)).mean(axis=1).argmax()])


def random_search(problem: Problem, budget: float, seeds: int) -> float:
    """Regret of the best mean of settings drawn at random, and the baseline, with so many seeds each."""
    number = min(problem.candidates, max(2, int(budget / seeds)))
    rows = np.append(0, problem.rng.permutation(np.arange(1, problem.candidates))[: number - 1])
    n = max(seeds, int(budget / number))
    return problem.best - float(problem.means[rows[values_of(problem, rows, slice(0, n)).mean(axis=1).argmax()]])


def successive_halving(problem: Problem, budget: float) -> float:
    """Regret of halving over all settings (Karnin et al. 2013): equal budgets to ⌈log₂ K⌉ rounds, all seeds kept."""
    rows, n = np.arange(problem.candidates), 0
    rounds = math.ceil(math.log2(len(rows)))
    for _ in range(rounds):
        n += max(1, int(budget / (len(rows) * rounds))) if budget >= len(rows) else 0
        n = min(max(n, 1), MOST_SEEDS)
        order = values_of(problem, rows, slice(0, n)).mean(axis=1).argsort()[::-1]
        rows = rows[order[: math.ceil(len(rows) / 2)]]
        if len(rows) == 1:
            break
    return problem.best - float(problem.means[rows[0]])


def regrets(problem: Problem, answer: Answer, budget: int) -> dict[str, float]:
    """Of the policy and of the others, which keep as much of the budget for the confirmation as it does."""
    part = (1 - CONFIRM_SHARE) * budget
    return {
        "rdrop-choose": problem.regret(answer.leader),
        "successive halving": successive_halving(problem, part),
        "random, 5 seeds": random_search(problem, part, 5),
        "random, 20 seeds": random_search(problem, part, 20),
        **{f"full grid, {k} × the trials": full_grid(problem, k * part) for k in (1, 2, 4, 8)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--set", type=int, default=2, help="1: the problems that the policy was tuned on; 2: others")
    parser.add_argument("--budgets", type=int, nargs="*", default=[150, 300, 400, 600])
    parser.add_argument("--every", type=int, default=1000, help="print after every so many problems")
    parser.add_argument("--prune-within", action="store_true", help="measure it, and nothing else")
    parser.add_argument("--shares", type=float, nargs="*", default=list(SHARES), help="of training, where trials pause")
    parser.add_argument("--spreads", choices=("uniform", "sweeps"), default="uniform", help="see SWEEPS")
    given = parser.parse_args()
    sweeps = given.spreads == "sweeps"
    if given.prune_within:
        prune_within(given.problems, given.set, given.budgets, sweeps, tuple(given.shares))
        return
    tallies = {budget: Tally() for budget in given.budgets}
    for i in range(given.problems):
        for budget, tally in tallies.items():
            problem = make_problem(np.random.default_rng([given.set, i]), False, sweeps)
            answer = choose(problem, budget)
            tally.add(problem, answer, regrets(problem, answer, budget))
            without = make_problem(np.random.default_rng([given.set, i, 1]), True, sweeps)
            tally.false_gains += choose(without, budget).outcome == Outcome.GAIN
        if (i + 1) % given.every == 0 or i + 1 == given.problems:
            print(f"{i + 1} problems of set {given.set}", flush=True)
            for budget, tally in tallies.items():
                print(f"  {budget} trials: {tally}", flush=True)


def prune_within(problems: int, which: int, budgets: list[int], sweeps: bool, shares: tuple[float, ...]) -> None:
    """How often the best is found with and without pauses on the same problems, and what is stopped early."""
    for budget in budgets:
        for pauses in ((), shares):
            totals: Any = Counter()  # of real numbers
            for i in range(problems):
                problem = make_problem(np.random.default_rng([which, i]), False, sweeps)
                answer = choose(problem, budget, pauses)
                pruned = [event for event in answer.events if event.fate == Fate.PRUNED]
                totals["found"] += problem.regret(answer.leader) <= CLOSE
                totals["lost"] += any(problem.regret(event.setting) == 0 for event in pruned)
                totals["gains"] += answer.outcome == Outcome.GAIN
                totals.update(regret=problem.regret(answer.leader), spent=answer.spent, stopped=len(pruned))
                totals.update(left=len(answer.events), saved=sum(1 - event.share for event in pruned))
            mean = {name: value / problems for name, value in totals.items()}
            print(
                f"{budget} trials {'with' if pauses else 'without'} --prune-within: within {CLOSE} points of the best"
                f" {100 * mean['found']:.1f} %, mean regret {mean['regret']:.3f}, gains confirmed"
                f" {100 * mean['gains']:.1f} %, {mean['spent']:.0f} trials used; {mean['left']:.0f} settings left,"
                f" {mean['stopped']:.1f} early, which saved {mean['saved']:.1f} trials; the best stopped early"
                f" {100 * mean['lost']:.1f} %",
                flush=True,
            )


@dataclass(slots=True)
class Tally:
    problems: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    """Problems in which each method came within CLOSE of the best."""
    false_gains: int = 0
    """In as many problems where nothing is better than the baseline."""
    gains: int = 0
    undecided: int = 0
    wrongly_dropped: int = 0
    """Problems whose best setting was dropped for one that is worse by more than the tolerance."""
    spent: float = 0.0

    def add(self, problem: Problem, answer: Answer, regrets: dict[str, float]) -> None:
        self.problems += 1
        self.hits.update(name for name, regret in regrets.items() if regret <= CLOSE)
        self.gains += answer.outcome == Outcome.GAIN
        self.undecided += answer.outcome == Outcome.UNDECIDED
        self.spent += answer.spent
        self.wrongly_dropped += any(
            problem.regret(e.setting) == 0 and e.against is not None and problem.regret(e.against) > 0.1
            for e in answer.events
            if e.fate == Fate.DROPPED
        )

    def __str__(self) -> str:
        def share(count: float) -> str:
            return f"{100 * count / self.problems:.1f} %"

        found = ", ".join(f"{name} {share(count)}" for name, count in self.hits.most_common())
        return (
            f"within {CLOSE} points of the best: {found}; gain where there is none {share(self.false_gains)};"
            f" best wrongly dropped {share(self.wrongly_dropped)}; gains confirmed {share(self.gains)},"
            f" undecided {share(self.undecided)}; {self.spent / self.problems:.0f} trials used"
        )


if __name__ == "__main__":
    main()
