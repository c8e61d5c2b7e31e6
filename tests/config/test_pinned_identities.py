"""Identities never change: a finished trial must not run again because the code was rearranged."""

import hydra
import pytest

from rdrop_exp.config.compose import options_of
from rdrop_exp.config.identity import trial_spec

pytestmark = pytest.mark.usefixtures("hydra_config")
PINNED = """
6be6f70098 36bc1b5530 digits-resnet_micro_8-none-s0
    regularizer=none
42155efb88 98f2fccff0 digits-resnet_micro_8-dropout-p0.1-s0
    regularizer=dropout
c7a6d355c4 faa886b267 digits-resnet_micro_8-dropout-p0.2-s3
    regularizer=dropout regularizer.dropout=0.2 seed=3
1f09e48ecc 85c0bc0361 digits-resnet_micro_8-stochastic_depth-sd0.1-s0
    regularizer=stochastic_depth
ff578dda3c 5193403bed digits-resnet_micro_8-rdrop-p0.1-a0.5-s0
    regularizer=rdrop regularizer.alpha=0.5
c90939cf6b 49212ecb27 digits-resnet_micro_8-rdrop-p0.1-a1x3-s0
    regularizer=rdrop regularizer.alpha=1 regularizer.passes=3 regularizer.every=2
3000c1dc0d f6e8cc32d3 digits-resnet_micro_8-rdrop-p0.1_0.3-a0.5-s0
    regularizer=rdrop regularizer.second_dropout=0.3 regularizer.stop_gradient=true
858c73fccc aa1b5285c7 digits-resnet_micro_8-rdrop-p0.1-a0.5-s0
    regularizer=rdrop regularizer.divergence=mse logger.every=10 device=cpu threads=2
a2924cb33e 55833a7b53 digits-resnet_micro_8-rdrop_early-p0.1-until6.667-a0.5-s0
    regularizer=rdrop_early schedule.epochs=40
f9b7585433 021a8ffa17 digits-resnet_micro_8-rdrop_late-p0.1-from5-a0.5-s0
    regularizer=rdrop_late
d299bfc0a8 3b56e78230 digits-resnet_micro_8-rdrop_stochastic_depth-sd0.1-a0.5-s0
    regularizer=rdrop_stochastic_depth
123ca6462f d468379f40 digits-resnet_micro_8-early_dropout-p0.1-until5-s0
    regularizer=early_dropout regularizer.cutoff_epoch=5 regularizer.ramp=cosine
a33ecd71aa a9d6981550 digits-resnet_micro_8-early_dropout-p0.1-s0
    regularizer=early_dropout schedule.steps=400
d1b6910e6b 8ab0a72152 digits-resnet_micro_8-late_dropout-p0.1-from10-s0
    regularizer=late_dropout regularizer.cutoff_epoch=10
655eef69d7 de829ccc31 digits-resnet_micro_8-early_stochastic_depth-sd0.1-until5-s0
    regularizer=early_stochastic_depth
17fa443290 7f7ce12a01 digits-resnet_micro_8-late_stochastic_depth-sd0.1-from5-s0
    regularizer=late_stochastic_depth regularizer.profile=constant
24cfab9a1b 7d02a5561b digits-resnet_micro_8-curriculum_dropout-p0.1-s0
    regularizer=curriculum_dropout regularizer.gamma=0.01
c28e624ac5 69fb6fe8fa digits-resnet_micro_8-annealed_dropout-p0.1-s0
    regularizer=annealed_dropout
a065ac3e2b 109d6c9cff digits-resnet_micro_8-rdrop_increasing-p0.1-a0.3-s0
    regularizer=increasing_dropout regularizer.alpha=0.3
bedebc4f49 9da401324b digits-resnet_micro_8+resnet_micro_8-mutual-a0.6-s0
    regularizer=mutual peer=resnet_micro_8
a14fcef98c 5d49984fbf digits-res2net50+seresnet50-mutual-a0.6-s0
    regularizer=mutual peer=seresnet50 model=res2net50 dataset.image_size=64
9e3f73318a 88327c7b3b digits-vit_micro_8-dropout-p0.1-s0
    model=vit_micro_8 regularizer=dropout regularizer.sites=rdrop
3320cf49e1 67f6a9ba1e fashion_mnist-vit_micro_28-dropout-p0.1-s0
    model=vit_micro_28 dataset=fashion_mnist regularizer=dropout regularizer.sites=embed+mlp
a0abe8634a 082d732dc7 cifar100-vit_micro_32-none-s0
    dataset=cifar100 model=vit_micro_32 dataset.root=/somewhere optimizer=sgd optimizer.clip=1
e9fa07f306 d157c2e2cc image_folder-resnet18-none-s0
    dataset=image_folder dataset.root=photos model=resnet18
726f04e248 59afe3d2f2 image_csv-resnet18-none-s0
    dataset=image_csv dataset.root=photos model=resnet18 dataset.csv=table.csv dataset.resident=false
d40ee613ba 7fd5008421 imagenet-vit_tiny-early_dropout-p0.1-until50-s0
    experiment=early_dropout_vit_tiny
8372e47a02 0eda84c0d6 cifar100-vit_base_in21k-rdrop-p0.1-a9.6-s7
    experiment=rdrop_vit_cifar100 seed=7
0a6be5bf03 dfff939f6b imagenet-vit_base-late_stochastic_depth-sd0.3-from50-s0
    experiment=late_stochastic_depth_vit_base regularizer.drop_path=0.3
0708b83949 6a00217379 digits-convnext_micro_32-stochastic_depth-sd0.1-s0
    debug=tiny model=convnext_micro_32 regularizer=stochastic_depth
5dd0fce63c ed986b7a68 digits-resnet_micro_8-none-s0
    precision=bf16 schedule=step schedule.epochs=12 optimizer.ema=0.99 select=last
"""
"""Identity, group, name and the overrides of `rdrop-exp`."""


@pytest.mark.parametrize(("known", "overrides"), list(zip(*[iter(PINNED.strip().splitlines())] * 2, strict=True)))
def test_identities_do_not_change(known: str, overrides: str) -> None:
    identity, group, name = known.split()
    spec = trial_spec(options_of(hydra.compose("train", overrides.split())))
    assert (spec.identity, spec.group, spec.name) == (identity, group, name)
