"""transformers models: pretrained folders, checkpoints, presets, and what is refused in one sentence."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Optimizer, Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.models.onednn_linear import Linear
from rdrop_exp.models.text import TextModel, build_text_network, create
from rdrop_exp.text.tokens import TextSpec
from rdrop_exp.train import checkpoint
from rdrop_exp.train.optim import make_optimizer
from tests.conftest import ROOT
from tests.noise.text_architectures import CASES, options_of, spec_of, tokens

CPU = torch.device("cpu")
MODELS = ROOT / "conf" / "model"


def built(options: Options, spec: TextSpec) -> nn.Module:
    torch.manual_seed(3)
    return build_text_network(options, spec, CPU)[0].eval()


def pretrained_spec(kind: str, classes: int = 3) -> TextSpec:
    """With the model's own tokenizer."""
    spec = spec_of(kind, classes=classes)
    return dataclasses.replace(spec, tokenizer=dataclasses.replace(spec.tokenizer, kind="model"))


def saved(family: str, folder: Path) -> TextModel:
    """A small model of the family, in a folder as `save_pretrained` writes it, in bfloat16 as many are."""
    model = create(options_of(family), spec_of(CASES[family][1]))
    model.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[operator]
    return TextModel(model.to(torch.float32), CASES[family][1]).eval()


def of_folder(folder: Path, **model: Any) -> Options:
    return from_dict({"model": {"name": str(folder), **model}, "regularizer": {"dropout": 0.1}})


# -- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["BERT", "GPT-2", "BART"])
@torch.no_grad()
def test_pretrained_weights_of_a_folder_give_the_same_outputs(family: str, tmp_path: Path) -> None:
    kind = CASES[family][1]
    original, inputs = saved(family, tmp_path), tokens(kind)
    network = built(of_folder(tmp_path, pretrained=True), pretrained_spec(kind))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    torch.testing.assert_close(network(inputs), original(inputs), rtol=1e-5, atol=1e-6)
    fresh = built(of_folder(tmp_path), pretrained_spec(kind))  # its configuration alone
    assert not torch.allclose(fresh(inputs), original(inputs), atol=1e-3)


@torch.no_grad()
def test_a_head_of_another_size_is_new_and_the_body_is_kept(tmp_path: Path) -> None:
    original = saved("BERT", tmp_path)
    network = built(of_folder(tmp_path, pretrained=True), pretrained_spec("class", classes=5))
    assert network(tokens("class")).shape == (4, 5)
    theirs, ours = original.model.bert.state_dict(), network.model.bert.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    saved("BERT", tmp_path)
    for args in ({"hidden_size": 32}, {"num_hidden_layers": 3}):
        with pytest.raises(OptionError, match=r"weights do not fit .*bert.e"):
            built(of_folder(tmp_path, pretrained=True, args=args), pretrained_spec("class"))
    built(of_folder(tmp_path, pretrained=True, args={"num_hidden_layers": 1}), pretrained_spec("class"))


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, pretrained: bool) -> None:
    with pytest.raises(
        OptionError, match=r"^model.name=.* is not a transformers model: the folder has no config.json$"
    ):
        built(of_folder(tmp_path, pretrained=pretrained), pretrained_spec("class"))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    saved("BERT", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OptionError, match=r"^model.name=.*model\.safetensors"):
        built(of_folder(tmp_path, pretrained=True), pretrained_spec("class"))


def test_a_hub_name_without_a_hub_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdrop_exp.models.text_config.hub_is_reachable", lambda: False)
    o = from_dict({"model": {"name": "nobody/no-such-bert", "pretrained": True}})
    with pytest.raises(OptionError, match=r"^model.name=nobody/no-such-bert could not be loaded: the hub cannot be"):
        built(o, pretrained_spec("class"))


@torch.no_grad()
def test_a_checkpoint_of_a_trial_is_a_start(tmp_path: Path) -> None:
    inputs = tokens("class")
    first = built(options_of("BERT"), spec_of("class"))
    checkpoint.finish(tmp_path, first.state_dict())
    o = options_of("BERT")
    o.model.checkpoint = str(tmp_path / checkpoint.NAME)
    torch.manual_seed(9)
    second, _ = build_text_network(o, spec_of("class"), CPU)
    torch.testing.assert_close(second.eval()(inputs), first(inputs))
    other = built(o, spec_of("class", classes=5))
    assert other(inputs).shape == (4, 5)
    o.model.name, o.model.args = "gpt2", CASES["GPT-2"][2]
    with pytest.raises(OptionError, match=r"^model.checkpoint=.* tensors of gpt2 are not in it"):
        built(o, spec_of("class"))


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "match"),
    [
        ({"name": "bertt"}, "class", "^model.name=bertt is not a transformers model; did you mean bert: .*bert_micro"),
        ({"name": "resnet18"}, "class", "^model.name=resnet18 is an image model, but .* has text: .*model=bert_micro"),
        ({"name": "vit"}, "class", "^model.name=vit cannot be used for text classification: .*model=bert_micro"),
        ({"name": "marian"}, "class", "^model.name=marian cannot be used for text classification: .*model=bert_micro"),
        ({"name": "bert"}, "pair", "^model.name=bert cannot .* translation and summarization: .*transformer_micro"),
        ({"name": "gpt2"}, "pair", "^model.name=gpt2 cannot .* translation and summarization: .*transformer_micro"),
        ({"name": "distilbert"}, "language", "^model.name=distilbert cannot .* language modelling: .*gpt_micro"),
        ({"name": "bert", "args": CASES["BERT"][2]}, "language", "^model.name=bert also sees .*gpt_micro.*is_decoder"),
        ({"name": "bert", "args": {"hidden_sise": 8}}, "class", "^model.args.hidden_sise is not .* bert.*hidden_size"),
        ({"name": "bert", "args": {"hidden_size": 7}}, "class", "^model"),
        ({"name": "gpt2", "args": {"n_embd": "wide"}}, "language", "^model.args=.* is refused by gpt2"),
        ({"name": "bert", "args": {"max_position_embeddings": 8}}, "class", "^dataset.max_length=12 .* at most 8$"),
        ({"name": "roberta", "args": {"max_position_embeddings": 12}}, "class", "^dataset.max_length=12 .* most 11$"),
        ({"name": "bart", "args": {"max_position_embeddings": 32}}, "pair", "^generate.max_length=64 .* at most 32$"),
        ({"name": "bert", "args": {"vocab_size": 50}}, "class", "^model.name=bert has a vocabulary of 50, .* 60"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(
    values: dict[str, Any], kind: str, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdrop_exp.models.text_config.hub_is_reachable", lambda: False)
    with pytest.raises(OptionError, match=match) as refused:
        built(from_dict({"model": values}), spec_of(kind))
    assert "\n" not in str(refused.value)


def test_a_peer_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^peer.name=resnet18"):
        built(options_of("BERT", peer={"name": "resnet18"}), spec_of("class"))


# -- use ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_decoders_and_encoder_decoders_classify_and_a_masked_encoder_predicts() -> None:
    for family in ("GPT-2", "Llama", "BART", "T5"):
        network = built(options_of(family, regularizer={"dropout": 0.1}), spec_of("class"))
        assert network(tokens("class")).shape == (4, 3)
    network = built(options_of("BERT", {"is_decoder": True}, regularizer={"dropout": 0.1}), spec_of("language"))
    assert network(tokens("language")).shape == (4, 12, 60)


@torch.no_grad()
def test_segments_reach_the_models_that_have_them() -> None:
    inputs = tokens("class") | {"token_type_ids": torch.zeros(4, 12, dtype=torch.long)}
    other = inputs | {"token_type_ids": torch.ones(4, 12, dtype=torch.long)}
    for family, args, differ in (("BERT", {}, True), ("RoBERTa", {"type_vocab_size": 1}, False), ("GPT-2", {}, False)):
        network = built(options_of(family, args), spec_of("class"))
        assert torch.equal(network(inputs), network(other)) != differ


@torch.no_grad()
def test_fast_linear_layers_change_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[Tensor] = []
    for faster in (True, False):
        monkeypatch.setattr("rdrop_exp.models.onednn_linear.is_faster", lambda faster=faster: faster)
        network = built(options_of("BERT"), spec_of("class"))
        assert any(isinstance(module, Linear) for module in network.modules()) == faster
        outputs.append(network(tokens("class")))
    torch.testing.assert_close(*outputs)


def preset(name: str) -> Options:
    return from_dict({"model": yaml.safe_load((MODELS / f"{name}.yaml").read_text()), "dataset": {"max_length": 128}})


@pytest.mark.parametrize(
    ("name", "kind", "parameters"),
    [
        ("bert_micro", "class", 0.376e6), ("gpt_micro", "language", 0.366e6), ("transformer_micro", "pair", 0.73e6),
        ("transformer_small", "pair", 4.1e6), ("transformer_iwslt", "pair", 32.6e6),
        ("transformer_base", "pair", 45.2e6), ("transformer_big", "pair", 178.5e6), ("gpt2", "language", 85.9e6),
    ],
)  # fmt: skip
def test_presets_have_the_size_that_they_name(name: str, kind: str, parameters: float) -> None:
    """With 60 tokens; transformer-base's 65 million (Vaswani et al. 2017) have a vocabulary of 37,000 of width 512."""
    o, spec = preset(name), spec_of(kind, length=128)
    if "micro" in name:
        network = built(o, spec)
        assert network.training is False
    else:
        with torch.device("meta"):
            network = TextModel(create(o, spec), kind)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize("name", ["bert_base", "roberta_large", "bart_large"])
def test_published_models_are_pretrained_from_the_hub(name: str) -> None:
    o = preset(name)
    assert o.model.pretrained
    assert "/" in o.model.name


def test_adam_is_fused_for_text_alone() -> None:
    network = built(options_of("BERT"), spec_of("class"))
    for module, name, args, fused in (
        (network, "adamw", {}, True),
        (network, "adam", {}, True),
        (network, "adamw", {"foreach": True}, None),
        (network, "adamw", {"fused": False}, False),
        (nn.Linear(2, 2), "adamw", {}, None),  # images' numbers are as they were
    ):
        optimizer = make_optimizer(Optimizer(name=name, args=args), module)
        assert {group["fused"] for group in optimizer.param_groups} == {fused}
    assert make_optimizer(Optimizer(name="sgd"), network)
