"""Which trials are a group, which groups can be compared, and how they are named."""

import json
from pathlib import Path

from rdrop_exp.report.compare import make_report
from rdrop_exp.report.conclusion import conclusions
from tests.report.trials import EARLY, NONE, RDROP, labels, only, write_trial


def test_labels_name_exactly_what_varies(tmp_path: Path) -> None:
    for alpha in (0.1, 0.5):
        write_trial(tmp_path, RDROP | {"alpha": alpha}, 0)
    for cutoff in (2, 5):
        for rate in (0.1, 0.2):
            write_trial(tmp_path, EARLY | {"cutoff_epoch": cutoff, "dropout": rate}, 0)
    write_trial(tmp_path, NONE, 0)
    assert sorted(labels(only(tmp_path))) == [
        *(f"early_dropout dropout={rate} cutoff_epoch={cutoff}" for rate in (0.1, 0.2) for cutoff in (2, 5)),
        "none",
        "rdrop alpha=0.1",
        "rdrop alpha=0.5",
    ]


def test_labels_of_options_with_the_same_last_name(tmp_path: Path) -> None:
    for optimizer in ("adamw", "sgd"):
        for peer in ("resnet18", "resnet34"):
            write_trial(tmp_path, RDROP, 0, optimizer={"name": optimizer}, peer={"name": peer})
    assert "rdrop peer.name=resnet18 optimizer.name=adamw" in labels(only(tmp_path))


def test_groups_that_only_their_identity_tells_apart(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, result={"group": "aaaa000000"})
    write_trial(tmp_path, NONE, 1, result={"group": "bbbb000000"})
    assert labels(only(tmp_path)) == ["none (aaaa)", "none (bbbb)"]


def test_data_sets_and_models_are_not_compared_with_each_other(tmp_path: Path) -> None:
    for name in ("digits", "cifar10"):
        for fraction in (0.5, 1.0):
            for regularizer in (NONE, RDROP):
                write_trial(tmp_path, regularizer, 0, 0.9, dataset={"name": name, "fraction": fraction})
    report = make_report([tmp_path])
    assert [c.setting.label for c in report.comparisons] == [
        "cifar10 · vit_micro · fraction=0.5",
        "cifar10 · vit_micro · fraction=1",
        "digits · vit_micro · fraction=0.5",
        "digits · vit_micro · fraction=1",
    ]
    assert all(sorted(labels(c)) == ["none", "rdrop"] for c in report.comparisons)
    assert conclusions(report)[0].startswith("cifar10 · vit_micro · fraction=0.5: ")


def test_augmentation_is_compared_within_a_setting(tmp_path: Path) -> None:
    for mixup in (0.0, 0.8):
        write_trial(tmp_path, NONE, 0, 0.9 + mixup / 100, dataset={"mixup": mixup})
    assert labels(only(tmp_path)) == ["none mixup=0.8", "none mixup=0"]


def test_options_that_came_after_a_trial_are_at_their_default(tmp_path: Path) -> None:
    path = write_trial(tmp_path, RDROP | {"alpha": 0.1}, 0) / "result.json"
    written = json.loads(path.read_text())
    del written["options"]["regularizer"]["drop_key"], written["options"]["dataset"]["broken"]
    path.write_text(json.dumps(written))
    write_trial(tmp_path, RDROP | {"alpha": 0.5}, 0)
    assert sorted(labels(only(tmp_path))) == ["rdrop alpha=0.1", "rdrop alpha=0.5"]
