"""`--prune-within`: the first seed of a new setting pauses halfway through training, and the better half goes on.

ASHA (Li et al. 2020, arXiv 1810.05934) with a reduction of 2: a setting is compared with all that have got as far. What
has not happened yet is not judged: a setting whose schedule has still to switch its noise on or off goes on. Settings
with noise are not compared with those whose noise has ended, which are ahead for that reason.
"""

from collections.abc import Generator
from enum import StrEnum

from rdrop_exp.choose.plan import Event, Family, Fate, Round, Setting, Stage
from rdrop_exp.choose.race import Race
from rdrop_exp.choose.state import Scores, State
from rdrop_exp.config.schema import OptionError

SHARES = (0.5,)
"""Of training, about, at which they pause; earlier, what is ahead is not what ends ahead (docs/choose.md)."""
REDUCTION = 2


class Noise(StrEnum):
    ON = "on"
    OFF = "off"


def pauses(steps: int, per_epoch: int, every: int) -> tuple[float, ...]:
    """SHARES moved to validations, which come after `every` epochs; `OptionError` where the last is the only one."""
    epochs = [max(1, round(share * steps / per_epoch / every)) * every for share in SHARES]
    shares = tuple(dict.fromkeys(epoch * per_epoch / steps for epoch in epochs if epoch * per_epoch < steps))
    if not shares:
        raise OptionError("--prune-within needs a validation before the last one: train longer or lower validate_every")
    return shares


def noise_at(family: Family | None, setting: Setting, share: float) -> Noise | None:
    """Whether it trains with noise at this share of training and to its end; None: that changes later."""
    if family is None:  # the baseline
        return None
    values = family.values(setting)
    cutoff = next((value for option, value in values.items() if option.endswith(".cutoff_share")), 0.0)
    if cutoff >= share:
        return None
    return Noise.OFF if family.name.startswith("early") else Noise.ON


def prune(state: State, race: Race, entering: list[Setting]) -> Generator[Round, Scores, list[Setting]]:
    """Train the first seed of each up to its pauses; those that are worth training to the end."""
    going = entering
    for share in state.plan.pauses:
        noise = {s: noise_at(state.families[s.family], s, share) for s in going}
        if not any(noise.values()):
            continue
        scores = yield from state.run(Stage.RACE, [(s, 0) for s in going if noise[s]], share=share)
        early = state.early[share]
        early |= {s: value for s, _, _ in scores if (value := scores[s, 0, share].val) is not None}
        for setting in [s for s in going if noise[s]]:
            if setting not in early:
                state.events.append(race.fail(setting, state.number))
                continue
            peers = [s for s in early if noise_at(state.families.get(s.family), s, share) == noise[setting]]
            best = max(peers, key=lambda s: early[s])
            if REDUCTION * sum(early[s] > early[setting] for s in peers) >= len(peers):
                gap = early[setting] - early[best]
                state.events += race.leave([Event(setting, Fate.PRUNED, state.number, best, gap, 1, share)])
        going = [s for s in going if s not in race.left]
    return going
