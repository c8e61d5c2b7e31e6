"""Fifteen families of transformers: what is asked of noise is what it does; without noise they are as published."""

import copy
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import rate_scale
from rdrop_exp.config.schema import OptionError
from rdrop_exp.models.text import TextModel, build_text_network, create
from rdrop_exp.models.text_config import HEADS
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.sites import NoiseSite
from rdrop_exp.train.losses import loss
from tests.conftest import ROOT
from tests.noise.test_shared_prefix import same_draws
from tests.noise.test_sites import FIRST, PATH, SECOND, check_drawn
from tests.noise.text_architectures import CASES, TEXT_SITES, build, options_of, places_of, row, spec_of, tokens

CPU = torch.device("cpu")

walk = pytest.mark.parametrize("family", CASES)


@functools.cache
def plain_of(family: str) -> TextModel:
    """A model without our noise; weights that start at zero are moved, so that noise anywhere reaches the output."""
    torch.manual_seed(0)
    network = build(family)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def everywhere(family: str) -> dict[str, Any]:
    """Noise at all places of a family; OPT's branches, which hold tokens as rows, take no stochastic depth."""
    branches = places_of(family)["branch"] > 0
    return {
        "dropout": FIRST, "second_dropout": SECOND, "drop_path": PATH if branches else 0.0, "profile": "constant",
        "sites": "+".join((*TEXT_SITES, "residual") if branches else TEXT_SITES),
    }  # fmt: skip


def noisy(family: str, **r: Any) -> tuple[TextModel, InstalledNoise]:
    network = copy.deepcopy(plain_of(family))
    return network, install_noise(network, Regularizer(**r))


@walk
@torch.no_grad()
def test_without_noise_it_is_the_transformers_model(family: str) -> None:
    """Evaluation, and training while no noise is active, whatever rates the model was built with."""
    import transformers

    kind = CASES[family][1]
    plain = plain_of(family)
    reference = getattr(transformers, HEADS[kind].loader).from_config(
        copy.deepcopy(plain.config), attn_implementation="eager"
    )
    own = {key: 0.5 for key, value in plain.config.to_dict().items() if "drop" in key and isinstance(value, float)}
    assert own
    options = options_of(family)
    options.model.args |= own
    network = TextModel(create(options, spec_of(kind)), kind)
    noise = install_noise(network, Regularizer(**everywhere(family)))
    assert list(network.state_dict()) == list(plain.state_dict())
    network.load_state_dict(plain.state_dict())
    reference.load_state_dict(plain.model.state_dict())
    inputs = tokens(kind)
    given = dict(inputs)
    if kind == "pair":
        given["decoder_input_ids"] = given["decoder_input_ids"].clone()
        given["decoder_input_ids"][:, 0] = plain.config.decoder_start_token_id
    expected = reference.eval()(**given).logits
    noise.set_rates(1.0, 2)
    evaluated = network.eval()(inputs)
    torch.testing.assert_close(evaluated, expected, rtol=1e-4, atol=1e-5)
    noise.set_rates(0.0)
    assert torch.equal(network.train()(inputs), evaluated)
    noise.set_rates(1e-12)  # attention in steps
    torch.testing.assert_close(network(inputs), evaluated, rtol=1e-4, atol=1e-5)


@walk
@torch.no_grad()
def test_every_place_acts_at_its_rate(family: str) -> None:
    network, noise = noisy(family, **everywhere(family))
    inputs = tokens(CASES[family][1])
    both = {key: x.repeat(2, 1) for key, x in inputs.items()}
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []
    for layer in noise.layers:
        layer.register_forward_hook(lambda m, a, y: seen.append((m, a[0].clone(), y.clone())))
    torch.manual_seed(1)
    noise.set_rates(1.0, 2)
    one, two = network.train()(both).chunk(2)
    assert not torch.allclose(one, two, rtol=1e-2, atol=1e-2)
    assert {m for m, _, _ in seen} == set(noise.layers)
    names = {module: name for name, module in network.named_modules()}
    check_drawn(seen, names)


@walk
@torch.no_grad()
def test_each_site_acts_alone_and_in_its_place(family: str) -> None:
    inputs = tokens(CASES[family][1], rows=2)
    evaluated = plain_of(family)(inputs)
    for site in TEXT_SITES:
        network, noise = noisy(family, dropout=FIRST, sites=site)
        assert len(noise.layers) == places_of(family)[site]
        seen: list[Tensor] = []
        for layer in noise.layers:
            layer.register_forward_hook(lambda m, a, y, seen=seen: seen.append(a[0]))
        network.train()
        noise.set_rates(0.0)
        assert torch.equal(network(inputs), evaluated), site
        seen.clear()
        noise.set_rates(1.0)
        torch.manual_seed(2)
        outputs = network(inputs)
        assert not torch.allclose(outputs, evaluated, atol=1e-3), site
        for x in seen:
            if site == "attention":
                torch.testing.assert_close(x.sum(-1), torch.ones(x.shape[:-1]))
                assert x.shape == (2, 2, 12, 12)
            else:
                assert len(x) == (24 if (family, site) == ("OPT", "mlp") else 2)
                assert x.shape[-1] in (16, 32)  # width, and that of the feed-forward layer


@walk
@torch.no_grad()
def test_padding_and_later_tokens_change_nothing(family: str) -> None:
    """With the fused attention, and in the steps that take its place while its noise is active."""
    kind = CASES[family][1]
    network, noise = noisy(family, dropout=FIRST, sites="attention")
    inputs = tokens(kind)
    other = {key: x.clone() for key, x in inputs.items()}
    for key in [key for key in inputs if key.endswith("ids")]:
        mask = inputs[key.replace("input_ids", "attention_mask")]
        if kind == "language":
            other[key][:, -4:] = 5
        else:
            other[key][mask == 0] = 5
            assert not torch.equal(other[key], inputs[key])
    longer = {key: nn.functional.pad(x, (0, 4)) for key, x in inputs.items()}
    for scale in (0.0, 1e-12):
        noise.set_rates(scale)
        network.train()
        outputs, changed, padded = network(inputs), network(other), network(longer)
        if kind == "pair":
            counted = inputs["decoder_attention_mask"].bool()
            outputs, changed, padded = outputs[counted], changed[counted], padded[:, :12][counted]
        elif kind == "language":
            outputs, changed, padded = outputs[:, :-4], changed[:, :-4], padded[:, :8]
        torch.testing.assert_close(changed, outputs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded, outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["BERT", "GPT-2", "Marian", "T5"])
@torch.no_grad()
def test_attention_is_fused_while_its_noise_is_off(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fused, calls = nn.functional.scaled_dot_product_attention, []

    def counting(*tensors: Any, dropout_p: float, **options: Any) -> Tensor:
        calls.append(dropout_p)
        return fused(*tensors, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", counting)
    inputs, count = tokens(CASES[family][1]), places_of(family)["attention"]
    for sites, scale, training, expected in (
        ("attention", 0.0, True, count), ("attention", 1.0, True, 0), ("attention", 1.0, False, count),
        ("mlp", 1.0, True, count),
    ):  # fmt: skip
        network, noise = noisy(family, dropout=FIRST, sites=sites)
        noise.set_rates(scale)
        calls.clear()
        network.train(training)(inputs)
        assert calls == [0.0] * expected, (sites, scale, training)


PREFIXES: dict[str, tuple[str, dict[str, Any], str]] = {  # family, regularizer, and where the passes begin to differ
    "bert": ("BERT", {"sites": "mlp"}, "model.bert.encoder.layer.0"),
    "bert_head": ("BERT", {"sites": "head"}, "model.dropout"),
    "bert_embed": ("BERT", {}, ""),  # masks are made after the embeddings
    "bert_depth": ("BERT", {"dropout": 0.0, "drop_path": 0.4}, "model.bert.encoder.layer.1.attention"),
    "gpt2": ("GPT-2", {}, "model.transformer.drop"),
    "llama": ("Llama", {"dropout": 0.0, "drop_path": 0.4}, "model.model.layers.1"),
    "marian_head": ("Marian", {"sites": "head"}, "noise_head0"),
    "t5": ("T5", {}, ""),
}


@pytest.mark.parametrize("case", PREFIXES)
def test_a_shared_prefix_gives_the_same_outputs_and_gradients(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family, regularizer, place = PREFIXES[case]
    kind = CASES[family][1]
    inputs, rows = tokens(kind), {}
    same_draws(monkeypatch)
    results = []
    for shared in (True, False):
        options = options_of(family, regularizer={"dropout": 0.3, "alpha": 1.0} | regularizer, share_passes=shared)
        network, noise = build_text_network(options, spec_of(kind), CPU)
        network.load_state_dict(plain_of(family).state_dict())
        prefix = noise.shared_prefix
        assert prefix
        where = [name for name, m in network.named_modules() if prefix._hook in m._forward_pre_hooks.values()]
        assert where == [place if shared else ""]
        if place:
            module = network.get_submodule(place)
            module.register_forward_pre_hook(lambda m, a, s=shared: rows.update({s: len(a[0])}), prepend=True)
        network.train()
        noise.set_rates(1.0, 2)
        outputs = network(inputs).flatten(1)
        assert len(outputs) == 8
        loss(outputs, torch.arange(4) % 3, passes=2, alpha=1.0).total.backward()
        results.append([outputs, *(p.grad for p in network.parameters() if p.grad is not None)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not torch.equal(results[0][0][:4], results[0][0][4:])
    assert rows == ({True: 4, False: 8} if place else {})


@pytest.mark.parametrize("when", ["early", "late"])
@torch.no_grad()
def test_schedules_switch_noise_off_and_on(when: str) -> None:
    r = Regularizer(dropout=0.3, when=when, cutoff_share=0.5)
    network, noise = noisy("BERT", dropout=0.3)
    inputs = tokens("class")
    evaluated, acts = network(inputs), []
    for step in range(4):
        noise.set_rates(rate_scale(r, step, 2, 4))
        acts.append(not torch.equal(network.train()(inputs), evaluated))
    assert acts == ([True, True, False, False] if when == "early" else [False, False, True, True])


@pytest.mark.parametrize("family", ["BERT", "Marian", "ALBERT"])
def test_stochastic_depth_rises_over_the_blocks(family: str) -> None:
    noise = noisy(family, drop_path=PATH)[1]
    rates = [layer.highest for layer in noise.layers]
    expected = {
        "BERT": [PATH] * 2,  # the first of two blocks has rate 0
        "Marian": [PATH / 3] * 2 + [2 * PATH / 3] * 3 + [PATH] * 3,  # the decoder goes on where the encoder ends
        "ALBERT": [PATH] * 2,  # one block, used twice
    }
    assert rates == pytest.approx(expected[family])


def test_what_a_model_lacks_is_refused_in_one_sentence() -> None:
    fnet = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
    xlnet = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32}
    for name, args, regularizer, match in (
        (
            "fnet",
            fnet,
            {"dropout": 0.1, "sites": "attention"},
            "^regularizer.sites=attention: this FNetFor.* no attention .*head",
        ),
        ("fnet", fnet, {"dropout": 0.1, "sites": "projektion"}, "^regularizer.sites=projektion .*projection"),
        ("opt", CASES["OPT"][2], {"drop_path": 0.1}, "^regularizer.drop_path=0.1: this OPTForS.* no residual branches"),
        ("xlnet", xlnet, {"drop_path": 0.1}, "^regularizer.drop_path=0.1: this XLNetFor.* no residual branches"),
    ):
        o = from_dict({"model": {"name": name, "args": args}, "regularizer": regularizer})
        with pytest.raises(OptionError, match=match):
            build_text_network(o, spec_of("class"), CPU)


def test_a_place_that_the_model_never_uses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original = TextModel.noise_sites
    monkeypatch.setattr(TextModel, "noise_sites", lambda m: [*original(m), NoiseSite(m, "unused", "mlp", "")])
    monkeypatch.setattr(TextModel, "unused", None, raising=False)
    o = options_of("BERT", regularizer={"dropout": 0.1, "sites": "mlp"})
    with pytest.raises(
        OptionError, match=r"^regularizer.sites=mlp: BertForSequenceClassification never uses its unused"
    ):
        build_text_network(o, spec_of("class"), CPU)


@walk
def test_the_table_of_sites_is_what_the_walk_finds(family: str) -> None:
    assert row(family) in (ROOT / "docs" / "sites.md").read_text().splitlines()
