"""Small builds of timm's families, for the walk over all of them. The table of docs/sites.md is printed by

python -m tests.noise.architectures
"""

import re
import warnings
from typing import Any

import timm
import torch
from torch import nn

from rdrop_exp.noise.sites import SITES, default_sites, noise_sites

Case = tuple[str, str, int, dict[str, Any]]  # family, timm name, image size, arguments that make it small

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3}
WINDOWS = {"embed_dim": 24, "depths": (1, 2, 1, 1), "num_heads": (1, 2, 3, 3), "img_size": 64}

FAST: tuple[Case, ...] = (
    ("ViT", "test_vit", 64, {"img_size": 64}),
    ("ViT, attention pooling", "test_vit3", 64, {"img_size": 64}),
    ("ViT, parallel scaling", "vit_pwee_patch16_reg1_gap_256", 64, TINY | {"img_size": 64}),
    ("ViT, parallel differential", "vit_dpwee_patch16_reg1_gap_256", 64, TINY | {"img_size": 64, "num_heads": 2}),
    ("ViT, differential", "vit_dwee_patch16_reg1_gap_256", 64, TINY | {"img_size": 64, "num_heads": 2}),
    ("ViT, parallel blocks", "vit_small_patch16_18x2_224", 64, TINY | {"img_size": 64}),
    ("ViT, relative positions", "test_vit_relpos", 64, {"img_size": 64}),
    ("ViT, ResNet stem", "vit_tiny_r_s16_p8_224", 64, {"img_size": 64, "depth": 2}),
    ("DeiT, distilled", "deit_tiny_distilled_patch16_224", 64, TINY | {"img_size": 64}),
    ("EVA", "eva02_tiny_patch14_224", 56, {"img_size": 56, "depth": 2}),
    ("BEiT", "beit_base_patch16_224", 64, TINY | {"img_size": 64}),
    ("CaiT", "cait_xxs24_224", 64, {"img_size": 64, "depth": 2}),
    ("XCiT", "xcit_nano_12_p16_224", 64, {"depth": 2}),
    ("PiT", "pit_ti_224", 64, {"img_size": 64}),
    ("ConViT", "convit_tiny", 64, {"img_size": 64, "depth": 2, "local_up_to_layer": 1}),
    ("CrossViT", "crossvit_tiny_240", 60, {"img_scale": (1.0, 224 / 240), "img_size": 240, "depth": ((1, 1, 0),)}),
    ("Swin", "swin_tiny_patch4_window7_224", 64, WINDOWS | {"window_size": 4}),
    ("Swin V2", "swinv2_tiny_window8_256", 64, WINDOWS | {"window_size": 4}),
    ("Swin V2-CR", "swinv2_cr_tiny_224", 64, WINDOWS | {"window_size": 2}),
    ("MaxViT", "test_maxvit", 160, {}),
    ("CoAtNet", "test_coatnet", 160, {}),
    ("CoaT", "coat_tiny", 64, {"img_size": 64, "parallel_depth": 1}),
    ("TNT", "tnt_s_legacy_patch16_224", 64, {"img_size": 64, "depth": 2}),
    ("Twins-SVT", "twins_svt_small", 64, {"img_size": 64, "depths": (1, 2, 1, 1)}),
    ("NesT", "nest_tiny", 64, {"img_size": 64}),
    ("VOLO", "volo_d1_224", 64, {"img_size": 64}),
    ("GC ViT", "gcvit_xxtiny", 64, {"img_size": 64, "window_ratio": (32, 32, 16, 32)}),
    ("MViTv2", "mvitv2_tiny", 64, {"img_size": 64}),
    ("Hiera", "hiera_tiny_224", 64, {"img_size": 64, "stages": (1, 1, 1, 1)}),
    ("PVT v2", "pvt_v2_b0", 64, {}),
    ("Visformer", "visformer_tiny", 64, {"img_size": 64}),
    ("LeViT", "levit_128s", 64, {"img_size": 64}),
    ("EfficientFormer", "efficientformer_l1", 224, {}),
    ("EfficientFormer V2", "efficientformerv2_s0", 64, {"img_size": 64}),
    ("EfficientViT (MIT)", "efficientvit_b0", 64, {}),
    ("EfficientViT (MSRA)", "efficientvit_m0", 64, {"img_size": 64}),
    ("MobileViT", "mobilevit_xxs", 64, {}),
    ("MobileViT V2", "mobilevitv2_050", 128, {}),
    ("EdgeNeXt", "edgenext_xx_small", 64, {}),
    ("Next-ViT", "nextvit_small", 64, {}),
    ("FastViT", "fastvit_mci0", 64, {"layers": (1, 1, 1, 1)}),
    ("DaViT", "davit_tiny", 64, {"depths": (1, 1, 1, 1)}),
    ("FocalNet", "focalnet_tiny_srf", 64, {}),
    ("MLP-Mixer", "mixer_s32_224", 64, {"img_size": 64}),
    ("gMixer", "gmixer_12_224", 64, {"img_size": 64}),
    ("ResMLP", "resmlp_12_224", 64, {"img_size": 64}),
    ("gMLP", "gmlp_ti16_224", 64, {"img_size": 64}),
    ("Sequencer", "sequencer2d_s", 64, {"layers": (1, 1, 1, 1), "img_size": 64}),
    ("PoolFormer", "poolformer_s12", 64, {}),
    ("CAFormer", "caformer_s18", 64, {}),
    ("ConvMixer", "convmixer_768_32", 64, {}),
    ("ConvNeXt", "test_convnext", 64, {}),
    ("ConvNeXt V2", "convnextv2_atto", 64, {"depths": (1, 1, 1, 1)}),
    ("InceptionNeXt", "inception_next_atto", 64, {}),
    ("MambaOut", "test_mambaout", 64, {}),
    ("ResNet", "test_resnet", 64, {}),
    ("ResNeXt", "resnext26ts", 64, {}),
    ("SE-ResNet", "seresnet33ts", 64, {}),
    ("GC-ResNet", "gcresnet33ts", 64, {}),
    ("Res2Net", "res2net50_14w_8s", 64, {"layers": (1, 1, 1, 1)}),
    ("ResNeSt", "resnest14d", 64, {}),
    ("SK-ResNet", "skresnet18", 64, {"layers": (1, 1, 1, 1)}),
    ("ResNetV2", "resnetv2_18", 64, {"layers": (1, 1, 1, 1)}),
    ("NFNet", "test_nfnet", 64, {}),
    ("ByobNet", "test_byobnet", 64, {}),
    ("RegNet", "regnetx_002", 64, {}),
    ("EfficientNet", "efficientnet_lite0", 64, {}),
    ("EfficientNet, timm's test model", "test_efficientnet", 64, {}),
    ("MobileNet V2", "mobilenetv2_035", 64, {}),
    ("MobileNet V3", "mobilenetv3_small_050", 64, {}),
    ("MobileNet V4", "mobilenetv4_conv_small_035", 64, {}),
    ("MobileNet V4, hybrid", "mobilenetv4_hybrid_medium_075", 64, {}),
    ("MobileOne", "mobileone_s1", 64, {}),
    ("RepVGG", "repvgg_a0", 64, {}),
    ("GhostNet", "ghostnet_050", 64, {}),
    ("ReXNet", "rexnet_100", 64, {}),
    ("VoVNet", "ese_vovnet19b_slim_dw", 64, {}),
    ("HRNet", "hrnet_w18_small", 64, {}),
    ("DenseNet", "densenet121", 64, {"block_config": (1, 1, 1, 1)}),
    ("DLA", "dla46x_c", 64, {}),
    ("DPN", "dpn48b", 64, {}),
    ("Xception", "xception41", 64, {}),
    ("Inception V3", "inception_v3", 96, {}),
)
"""One family for each place where noise can be; `SLOW` has the others."""

QUICK = (
    "test_vit", "test_vit3", "vit_dpwee_patch16_reg1_gap_256", "vit_small_patch16_18x2_224", "test_vit_relpos",
    "vit_tiny_r_s16_p8_224", "deit_tiny_distilled_patch16_224", "eva02_tiny_patch14_224", "cait_xxs24_224",
    "convit_tiny", "xcit_nano_12_p16_224", "tnt_s_legacy_patch16_224", "pvt_v2_b0", "levit_128s",  # other attention
    "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "test_coatnet",  # in windows, which become rows
    "coat_tiny", "efficientvit_b0", "efficientvit_m0", "edgenext_xx_small",  # attention and convolutions
    "resmlp_12_224", "sequencer2d_s", "test_convnext", "inception_next_atto", "test_mambaout",  # no attention
    "test_resnet", "res2net50_14w_8s", "skresnet18", "resnetv2_18", "test_nfnet", "test_byobnet", "densenet121",
    "test_efficientnet", "mobilenetv2_035", "rexnet_100", "ese_vovnet19b_slim_dw",
)  # fmt: skip
"""Of `FAST`, those that the default suite trains: one for each way in which noise is placed or called."""

SLOW: tuple[Case, ...] = (
    ("BAT-ResNeXt", "bat_resnext26ts", 256, {}),
    ("HaloNet", "halonet_h1", 256, {}),
    ("ResNet, CLIP", "resnet50_clip", 64, {}),
    ("CoAtNeXt", "coatnext_nano_rw_224", 224, {}),
    ("MaxViT, parallel", "maxvit_tiny_pm_256", 256, {}),
    ("CPUBone", "cpubone_nano", 64, {}),
    ("LowFormer", "lowformer_b0", 64, {}),
    ("CSATv2", "csatv2", 128, {}),
    ("CSPNet", "cs3darknet_focus_s", 64, {}),
    ("CSPNeXt", "cspnext_tiny", 64, {}),
    ("DINOv3", "vit_small_plus_patch16_dinov3", 64, {"depth": 2}),
    ("EfficientNet, CondConv", "efficientnet_cc_b0_4e", 64, {}),
    ("EfficientViM", "efficientvim_m1", 64, {}),
    ("FasterNet", "fasternet_t1", 64, {}),
    ("Gemma 4 ViT", "gemma4_vit_167m", 96, {"depth": 2}),
    ("HGNet V2", "hgnetv2_b0", 64, {}),
    ("iFormer", "iformer_t", 64, {}),
    ("Inception-ResNet V2", "inception_resnet_v2", 96, {}),
    ("Inception V4", "inception_v4", 96, {}),
    ("LCNet V2", "lcnetv2_small", 64, {}),
    ("MobileNet V5", "mobilenetv5_base", 64, {}),
    ("NaFlexViT", "naflexvit_base_patch16_parfac_gap", 64, {}),
    ("NASNet", "nasnetalarge", 64, {}),
    ("PNASNet", "pnasnet5large", 64, {}),
    ("Qwen 3 ViT", "qwen3_vit_88m", 64, {"depth": 2}),
    ("RDNet", "rdnet_tiny", 64, {}),
    ("RepGhostNet", "repghostnet_050", 64, {}),
    ("RepViT", "repvit_m1", 64, {}),
    ("SAM 2 Hiera", "sam2_hiera_tiny", 64, {}),
    ("SAM ViT", "samvit_base_patch16_224", 64, {"img_size": 64, "depth": 2}),
    ("SelecSLS", "selecsls42", 64, {}),
    ("SENet", "legacy_seresnet18", 64, {}),
    ("SHViT", "shvit_s1", 64, {}),
    ("StarNet", "starnet_s050", 64, {}),
    ("SwiftFormer", "swiftformer_xs", 64, {}),
    ("TinyViT", "tiny_vit_5m_224", 64, {}),
    ("TResNet", "tresnet_m", 64, {}),
    ("VGG", "vgg11", 64, {}),
    ("ViTamin", "vitamin_small_224", 224, {}),
    ("Xception, first", "legacy_xception", 64, {}),
)
"""The rest of timm's families that classify; with FAST, every place in timm 1.0.31 where a dropout can be."""

RATES = ("drop_rate", "drop_path_rate", "attn_drop_rate", "proj_drop_rate", "pos_drop_rate")


def build(case: Case, rate: float | None = None) -> nn.Module:
    """The model of a case with ten classes, with its constructor's own default rates or all that it takes at `rate`."""
    _, name, _, args = case
    rates = {} if rate is None else dict.fromkeys(RATES, rate)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return timm.create_model(name, num_classes=10, **args, **rates)
        except TypeError as error:
            refused = set(re.findall(r"'(\w+)'", str(error))) & set(rates)
            if not refused:
                raise
            rates = {key: value for key, value in rates.items() if key not in refused}


def sites_of(model: nn.Module) -> tuple[set[str], bool]:
    """The dropout sites of a model, and whether it has residual branches for stochastic depth."""
    names = {site.name for site in noise_sites(model)}
    return names - {"branch"} | {"head"} | ({"residual"} if "branch" in names else set()), "branch" in names


def row(case: Case, model: nn.Module) -> str:
    """One line of docs/sites.md: the model's sites, and those that `default` chooses."""
    sites, branches = sites_of(model)
    columns = [" ".join(site for site in SITES if site in chosen) for chosen in (sites, default_sites(sites))]
    return f"| {case[0]} | {case[1]} | {columns[0]} | {columns[1]} | {'yes' if branches else 'no'} |"


if __name__ == "__main__":
    with torch.device("meta"):
        print("\n".join(sorted((row(case, build(case)) for case in FAST + SLOW), key=str.lower)))
