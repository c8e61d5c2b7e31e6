"""A trial as runs of equal steps, so that two trials can be compared before either is trained, without a model.

Trials that differ in nothing but the regularizer are the same trial until their steps first differ. A run's key is a
hash of all that decides a step in it. Schedules that move at each step get one key for all that follows once they have
moved a few times: it names the schedule instead of its values.
"""

import dataclasses
import hashlib
import json
import math
from itertools import islice
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import cutoff_step, rate_scale

Segments = list[tuple[int, str]]
"""(the step before which the run ends, its key), in order."""
SCHEDULE = ("name", "when", "cutoff_epoch", "cutoff_share", "ramp", "gamma")
CONSISTENCY = ("alpha", "passes", "every", "stop_gradient", "divergence")
"""Of the regularizer; all else is noise."""
HARMLESS = (
    "regularizer", "name", "output_dir", "logger", "analysis", "pause_epoch", "checkpoint_seconds", "same_code",
    "keep_weights", "share_steps",
)  # fmt: skip
"""Options without influence on a step, or looked at by themselves; any other must be equal, also those of runtime."""
MOST_CHANGES = 8
"""Changes of a moving schedule that are compared by value."""
_Runs = list[tuple[int, Any]]


def segments(o: Options, per_epoch: int, total: int, fingerprint: str = "") -> Segments:
    """The runs of a trial with canonical options; none where a trial that is begun by another might end otherwise.

    That is where torch.compile makes its own kernels for each trial, and where the noise is measured while it trains.
    """
    if not o.share_steps or o.compile or o.analysis.every:
        return []
    noise = _noise(o, o.regularizer)
    acts = noise != _noise(o, Regularizer(), sites=False)
    scales = _scale_runs(o.regularizer, per_epoch, total) if acts else [(total, 0.0)]
    mutual = bool(o.peer.name)
    ties = _tie_runs(o.regularizer, scales, per_epoch, total, mutual)
    base, result = _base(o, fingerprint), Segments()
    for end in sorted({end for end, _ in scales + ties}):
        scale, tie = (next(value for until, value in runs if until >= end) for runs in (scales, ties))
        key = _hash([base, [noise, scale] if scale else None, tie if scale or mutual else None])
        if result and result[-1][1] == key:
            result.pop()
        result.append((end, key))
    return result


def _base(o: Options, fingerprint: str) -> str:
    values = dataclasses.asdict(o)
    for name in HARMLESS:
        del values[name]
    del values["model"]["sites"], values["peer"]["sites"]
    return _hash([values, o.logger.every, fingerprint])


def _noise(o: Options, r: Regularizer, sites: bool = True) -> dict[str, Any]:
    """All that decides what the noise does at full rate; that of no noise has no sites."""
    values = {f.name: getattr(r, f.name) for f in dataclasses.fields(r) if f.name not in SCHEDULE + CONSISTENCY}
    values |= {"passes": r.passes} if r.second_dropout is not None or r.multi_sample else {}
    return values | ({"of": [o.model.sites, o.peer.sites]} if sites and any((o.model.sites, o.peer.sites)) else {})


def _scale_runs(r: Regularizer, per_epoch: int, total: int) -> _Runs:
    """Shares of the full rate; the last may stand for a schedule that goes on moving."""
    cutoff = min(cutoff_step(r, per_epoch, total), total)
    runs: _Runs = []
    if r.when in ("always", "never"):
        return [(total, float(r.when == "always"))]
    if r.when in ("early", "late") and r.ramp == "constant":
        early = r.when == "early"
        return [(cutoff, float(early)), (total, float(not early))] if 0 < cutoff < total else [
            (total, rate_scale(r, 0, per_epoch, total))
        ]  # fmt: skip
    start = cutoff if r.when == "late" else 0
    if start:
        runs.append((start, 0.0))
    for step in range(start, total):
        scale = rate_scale(r, step, per_epoch, total)
        if runs and runs[-1][1] == scale:
            runs[-1] = (step + 1, scale)
        elif len(runs) > MOST_CHANGES:
            return [*runs, (total, [*_moving(r, cutoff, total), total])]
        else:
            runs.append((step + 1, scale))
    return runs


def _moving(r: Regularizer, cutoff: int, total: int) -> list[Any]:
    """What a schedule that moves at each step is called by: equal only where all its values are."""
    if r.when in ("early", "decreasing"):
        return ["fall", r.ramp, cutoff] if r.when == "early" else ["fall", "linear", total]
    if r.when in ("late", "increasing"):
        return ["rise", r.ramp, cutoff] if r.when == "late" else ["rise", "linear", 0]
    if r.when in ("curriculum", "annealed"):
        return [r.when, r.gamma]
    return [dataclasses.asdict(r) | {"name": ""}, cutoff]  # of the user's own: it may use any of them


def _tie_runs(r: Regularizer, scales: _Runs, per_epoch: int, total: int, mutual: bool) -> _Runs:
    """What the consistency loss is; None where there is none. From its second step on, it goes with `every`."""
    starts = [0, *(end for end, _ in scales)]
    noisy = [(start, end) for start, (end, scale) in zip(starts, scales, strict=False) if scale]
    if r.alpha == 0 or not (noisy or mutual):
        return [(total, None)]
    begin, stop = (0, total) if mutual else (noisy[0][0], noisy[-1][1])
    steps = range(math.ceil(begin / r.every) * r.every, stop, r.every)
    tied = list(islice((t for t in steps if mutual or rate_scale(r, t, per_epoch, total) > 0), 2))
    if not tied:
        return [(total, None)]
    loss = [r.alpha, 1 if mutual else r.passes, r.stop_gradient, r.divergence]
    runs: _Runs = [(tied[0], None)] if tied[0] else []
    runs.append((tied[0] + 1, loss))
    if len(tied) > 1:
        runs += [(tied[1], None)] if tied[1] > tied[0] + 1 else []
        return [*runs, (total, [*loss, r.every])]
    return [*runs, (total, None)] if tied[0] + 1 < total else runs


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
