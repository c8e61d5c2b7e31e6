"""The command, as a user meets it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rdrop_exp.config.checks import from_dict
from rdrop_exp.data.datasets import Preview
from rdrop_exp.train.refusals import question, refusal
from tests.conftest import Command, merged

SMALL = ("logger=local", "schedule.epochs=1", "dataset.limit=2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("regularizer.alhpa=1", "regularizer.alhpa is not an option; did you mean regularizer.alpha?"),
        ("+regularizer.alhpa=1", "regularizer.alhpa is not an option; did you mean regularizer.alpha?"),
        ("++x=1", "x is not an option; the choices are"),
        ("modle=resnet18", "modle is not an option; did you mean model?"),
        ("regularizer=rdorp", "regularizer=rdorp is not a choice; did you mean rdrop?"),
        ("regularizer.alpha=high", "regularizer.alpha=high must be a finite number at least 0"),
        ("regularizer.dropout=1.5", "regularizer.dropout=1.5 is out of range: it must be at least 0 and below 1"),
        ("regularizer.dropout=0.1", "regularizer.dropout=0.1 has no effect with regularizer=none"),
        ("lr=0.1", "lr is not an option; did you mean optimizer.lr?"),
        ("epochs=3", "epochs is not an option; did you mean schedule.epochs?"),
        ("alpha=1", "alpha is not an option; did you mean regularizer.alpha?"),
        ("--alpha=0.5", "--alpha=0.5 is not a flag: write regularizer.alpha=0.5"),
        ("--multirn seed=0,1", "--multirn is not a flag; did you mean --multirun?"),
        ("regularizer=null", "regularizer=null is not a choice"),
        ("regularizer=3", "regularizer=3 is not a choice"),
        ("regularizer=rdrop,", "regularizer=rdrop, has an empty value"),
        ("-m regularizer=none,,rdrop", "regularizer=none,,rdrop has an empty value"),
        ("seed={a", "seed={a cannot be read"),
        ("seed=${nope}", "seed=${nope} cannot be resolved"),
        ("model.name=", "model.name= must be the name of a timm model"),
        ("name=a/../../b", "name=a/../../b must be a folder inside output_dir"),
        ("dataset=image_folder dataset.root=données", "dataset.root=données"),
        ("dataset=image_folder dataset.root=a=b", "dataset.root=a=b"),
        ("dataset=image_folder dataset.root=it's(1)", "dataset.root=it's(1)"),
        ("model.args.drop_rate=0.5", "model.args.drop_rate=0.5 has no effect"),
        ("schedule.epochs=0", "schedule.epochs=0 is out of range: it must be at least 1"),
        ("seed=", "seed= must be a whole number"),
        ("dataset=image_folder dataset.root=/no/where", "dataset.root=/no/where"),
        ("model.name=rezznet18", "model.name=rezznet18 is not a timm model; did you mean resnet18?"),
        ("+model.args.foo=1", "model.args={"),
        ("model=vit_base", "model.name=vit_base_patch16_224 cannot take 8x8 images"),
        ("optimizer.name=adamx", "optimizer.name=adamx is not a timm optimizer; did you mean"),
        ("regularizer=rdrop regularizer.sites=attention", "regularizer.sites=attention: this ResNet has no attention"),
        ("regularizer=rdrop regularizer.dropout=0", "regularizer.alpha=0.5 has no noise to act on"),
        ("regularizer=rdrop regularizer.divergence=kll", "regularizer.divergence=kll is not a choice; did you mean kl"),
        ("device=tpu9", "device=tpu9 is not available"),
        ("model.checkpoint=/no/file.pt", "model.checkpoint=/no/file.pt is not a file"),
    ],
)
def test_a_user_error_is_one_sentence_and_writes_nothing(
    command: Command, tmp_path: Path, arguments: str, message: str
) -> None:
    done = command(*arguments.split())
    assert done.returncode == 2
    assert done.stderr.startswith(f"rdrop-exp: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_trial_runs_from_any_folder_and_is_skipped_the_second_time(
    process: Command, command: Command, tmp_path: Path
) -> None:
    done = process(*SMALL, "regularizer=rdrop", "name=mine", "output_dir=here/results")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "test accuracy" in done.stdout
    (folder,) = (tmp_path / "here/results/mine").iterdir()
    assert folder.name.startswith("digits-resnet_micro_8-rdrop-p0.1-a0.5-s0-")
    assert sorted(os.listdir(tmp_path)) == ["here"]
    again = command(*SMALL, "regularizer=rdrop", "name=mine", "output_dir=here/results")
    assert again.stdout.startswith("Already finished")


@pytest.mark.parametrize(
    "arguments",
    [
        "-m model.name=resnet18 regularizer=none,rdrop hydra.launcher.dry_run=true",
        "model.name=resnet18 regularizer=none,rdrop hydra.launcher.dry_run=true --multirun",
        "model.name=resnet18 -m hydra.launcher.dry_run=true regularizer=none,rdrop",
        "model.name=resnet18,resnet34 hydra.launcher.dry_run=true -m",
        "seed=0,1 -m name=x hydra.launcher.dry_run=true",
        "seed=0,1 -m --config-dir . name=1 hydra.launcher.dry_run=true",
    ],
)
def test_flags_and_models_go_anywhere(command: Command, arguments: str) -> None:
    done = command(*arguments.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 trials")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("optimizer.args.nope=1,2", "optimizer.args={'nope': 1}"),
        ("device=cpu,cudaa", "device=cudaa is not available"),
        ("dataset=imagenet dataset.root=/nowhere seed=0,1", "seed=0: dataset.root=/nowhere"),
        ("schedule.epochs=${nope}", "regularizer=none schedule.epochs='${nope}'"),
        ("dataset=range(1,2)", "regularizer=none dataset=1"),
        ("name=${oc.env:HOME} seed=0,1", "seed=0: name=${oc.env:HOME} reads the environment"),
    ],
)
def test_a_sweep_is_refused_before_its_first_trial(
    command: Command, tmp_path: Path, arguments: str, message: str
) -> None:
    done = command("-m", "regularizer=none", *arguments.split())
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"rdrop-exp: {message}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": {"name": "adamx"}}, "optimizer.name=adamx is not a timm optimizer"),
        ({"model": {"args": {"nope": 1}}}, "model.args={"),
        ({"model": {"name": "rezznet18"}}, "model.name=rezznet18 is not a timm model"),
        ({"device": "meta"}, "device=meta is not available"),
        ({"device": "cpu:7"}, "device=cpu:7 is not available"),
        ({"regularizer": {"dropout": 0.1, "sites": "mlp"}}, "regularizer.sites=mlp"),
    ],
)
def test_what_a_sweep_asks_of_timm_and_torch(values: dict[str, Any], message: str) -> None:
    options = from_dict(merged({"model": {"name": "resnet18"}}, values))
    assert refusal(json.loads(question(options, Preview("", "")))).startswith(message)


def test_presets_of_ones_own_are_called_by_their_names(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my/regularizer").mkdir(parents=True)
    (tmp_path / "my/dataset").mkdir()
    (tmp_path / "my/regularizer/strong_rdrop.yaml").write_text("defaults: [rdrop]\nalpha: 5\n")
    (tmp_path / "my/dataset/numerals.yaml").write_text("name: digits\n")
    own = ("--config-dir", "my", "dataset=numerals")
    done = command(*own, *SMALL, "regularizer=strong_rdrop")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs/default").iterdir()
    assert folder.name.startswith("numerals-resnet_micro_8-strong_rdrop-p0.1-a5-s0-")
    done = command("-m", *own, "regularizer=rdrop,strong_rdrop", "hydra.launcher.dry_run=true")
    assert "numerals-resnet_micro_8-strong_rdrop-p0.1-a5" in done.stdout
    assert "numerals-resnet_micro_8-rdrop-p0.1-a0.5" in done.stdout


def test_the_configuration_composes_outside_the_command(tmp_path: Path) -> None:
    code = (
        "from hydra import compose, initialize_config_dir; from rdrop_exp.cli import register; register();"
        "from rdrop_exp.config.compose import options_of, packaged;"
        "context = initialize_config_dir(str(packaged('conf')), version_base=None); context.__enter__();"
        "print(options_of(compose('train', ['regularizer=rdrop'])).regularizer.alpha)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "0.5\n", done.stderr


def test_training_failures_exit_with_1(command: Command, tmp_path: Path) -> None:
    done = command(*SMALL, "optimizer=sgd", "optimizer.lr=1e30", "optimizer.clip=0", "schedule.steps=9")
    assert done.returncode == 1
    assert done.stderr.startswith("rdrop-exp: the loss became")
    assert done.stderr.count("\n") == 1
    (log,) = re.findall(r"traceback in (.*)\)", done.stderr)
    assert "TrainingError" in (tmp_path / log).read_text()


def test_help_and_cfg(command: Command) -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "regularizer: " in done.stdout
    assert "early_dropout" in done.stdout
    done = command("regularizer=rdrop", "--cfg", "job")
    assert done.returncode == 0
    assert "alpha: 0.5" in done.stdout


def test_tab_completion_offers_choices_and_keys(command: Command) -> None:
    line = "rdrop-exp regularizer=rd"
    done = command("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert "regularizer=rdrop" in done.stdout.split()


@pytest.mark.parametrize("group", ["batch", "tiny", "overfit"])
def test_debug_groups(command: Command, tmp_path: Path, group: str) -> None:
    done = command(f"debug={group}", "regularizer=rdrop")
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "convnext_femto", "mixer_b16", "mixer_s32", "resnet18", "resnet50", "resnet_micro_8", "swin_femto", "vit_base",
        "vit_micro_28", "vit_micro_32", "vit_micro_8", "vit_small", "vit_tiny",
    ],
)  # fmt: skip
def test_debug_tiny_runs_any_model(command: Command, model: str) -> None:
    done = command("debug=tiny", f"model={model}", "regularizer=rdrop")
    assert done.returncode == 0, done.stderr
