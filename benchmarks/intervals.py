"""Coverage of the interval of the gradient direction variance, compared with a jackknife over all gradients.

    python benchmarks/intervals.py          # 2,000 repetitions a row, a minute

Simulated gradients, 20 a repetition: a common direction of length `signal`, and noise of length 1 to 2 that is five
times as strong in a fiftieth of the coordinates; `spread` makes some batches noisier than others.
"""

import numpy as np
from numpy.typing import NDArray

from rdrop_exp.analysis.gradients import direction_variance
from rdrop_exp.statistics.paired import t_quantile

BATCHES, REPETITIONS = 20, 2000
CASES = ((50, 1.0, 0.0), (50, 1.0, 0.5), (1000, 1.0, 0.5), (1000, 0.3, 0.5), (1000, 3.0, 0.3), (1000, 0.3, 0.0))


def draw(random: np.random.Generator, count: int, size: int, signal: float, spread: float) -> NDArray[np.float64]:
    """Unit gradients, (count, size)."""
    scale = np.ones(size)
    scale[: max(1, size // 50)] = 5
    noisy = np.exp(spread * random.standard_normal((count, 1)))
    g = noisy * random.standard_normal((count, size)) * scale / np.sqrt(size)
    g[:, 0] += signal
    return np.asarray(g / np.linalg.norm(g, axis=1, keepdims=True))


def jackknife(u: NDArray[np.float64]) -> tuple[float, float]:
    n, total = len(u), u.sum(0)
    left = total @ total - 2 * u @ total + 1  # |Σ u|² without each
    values = (1 - (left - (n - 1)) / ((n - 1) * (n - 2))) / 2
    error = np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())
    value = (1 - (total @ total - n) / (n * (n - 1))) / 2
    reach = t_quantile(0.975, n - 1) * error
    return value - reach, value + reach


def one_pass(u: NDArray[np.float64]) -> tuple[float, float]:
    half = len(u) // 2
    total = u.sum(0)
    estimate = direction_variance(float(total @ total), len(u), len(u), (u[half:] @ u[:half].mean(0)).tolist())
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def main() -> None:
    random = np.random.default_rng(0)
    print(f"{BATCHES} gradients, {REPETITIONS} repetitions; coverage of 95 % intervals (mean width)")
    for size, signal, spread in CASES:
        many = draw(random, 20_000, size, signal, spread)
        total = many.sum(0)
        truth = (1 - (total @ total - len(many)) / (len(many) * (len(many) - 1))) / 2
        held, width = np.zeros(2), np.zeros(2)
        for _ in range(REPETITIONS):
            u = draw(random, BATCHES, size, signal, spread)
            for i, (low, high) in enumerate((one_pass(u), jackknife(u))):
                held[i] += low <= truth <= high
                width[i] += high - low
        (covered, covered_jackknife), (width_one_pass, width_jackknife) = held / REPETITIONS, width / REPETITIONS
        print(
            f"{size:5} dimensions, signal {signal}, spread {spread}, truth {truth:.3f}:"
            f" one pass {covered:.3f} ({width_one_pass:.4f}), jackknife {covered_jackknife:.3f} ({width_jackknife:.4f})"
        )


if __name__ == "__main__":
    main()
