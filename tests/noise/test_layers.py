"""Rates, gradients and random numbers of dropout and stochastic depth, and the profile of the latter over blocks."""

from typing import Any

import pytest
import timm
import torch
from scipy import stats
from timm.layers import DropPath as TimmDropPath
from torch import Tensor

from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.noise.install import install_noise
from rdrop_exp.noise.layers import DropPath, _random_halves, drop


def count_dropped(rate: float, shape: tuple[int, ...], calls: int = 1, **kwargs: Any) -> int:
    """How many of the elements were dropped, over several calls."""
    ones, rates = torch.ones(shape, **kwargs), torch.tensor([rate])
    return sum(int((drop(ones, rates) == 0).sum()) for _ in range(calls))


# -- drop -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.1, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_fraction_of_dropped_elements_is_the_rate(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    count = 16 * 2**18
    dropped = count_dropped(rate, (2**18,), calls=16, dtype=dtype)
    assert abs(dropped - count * rate) <= 4 * (count * rate * (1 - rate)) ** 0.5


def test_rates_below_the_resolution_of_16_random_bits_are_exact() -> None:
    torch.manual_seed(0)
    rate, calls, size = 3e-6, 3000, 2**16
    assert count_dropped(rate, (size,), calls) == pytest.approx(
        rate * calls * size, rel=0.2
    )  # four standard deviations


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_the_mean_is_preserved(rate: float, per_row: bool) -> None:
    torch.manual_seed(0)
    out = drop(torch.ones(2**20, 1), torch.tensor([rate]), per_row)
    deviation = (rate / (1 - rate) / len(out)) ** 0.5
    assert abs(out.mean().item() - 1) <= 4 * deviation
    assert out.max() == 1 / (1 - torch.tensor(rate))
    assert out[out != 0].min() == out.max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_scale_is_rounded_once_whatever_the_type(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(1000).to(dtype)
    out = drop(x, torch.tensor([0.1]))
    assert out.dtype == dtype
    exact = x.double() * (1 / (1 - torch.tensor(0.1))).double()
    assert torch.equal(out[out != 0], exact.to(torch.promote_types(dtype, torch.float32)).to(dtype)[out != 0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_get_what_a_float32_mask_rounds_to(dtype: torch.dtype) -> None:
    x, gradient = torch.randn(8, 33, 7).to(dtype).requires_grad_(), torch.randn(8, 33, 7).to(dtype)
    torch.manual_seed(2)
    out = drop(x, torch.tensor([0.1]))
    out.backward(gradient)
    torch.manual_seed(2)
    mask = drop(torch.ones(8, 33, 7), torch.tensor([0.1]))
    assert torch.equal(out, (x * mask).to(dtype))
    assert x.grad is not None
    assert torch.equal(x.grad, (gradient * mask).to(dtype))


def test_the_gradient_is_the_mask_times_the_scale() -> None:
    x = torch.randn(40, 5, dtype=torch.float64, requires_grad=True)

    def seeded(x: Tensor, per_row: bool) -> Tensor:
        torch.manual_seed(3)
        return drop(x, torch.tensor([0.25, 0.5]), per_row)

    for per_row in (False, True):
        assert torch.autograd.gradcheck(lambda x, per_row=per_row: seeded(x, per_row), x)
        out = seeded(x, per_row)
        (gradient,) = torch.autograd.grad(out.sum(), x)
        torch.testing.assert_close(gradient, out.detach() / x.detach())


def test_rows_have_the_rate_of_their_pass_also_with_several_windows_or_heads() -> None:
    torch.manual_seed(0)
    for windows in (1, 4):
        out = drop(torch.ones(2 * 8 * windows, 3, 50, 50), torch.tensor([0.2, 0.7]))
        fractions = [(part == 0).float().mean().item() for part in out.chunk(2)]
        assert fractions == pytest.approx([0.2, 0.7], abs=0.01)
        assert sorted(out.unique().tolist()) == pytest.approx([0, 1 / 0.8, 1 / 0.3])


def test_stochastic_depth_drops_whole_rows_independently() -> None:
    torch.manual_seed(0)
    out = drop(torch.ones(4000, 2, 3), torch.tensor([0.3]), per_row=True).flatten(1)
    assert torch.equal(out.amin(1), out.amax(1))
    alive = out[:, 0] > 0
    assert abs(int(alive.sum()) - 2800) <= 4 * (4000 * 0.21) ** 0.5
    neighbours = int((alive[:-1] & alive[1:]).sum())
    assert neighbours == pytest.approx(3999 * 0.49, rel=0.06)


def test_random_halves_are_uniform_and_independent() -> None:
    torch.manual_seed(0)
    halves = _random_halves(torch.Size([2**18 + 3])).to(torch.int64) + 2**15  # not a multiple of four
    for lane in range(4):
        of_word = halves[lane::4]
        for byte in (of_word // 256, of_word % 256):
            assert stats.chisquare(torch.bincount(byte, minlength=256)).pvalue > 1e-3
    pairs = (halves[:-1] // 2**12) * 16 + halves[1:] // 2**12
    assert stats.chisquare(torch.bincount(pairs, minlength=256)).pvalue > 1e-3
    assert _random_halves(torch.Size([0, 3])).shape == (0, 3)


# -- stochastic depth over blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        "test_convnext",
        "test_resnet",
        "test_maxvit",
        "test_coatnet",
        "regnetx_002",
        "swinv2_tiny_window8_256",
    ],
)
def test_the_linear_profile_equals_timms(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, drop_path_rate=0.5)
        expected = [m.drop_prob for m in theirs.modules() if isinstance(m, TimmDropPath)]
        model = timm.create_model(name, drop_path_rate=0.0)
        noise = install_noise(model, Regularizer(drop_path=0.5))
    assert [m.highest for m in noise.layers] == pytest.approx(expected)
    assert noise.layers[-1].highest == 0.5
    rates = [m.highest for m in model.modules() if isinstance(m, DropPath)]
    assert rates[0] == 0.0  # the first block always keeps its branch


@pytest.mark.parametrize("name", ["hrnet_w18_small", "mobilenetv2_035", "efficientvit_m0"])
def test_the_profile_rises_with_depth_to_the_full_rate(name: str) -> None:
    with torch.device("meta"):
        noise = install_noise(timm.create_model(name), Regularizer(drop_path=0.5))
        flat = install_noise(timm.create_model(name), Regularizer(drop_path=0.5, profile="constant"))
    rates = [m.highest for m in noise.layers]
    assert rates == sorted(rates)
    assert rates[-1] == 0.5
    assert {m.highest for m in flat.layers} == {0.5}
    assert len(flat.layers) > len(noise.layers)  # no noise where the profile begins at 0


def test_a_model_of_one_block_has_the_full_rate() -> None:
    model = timm.create_model("test_vit", depth=1)
    assert [m.highest for m in install_noise(model, Regularizer(drop_path=0.3)).layers] == [0.3, 0.3]
