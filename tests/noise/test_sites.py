"""Every family of timm: what is asked of its noise is what it does; without noise it is timm's model bit for bit."""

import copy
import re
from collections.abc import Collection, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schema import OptionError
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.layers import Dropout, DropPath
from rdrop_exp.noise.sites import SITES, default_sites
from tests.conftest import ROOT
from tests.noise.architectures import FAST, QUICK, SLOW, Case, build, row, sites_of

# Dropouts that are none of the named sites: inside gates, position biases, 1x1 convolutions, and the stem of hybrids.
IGNORED = re.compile(r"rel_pos|meta_mlp|attn\.attn\.mlp|mlp_add|mlp_scale|attn\.dropout|\.dropout$|backbone\.head")
FIRST, SECOND, PATH = 0.25, 0.5, 0.4


def every(quick: Collection[str]) -> Iterator[object]:
    for case in FAST + SLOW:
        yield pytest.param(case, id=case[1], marks=[] if case[1] in quick else pytest.mark.slow)


def images(case: Case, count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, case[2], case[2], generator=torch.Generator().manual_seed(seed))


def every_site(model: nn.Module) -> Regularizer:
    sites, branches = sites_of(model)
    path = PATH if branches else 0.0
    return Regularizer(dropout=FIRST, second_dropout=SECOND, drop_path=path, profile="constant", sites="+".join(sites))


def without_dropout(model: nn.Module) -> nn.Module:
    """An untouched model without the few dropouts that timm builds whatever rate is asked for."""
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return model


def perturb_weights(model: nn.Module) -> None:
    """Move zero-initialised weights and tiny layer scales away from zero, so that noise anywhere reaches the output."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


@pytest.mark.parametrize("case", list(every(QUICK)))
def test_noise_in_a_timm_model(case: Case) -> None:
    torch.manual_seed(0)
    plain = without_dropout(build(case, 0.0))
    perturb_weights(plain)
    for built_at in (0.0, 0.2):
        model = build(case, built_at)
        noise = install_noise(model, every_site(model))
        assert list(model.state_dict()) == list(plain.state_dict())
        model.load_state_dict(plain.state_dict())
        assert noise.layers
        check_exact(model, plain, noise, images(case, 2))
    check_rates(model, noise, images(case, 4))
    check_rows(model, noise, images(case, 2))
    check_nothing_missed(model, noise, images(case, 2))


def check_exact(model: nn.Module, plain: nn.Module, noise: InstalledNoise, x: Tensor) -> None:
    """Evaluation, and training while no noise is active, are the untouched model's to the last bit."""
    with torch.no_grad():
        noise.set_rates(1.0, 2)
        assert torch.equal(model.eval()(x), plain.eval()(x))
        noise.set_rates(0.0)
        buffers = {k: v.clone() for k, v in plain.state_dict().items()}
        assert torch.equal(model.train()(x), plain.train()(x))
        plain.load_state_dict(buffers)
        model.load_state_dict(buffers)


def check_rates(model: nn.Module, noise: InstalledNoise, x: Tensor) -> None:
    """Every noise module acts, at the rate of its pass, with the right scale."""
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []
    hooks = [m.register_forward_hook(lambda m, a, y: seen.append((m, a[0].clone(), y.clone()))) for m in noise.layers]
    both = x.repeat(2, 1, 1, 1)
    with torch.no_grad():
        noise.set_rates(0.0)
        one, two = model.train()(both).chunk(2)
        assert torch.allclose(one, two, rtol=1e-4, atol=2e-4)
        seen.clear()
        noise.set_rates(1.0, 2)
        one, two = model(both).chunk(2)
        assert not torch.allclose(one, two, rtol=1e-2, atol=1e-2)
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in model.named_modules()}
    assert [names[m] for m in noise.layers if m not in {module for module, _, _ in seen}] == []
    check_drawn(seen, names)


def check_drawn(seen: list[tuple[nn.Module, Tensor, Tensor]], names: dict[nn.Module, str]) -> None:
    """Inputs and outputs of noise modules over two passes: dropped at the rate of the pass, kept at the right scale."""
    kept = rows = 0
    for module, before, after in seen:
        if isinstance(module, Dropout):
            for rate, inputs, outputs in zip((FIRST, SECOND), before.chunk(2), after.chunk(2), strict=True):
                check_dropped(rate, inputs, outputs, names[module])
        elif isinstance(module, DropPath):
            alive = after.flatten(1).abs().sum(1) > 0
            torch.testing.assert_close(after[alive], before[alive] / (1 - PATH))
            kept, rows = kept + int(alive.sum()), rows + len(alive)
    assert abs(kept - rows * (1 - PATH)) <= 5 * (rows * PATH * (1 - PATH)) ** 0.5


def check_dropped(rate: float, inputs: Tensor, outputs: Tensor, name: str) -> None:
    """The fraction of dropped values is the rate, within five standard deviations; the others are scaled."""
    alive = inputs != 0
    count, zeros = int(alive.sum()), int((alive & (outputs == 0)).sum())
    assert abs(zeros - count * rate) <= 5 * (count * rate * (1 - rate)) ** 0.5, f"{name}: {zeros} of {count} at {rate}"
    kept = outputs != 0
    torch.testing.assert_close(outputs[kept], inputs[kept] / (1 - rate))


def check_rows(model: nn.Module, noise: InstalledNoise, x: Tensor) -> None:
    """Rows of every noise module belong to samples in order, so each pass can have its own rate and noise."""
    rows: dict[nn.Module, list[Tensor]] = {m: [] for m in noise.layers}
    hooks = [m.register_forward_hook(lambda m, a, out: rows[m].append(a[0])) for m in noise.layers]
    model.eval()  # batch statistics would mix samples
    for module in noise.layers:
        module.train()
    noise.set_rates(1e-12)  # active, so that no fused kernel hides it, and as good as nothing
    with torch.no_grad():
        model(x)
        model(torch.cat([x[:1], x[1:] + 1]))
    for hook in hooks:
        hook.remove()
    for calls in rows.values():
        for before, after in zip(calls[: len(calls) // 2], calls[len(calls) // 2 :], strict=True):
            assert len(before) % 2 == 0
            first, _ = (before != after).flatten(1).any(1).chunk(2)
            assert not first.any()


def zeroed(called: set[str], path: str, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """A forward hook that notes the call and closes the branch."""
    called.add(path)
    return torch.zeros_like(output)


def check_nothing_missed(model: nn.Module, noise: InstalledNoise, x: Tensor) -> None:
    """Noise modules of timm that remain are none of the named sites, or would drop samples instead of branches."""
    called: set[str] = set()
    inputs: dict[str, tuple[Tensor, ...]] = {}
    parents = dict(model.named_modules())
    for path, parent in parents.items():
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                child.register_forward_hook(lambda m, a, y, at=f"{path}.{name}": called.add(at))
            elif re.search(r"drop_path\d*$", name) and not any(m in noise.layers for m in child.modules()):
                child.register_forward_hook(partial(zeroed, called, path))
                parent.register_forward_pre_hook(lambda m, a, at=path: inputs.update({at: a}))
    noise.set_rates(0.0)
    with torch.no_grad():
        model.eval()(x)
        for path in sorted(called - inputs.keys()):
            assert IGNORED.search(path), path
        for path in sorted(called & inputs.keys()):
            block, (given, *_) = parents[path], inputs[path]
            assert torch.equal(block(given), block(given + 1)), f"{path} has a shortcut"


@pytest.mark.parametrize("case", list(every({name for _, name, *_ in FAST})))
def test_sites_without_weights(case: Case) -> None:
    """The table of the docs; the default sites are those of DRU or the head; others are refused in one sentence."""
    with torch.device("meta"):
        model = build(case)
        default, named = copy.deepcopy(model), copy.deepcopy(model)
    assert row(case, model) in (ROOT / "docs" / "sites.md").read_text().splitlines()
    name, (sites, branches) = type(model).__name__, sites_of(model)
    for site in set(SITES) - sites:
        with pytest.raises(OptionError, match=f"^regularizer.sites={site}: this {name} has no {site} .*head"):
            install_noise(model, Regularizer(dropout=0.1, sites=site))
    if not branches:
        with pytest.raises(OptionError, match=f"^regularizer.drop_path=0.1: this {name} "):
            install_noise(model, Regularizer(drop_path=0.1))
    both = ((default, "default"), (named, "+".join(default_sites(sites))))
    layers, same = (install_noise(each, Regularizer(dropout=0.1, sites=chosen)).layers for each, chosen in both)
    assert len(layers) == len(same) > 0
