"""Schedules step for step against the published definitions, written independently with numpy; and their boundaries."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rdrop_exp.config.options import Schedule
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES, check_length, cutoff_step, learning_rate, rate_scale
from rdrop_exp.config.schema import OptionError

PER_EPOCH, TOTAL = 20, 200
Curve = NDArray[np.float64]


def rate_scales(per_epoch: int = PER_EPOCH, total: int = TOTAL, **options: Any) -> Curve:
    return np.array([rate_scale(Regularizer(**options), t, per_epoch, total) for t in range(total)])


def learning_rates(per_epoch: int = PER_EPOCH, total: int = TOTAL, **options: Any) -> Curve:
    return np.array([learning_rate(Schedule(**options), t, per_epoch, total) for t in range(total)])


def half_cosine(count: int) -> Curve:
    return 0.5 * (1 + np.cos(np.linspace(0, np.pi, count)))


FALL: dict[str, Callable[[int], Curve]] = {
    "constant": np.ones,
    "linear": lambda count: np.linspace(1, 0, count),
    "cosine": half_cosine,
}
RISE = FALL | {"linear": lambda count: np.linspace(0, 1, count), "cosine": lambda count: 1 - half_cosine(count)}


@pytest.mark.parametrize("ramp", FALL)
@pytest.mark.parametrize("cutoff", [1, 2, 3, 50, TOTAL - 1, TOTAL])
def test_early_is_the_ramp_then_zero(ramp: str, cutoff: int) -> None:
    expected = np.concatenate([FALL[ramp](cutoff), np.zeros(TOTAL - cutoff)])
    scales = rate_scales(when="early", ramp=ramp, cutoff_epoch=cutoff / PER_EPOCH)
    np.testing.assert_allclose(scales, expected, atol=1e-12)
    assert (scales[cutoff:] == 0).all()  # exactly: such a step makes a single pass
    assert (scales[: cutoff - 1] > 0).all()


@pytest.mark.parametrize("ramp", RISE)
@pytest.mark.parametrize("cutoff", [1, 2, 50, TOTAL - 2])
def test_late_is_zero_then_the_ramp(ramp: str, cutoff: int) -> None:
    expected = np.concatenate([np.zeros(cutoff), RISE[ramp](TOTAL - cutoff)])
    scales = rate_scales(when="late", ramp=ramp, cutoff_epoch=cutoff / PER_EPOCH)
    np.testing.assert_allclose(scales, expected, atol=1e-12)
    assert (scales[:cutoff] == 0).all()
    assert scales[-1] == 1


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("never", np.zeros(TOTAL)),
        ("always", np.ones(TOTAL)),
        ("increasing", np.linspace(0, 1, TOTAL)),
        ("decreasing", np.linspace(1, 0, TOTAL)),
        ("curriculum", 1 - np.exp(-0.013 * np.arange(TOTAL))),
        ("annealed", np.exp(-0.013 * np.arange(TOTAL))),
    ],
)
def test_schedules_without_a_cutoff(when: str, expected: Curve) -> None:
    np.testing.assert_allclose(rate_scales(when=when, gamma=0.013), expected, atol=1e-12)


def test_the_published_recipes() -> None:
    # ViT-T: 1,281,167 images in batches of 4,096 are 312 steps; linear from 0.1 to 0 within 50 of 300 epochs
    steps, total = 312, 300 * 312
    r = Regularizer(when="early", ramp="linear", cutoff_epoch=50.0)
    rates = 0.1 * np.array([rate_scale(r, t, steps, total) for t in range(50 * steps + 2)])
    np.testing.assert_allclose(rates, np.append(np.linspace(0.1, 0, 50 * steps), [0, 0]), atol=1e-12)
    # Morerio et al.: gamma 1e-3 reaches within 5 % of the full rate after about 3,000 steps
    r = Regularizer(when="curriculum")
    assert rate_scale(r, 2995, steps, total) < 0.95 < rate_scale(r, 2996, steps, total)


def test_v_shaped_noise_falls_to_0_at_the_cutoff_and_rises_again() -> None:
    scales = rate_scales(when="v_shaped", cutoff_epoch=TOTAL / 4 / PER_EPOCH)
    turn = round(TOTAL / 4)
    np.testing.assert_allclose(scales[: turn + 1], np.linspace(1, 0, turn + 1), atol=1e-12)
    np.testing.assert_allclose(scales[turn:], np.linspace(0, 1, TOTAL - turn), atol=1e-12)


@pytest.mark.parametrize("when", RATE_SCHEDULES)
@pytest.mark.parametrize("ramp", FALL)
def test_every_schedule_is_between_0_and_1_and_a_function_of_the_step_alone(when: str, ramp: Any) -> None:
    r = Regularizer(when=when, ramp=ramp, cutoff_epoch=2.5)
    for total in (1, 2, 75, TOTAL):
        in_order = [rate_scale(r, t, PER_EPOCH, total) for t in range(total)]
        assert all(0 <= scale <= 1 for scale in in_order)
        shuffled = random.Random(0).sample(range(total), total)
        assert [rate_scale(r, t, PER_EPOCH, total) for t in shuffled] == [in_order[t] for t in shuffled]


@pytest.mark.parametrize(
    ("options", "per_epoch", "total", "step"),
    [
        ({"cutoff_epoch": 5.0}, 312, 4000, 1560),
        ({"cutoff_epoch": 0.5}, 9, 90, 4),
        ({"cutoff_epoch": 1 / 3}, 9, 90, 3),
        ({"cutoff_share": 0.25}, 7, 1000, 250),
        ({"cutoff_share": 1.0}, 7, 1000, 1000),
        ({"cutoff_share": 1 / 6}, 312, 93600, 15600),
    ],
)
def test_cutoffs_in_epochs_and_fractions_of_training(
    options: dict[str, Any], per_epoch: int, total: int, step: int
) -> None:
    assert cutoff_step(Regularizer(when="early", **options), per_epoch, total) == step


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"when": "early", "cutoff_epoch": 0.01}, ["regularizer.cutoff_epoch=0.01", "step 0 of 200", "0.05 and 10"]),
        ({"when": "early", "cutoff_epoch": 10.1}, ["regularizer.cutoff_epoch=10.1", "step 202 of 200", "0.05 and 10"]),
        ({"when": "late", "cutoff_epoch": 10.0}, ["regularizer.when=late", "200 steps", "step 200"]),
        ({"when": "early", "cutoff_share": 0.001}, ["regularizer.when=early", "200 steps", "step 0"]),
        ({"when": "late", "cutoff_epoch": 9.95, "ramp": "linear"}, ["regularizer.when=late", "200 steps"]),
    ],
)
def test_cutoffs_without_effect_are_refused(options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(OptionError) as error:
        check_length(Regularizer(dropout=0.1, **options), PER_EPOCH, TOTAL)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"when": "never"},
        {"when": "always"},
        {"when": "early", "cutoff_epoch": 0.05},
        {"when": "early", "cutoff_epoch": 10.0},
        {"when": "late", "cutoff_epoch": 9.95},
        {"when": "late", "cutoff_share": 0.5, "ramp": "cosine"},
        {"when": "increasing"},
        {"when": "annealed"},
    ],
)
def test_cutoffs_at_the_limits_are_accepted(options: dict[str, Any]) -> None:
    check_length(Regularizer(dropout=0.1, **options), PER_EPOCH, TOTAL)


# -- learning rate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "curve"),
    [
        ("cosine", lambda x: 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * x))),
        ("linear", lambda x: 1 - 0.9 * x),
        ("constant", np.ones_like),
    ],
)
@pytest.mark.parametrize("warmup", [0, 1, 30])
def test_learning_rate_shapes(shape: str, curve: Callable[[Curve], Curve], warmup: int) -> None:
    rise = np.arange(1, warmup + 1) / max(warmup, 1)
    expected = np.concatenate([rise, curve(np.arange(TOTAL - warmup) / (TOTAL - warmup))])
    for options in ({"warmup_steps": warmup}, {"warmup_epochs": warmup / PER_EPOCH}):
        np.testing.assert_allclose(learning_rates(shape=shape, final=0.1, **options), expected, atol=1e-12)


def test_learning_rate_in_steps() -> None:
    rates = learning_rates(shape="step", step_epochs=3, step_factor=0.5, warmup_epochs=1.0)
    epochs = np.arange(TOTAL) // PER_EPOCH
    expected = 0.5 ** (epochs // 3.0)
    expected[:PER_EPOCH] = np.arange(1, PER_EPOCH + 1) / PER_EPOCH
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_learning_rate_by_the_inverse_square_root() -> None:
    """warmup^0.5 * min(step^-0.5, step * warmup^-1.5), steps from 1: Vaswani et al. 2017, scaled to a maximum of 1."""
    steps = np.arange(1, TOTAL + 1)
    for warmup in (1, 40, TOTAL):
        expected = warmup**0.5 * np.minimum(steps**-0.5, steps * warmup**-1.5)
        np.testing.assert_allclose(learning_rates(shape="inverse_sqrt", warmup_steps=warmup), expected, atol=1e-12)
        np.testing.assert_array_equal(
            learning_rates(shape="inverse_sqrt", warmup_steps=warmup, total=TOTAL),
            learning_rates(shape="inverse_sqrt", warmup_steps=warmup, total=2 * TOTAL)[:TOTAL],
        )
    np.testing.assert_allclose(learning_rates(shape="inverse_sqrt"), steps**-0.5)


def test_warm_up_for_all_of_training_and_training_for_one_step() -> None:
    np.testing.assert_allclose(learning_rates(warmup_epochs=10.0), np.arange(1, TOTAL + 1) / TOTAL)
    assert learning_rates(total=1).tolist() == [1.0]
    assert all(
        math.isfinite(rate) and 0 <= rate <= 1 for rate in learning_rates(shape="cosine", warmup_steps=TOTAL + 5)
    )
