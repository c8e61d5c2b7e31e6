"""Noise in a model: its sites, how it follows a schedule, what torch.compile makes of it, and copies of the model."""

import copy
from typing import Any

import pytest
import timm
import torch
from timm.layers import DropBlock2d
from timm.models.convmixer import ConvMixer
from torch import Tensor, nn

from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schema import OptionError
from rdrop_exp.noise import fused_attention
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.layers import Dropout, DropPath
from rdrop_exp.noise.sites import noise_sites

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5}


def vit(**r: Any) -> tuple[nn.Module, InstalledNoise]:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **VIT)
    return model, install_noise(model, Regularizer(**r))


# -- schedule, compilation, copies ------------------------------------------------------------------------------------


def test_rates_follow_the_rate_scale_and_zero_switches_noise_off() -> None:
    noise = vit(dropout=0.2, drop_path=0.4)[1]
    for scale in (0.5, 0.25, 1.0, 0.0):
        noise.set_rates(scale)
        for module in noise.layers:
            torch.testing.assert_close(module.rate, module.full * scale, rtol=1e-6, atol=0)
            assert module.active == (scale > 0)
    assert noise.rates(0.5) == pytest.approx({"rate/dropout": 0.1, "rate/drop_path": 0.2})
    assert vit(drop_path=0.4)[1].rates(1.0) == {"rate/drop_path": 0.4}


@pytest.mark.parametrize("name", ["vit", "resnet", "convmixer"])
def test_a_rate_that_changes_every_step_compiles_once(name: str) -> None:
    graphs = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    model = {  # noise modules, a hook before the classifier, hooks after branches
        "vit": lambda: timm.create_model("vit_tiny_patch16_224", **VIT),
        "resnet": lambda: timm.create_model("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16)),
        "convmixer": lambda: ConvMixer(dim=16, depth=2, patch_size=4),
    }[name]()
    noise = install_noise(model, Regularizer(dropout=0.3, drop_path=0.3))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=counting, fullgraph=True)
    x, outputs = torch.randn(2, 3, 32, 32), []
    for step in range(10):  # past torch's limit of 8 recompilations
        noise.set_rates(1 - step / 10)
        outputs.append(compiled(x))
    assert len(graphs) == 1
    assert not torch.equal(outputs[0], outputs[1])
    for scale in (0.0, 0.0, 0.5, 0.0, 0.7):  # early dropout's second phase costs one more graph, only once
        noise.set_rates(scale)
        compiled(x)
    assert len(graphs) == 2


def test_a_deep_copy_has_separate_noise() -> None:
    model, noise = vit(dropout=0.5, sites="head+mlp", drop_path=0.5)
    copied = copy.deepcopy(model)
    noise.set_rates(1.0)
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(copied.train()(x), copied(x))

    model = timm.create_model("test_resnet", num_classes=5)  # its head has a hook; its branches are None without noise
    noise = install_noise(model, Regularizer(dropout=0.5, drop_path=0.5))
    copied = copy.deepcopy(model)
    noise.set_rates(1.0)
    inside = set(copied.modules())
    assert not inside & set(noise.layers)
    hooks = [hook.__self__ for hook in copied.fc._forward_pre_hooks.values()]
    assert hooks
    assert inside.issuperset(hooks)


def test_rates_stay_float32_in_a_model_of_another_type() -> None:
    model, noise = vit(dropout=0.1, drop_path=0.1)
    noise.set_rates(0.3)
    model.to(torch.bfloat16)
    assert {m.full.dtype for m in noise.layers} == {m.rate.dtype for m in noise.layers} == {torch.float32}
    torch.testing.assert_close(noise.layers[0].rate, torch.tensor([0.03]))
    assert model.train()(torch.randn(2, 3, 32, 32).bfloat16()).dtype == torch.bfloat16
    noise.set_rates(0.6)
    torch.testing.assert_close(noise.layers[0].rate, torch.tensor([0.06]))
    assert {m.rate.device.type for m in noise.layers} == {"cpu"}
    assert all(m.rate.is_meta for m in model.to("meta").modules() if isinstance(m, Dropout | DropPath))


def test_attention_is_fused_while_its_noise_is_off() -> None:
    model, noise = vit(dropout=0.1)
    x = torch.randn(2, 3, 32, 32)
    fused = []
    for attention in noise.attentions:
        attention.register_forward_hook(lambda m, a, y: fused.append(m.fused_attn))
    for scale, training in ((0.0, True), (1.0, True), (1.0, False), (0.5, True), (0.0, True)):
        noise.set_rates(scale)
        model.train(training)(x)
    assert fused == [flag for flag in (True, False, True, False, True) for _ in range(3)]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_bf16_attention_on_a_cpu_is_fused_where_it_needs_no_gradient_or_is_long(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = vit(dropout=dropout)
    attention: Any = model.get_submodule("blocks.0.attn")

    def fused(precision: torch.dtype, gradient: bool) -> bool:
        with torch.autocast("cpu", dtype=precision), torch.set_grad_enabled(gradient):
            model(torch.randn(2, 3, 32, 32))
        return bool(attention.fused_attn)

    assert not fused(torch.bfloat16, True)
    assert fused(torch.bfloat16, False)
    assert fused(torch.float16, True)
    monkeypatch.setattr(fused_attention, "LONGEST", 3)
    assert fused(torch.bfloat16, True)


def test_attention_that_was_not_fused_stays_that_way() -> None:
    model = timm.create_model("vit_tiny_patch16_224", **VIT)
    for block in model.blocks:
        block.attn.fused_attn = False
    noise = install_noise(model, Regularizer(dropout=0.1))
    model.eval()(torch.randn(2, 3, 32, 32))
    assert noise.attentions == []
    assert not any(block.attn.fused_attn for block in model.blocks)


def test_other_requested_regularizers_are_kept() -> None:
    model = timm.create_model("resnet18", drop_block_rate=0.1, drop_rate=0.1)
    install_noise(model, Regularizer())
    assert {m.drop_prob for m in model.modules() if isinstance(m, DropBlock2d)} == {0.1}
    assert model.drop_rate == 0.0
    model = timm.create_model("test_vit", patch_drop_rate=0.25)
    install_noise(model, Regularizer())
    assert model.patch_drop.prob == 0.25
    with torch.device("meta"):
        model = timm.create_model("hiera_tiny_224", patch_drop_rate=0.25)
        install_noise(model, Regularizer())
    assert model.patch_drop_rate == 0.25


# -- sites ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "attributes"),
    [
        ("timm", {"head_drop"}),
        ("rdrop", {"pos_drop", "drop1", "drop2"}),
        ("dru", {"pos_drop", "attn_drop", "proj_drop", "drop1", "drop2"}),
        ("default", {"pos_drop", "attn_drop", "proj_drop", "drop1", "drop2"}),
        ("embed+head", {"pos_drop", "head_drop"}),
        ("residual", {"drop_path1", "drop_path2"}),
    ],
)
def test_names_of_sites_in_a_vit(sites: str, attributes: set[str]) -> None:
    model, noise = vit(dropout=0.1, sites=sites)
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, Dropout)}
    assert names == attributes
    assert len(noise.layers) == sum(
        site.attribute in attributes for site in noise_sites(timm.create_model("vit_tiny_patch16_224", **VIT))
    )


@pytest.mark.parametrize(
    ("sites", "parts"),
    [
        ("mpl", ["did you mean mlp?"]),
        ("embed+atention", ["did you mean attention?"]),
        ("embed", ["ResNet", "head, residual"]),
        ("rdrop", ["ResNet", "embed or mlp", "head, residual"]),
    ],
)
def test_unknown_and_missing_sites_are_named(sites: str, parts: list[str]) -> None:
    with pytest.raises(OptionError) as error:
        install_noise(timm.create_model("test_resnet"), Regularizer(dropout=0.1, sites=sites))
    for part in (f"regularizer.sites={sites}", *parts):
        assert part in str(error.value)


def test_swin_drops_embedded_patches_as_published() -> None:
    """The reference Swin-F has 49 dropouts: after the patches are embedded, and 4 in each of its 12 blocks."""
    with torch.device("meta"):
        model = timm.create_model("swin_tiny_patch4_window7_224", embed_dim=48, depths=(2, 2, 6, 2))
        noise = install_noise(model, Regularizer(dropout=0.5, sites="dru"))
    assert len(noise.layers) == 49
    assert model.noise_patch_embed0 is noise.layers[0]


def test_a_network_without_a_classifier_has_no_head() -> None:
    with torch.device("meta"):
        model = timm.create_model("gemma4_vit_167m_enc")
    with pytest.raises(OptionError, match=r"sites=head: this Gemma4VitEncoder has no head .*available: .*attention"):
        install_noise(model, Regularizer(dropout=0.1, sites="head"))
