"""Text trials from options to result.json: losses as in a plain loop, exact resume, selection, refusals."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.config.canonical import TEXTS
from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import items
from rdrop_exp.data.datasets import Preview
from rdrop_exp.runs.folder import read_items
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.text.readers import READERS
from rdrop_exp.text.tokens import TokenData
from rdrop_exp.train import trial
from rdrop_exp.train.losses import PUBLISHED
from rdrop_exp.train.refusals import question, refusal
from rdrop_exp.train.setup import set_up
from rdrop_exp.train.step import StepPlan, batch_loss, seed_noise
from tests.conftest import Crash, crash_at_save, folder_of, merged
from tests.tasks.helpers import LANGUAGE, TEXT, rows_of, text_options, write_table

CPU = torch.device("cpu")


def finished(o: Options) -> dict[str, Any]:
    result = trial.run(o)
    assert result is not None
    return result


@pytest.mark.parametrize("kind", ["class", "value", "set"])
def test_losses_equal_those_of_a_plain_transformers_loop(tmp_path: Path, kind: str) -> None:
    o = text_options(tmp_path, write_table(tmp_path, kind), {"schedule": {"shape": "constant"}})
    finished(o)
    found = [row["train/loss"] for row in rows_of(o)]

    from transformers import BertForSequenceClassification

    setup = set_up(o)
    config: Any = setup.network.model.config  # type: ignore[union-attr]
    config.problem_type = {"class": "single_label", "value": "regression", "set": "multi_label"}[kind]
    config.problem_type += "_classification" if kind != "value" else ""
    config._attn_implementation, config.hidden_dropout_prob, config.attention_probs_dropout_prob = "eager", 0.0, 0.0
    model = BertForSequenceClassification(config).train()
    model.load_state_dict(setup.network.model.state_dict())  # type: ignore[union-attr]
    groups = [
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
    ]
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    expected = []
    for batch in (b for epoch in range(2) for b in setup.data.train(epoch)):
        loss = model(**batch.inputs, labels=batch.targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert found == pytest.approx(expected, rel=2e-5)
    assert len(found) == 2 * setup.data.steps_per_epoch


def test_rdrop_is_the_published_loss_of_its_bert_code_after_conversion(tmp_path: Path) -> None:
    o = text_options(tmp_path, {"regularizer": {"dropout": 0.3, "alpha": PUBLISHED["bert_code"].alpha(0.7, 8)}})
    setup = set_up(o)
    batch = setup.data.batch(setup.data.sets["train"][:8])  # type: ignore[attr-defined]
    seed_noise(CPU, 3)
    setup.noise.set_rates(1.0, 2)
    outputs = setup.network.train()(batch.inputs)
    assert outputs.shape == (16, 2)
    loss = batch_loss(o, setup.task, outputs, batch, StepPlan(1.0, 2, True), items(batch))

    one, other = outputs.chunk(2)
    log_p, log_q = one.log_softmax(-1), other.log_softmax(-1)
    divergence = F.kl_div(log_p, log_q.exp(), reduction="sum") + F.kl_div(log_q, log_p.exp(), reduction="sum")
    published = F.cross_entropy(one, batch.targets) + F.cross_entropy(other, batch.targets) + 0.7 * divergence / 2
    assert PUBLISHED["bert_code"].learning_rate * loss.total.item() == pytest.approx(published.item(), rel=1e-6)
    assert divergence.item() > 0


@pytest.mark.parametrize(("kind", "divergence"), [("value", "mse"), ("set", "bernoulli")])
def test_divergence_kl_means_that_of_the_task(tmp_path: Path, kind: str, divergence: str) -> None:
    table = write_table(tmp_path, kind)
    noisy = {"regularizer": {"dropout": 0.3, "alpha": 1.0}, "schedule": {"epochs": 1}}
    losses = []
    for name in ("kl", divergence):
        o = text_options(tmp_path, table, noisy, {"regularizer": {"divergence": name}})
        finished(o)
        losses.append([row["train/consistency"] for row in rows_of(o)])
    assert losses[0] == losses[1]
    assert min(losses[0]) > 0


def test_label_smoothing_is_that_of_torch(tmp_path: Path) -> None:
    o = text_options(tmp_path, {"dataset": {"label_smoothing": 0.2}})
    setup = set_up(o)
    batch = next(setup.data.train(0))
    outputs = setup.network(batch.inputs)
    loss = batch_loss(o, setup.task, outputs, batch, StepPlan(0.0, 1, False), items(batch))
    assert loss.task.item() == pytest.approx(F.cross_entropy(outputs, batch.targets, label_smoothing=0.2).item())


STOPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "by items": (TEXT, {"optimizer": {"ema": 0.9}}),
    "by tokens": (LANGUAGE, {"optimizer": {"batch_tokens": 2000}}),
}


@pytest.mark.parametrize(("name", "at"), [("by items", 2), ("by items", 9), ("by tokens", 3)])
def test_going_on_from_any_step_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    base, values = STOPS[name]
    values = merged(values, {"regularizer": {"dropout": 0.2, "alpha": 1.0}, "checkpoint_seconds": 0})
    through, stopped = (text_options(tmp_path / each, values, base=base) for each in ("through", "stopped"))
    expected = finished(through)
    crash_at_save(monkeypatch, at)
    with pytest.raises(Crash):
        trial.run(stopped)
    assert finished(stopped)["metrics"] == expected["metrics"]
    assert rows_of(stopped) == rows_of(through)
    assert (folder_of(stopped) / "items.npz").read_bytes() == (folder_of(through) / "items.npz").read_bytes()


def test_a_metric_of_which_less_is_better_selects_the_lowest(tmp_path: Path) -> None:
    worse = {"optimizer": {"lr": 0.3}, "schedule": {"epochs": 4, "shape": "constant"}}
    o = text_options(tmp_path, worse, base=LANGUAGE)
    result = finished(o)
    assert result["metric"] == {"name": "perplexity", "higher_is_better": False}
    values = [row["val/perplexity"] for row in rows_of(o) if "val/perplexity" in row]
    assert result["metrics"]["val/perplexity"] == min(values) < max(values)
    assert result["best_epoch"] == values.index(min(values)) + 1
    assert result["metrics"]["val/perplexity"] == pytest.approx(math.exp(result["metrics"]["val/loss"]))


def test_validation_can_go_by_the_loss(tmp_path: Path) -> None:
    o = text_options(tmp_path, {"validate": "loss", "optimizer": {"lr": 0.1}, "schedule": {"epochs": 5}})
    result = finished(o)
    rows = [row for row in rows_of(o) if "val/loss" in row]
    assert result["metrics"]["val/loss"] == min(row["val/loss"] for row in rows)
    assert result["metric"]["name"] == "accuracy"


def test_metrics_and_items_are_those_of_each_text_alone(tmp_path: Path) -> None:
    o = text_options(tmp_path)
    result = finished(o)
    setup = set_up(o)
    saved = torch.load(folder_of(o) / "checkpoint.pt", weights_only=True)
    setup.network.load_state_dict(saved["model"])
    setup.network.eval()
    data, found = setup.data, read_items(folder_of(o))
    assert isinstance(data, TokenData)
    for part, name in (("val", "validation"), ("test", "test")):
        alone = [data.batch(data.sets[name][i : i + 1]) for i in range(len(data.sets[name]))]
        right = [bool(setup.network(batch.inputs).argmax() == batch.targets[0]) for batch in alone]
        assert found[part].tolist() == right
        assert result["metrics"][f"{part}/accuracy"] == pytest.approx(sum(right) / len(right))
    limited = finished(text_options(tmp_path, {"dataset": {"limit": 1}, "optimizer": {"batch_size": 8}}))
    assert 0 <= limited["metrics"]["test/accuracy"] <= 1
    assert result["tokens_per_second"] > 0
    assert "images_per_second" not in result


@pytest.mark.parametrize(("kind", "metric"), [("value", "pearson"), ("set", "f1")])
def test_regression_and_multi_label_have_their_own_columns(tmp_path: Path, kind: str, metric: str) -> None:
    o = text_options(tmp_path, write_table(tmp_path, kind), {"analysis": {"every": 4, "batches": 2}})
    result = trial.run(o, make_analysis=make_analysis)
    assert result is not None
    assert result["metric"] == {"name": metric, "higher_is_better": True}
    loss = {"value": "squared_error", "set": "binary_cross_entropy"}[kind]
    train = {name for name in result["metrics"] if name.startswith("train/")}
    assert train == {"train/loss", f"train/{loss}", "train/consistency"}
    measured = {name for row in rows_of(o) for name in row if name.startswith("analysis/")}
    assert "analysis/gradient_norm" in measured
    assert "analysis/ece" not in measured  # of classes


def test_gradients_and_calibration_of_texts(tmp_path: Path) -> None:
    o = text_options(tmp_path, {"analysis": {"every": 6, "batches": 2, "passes": 2}, "regularizer": {"dropout": 0.1}})
    trial.run(o, make_analysis=make_analysis)
    plain = text_options(tmp_path / "plain", {"regularizer": {"dropout": 0.1}})
    trial.run(plain)
    rows = [row for row in rows_of(o) if "analysis/ece" in row]
    assert len(rows) == 2
    assert all(row["analysis/gradient_norm"] > 0 for row in rows)
    assert [row for row in rows_of(o) if "lr" in row] == rows_of(plain)  # training is as without


def test_each_task_has_its_metric() -> None:
    metrics = {name: task_of(Options(dataset=Dataset(name=name))).metric for name in TEXTS}
    expected = dict.fromkeys(TEXTS, "accuracy") | {"cola": "matthews", "stsb": "pearson", "summaries": "rougeL"}
    expected |= dict.fromkeys(("wikitext2", "wikitext103", "toy_language"), "perplexity")
    expected |= dict.fromkeys(("parallel", "toy_translation"), "bleu")
    assert metrics == expected
    assert set(TEXTS) == set(READERS)
    assert task_of(Options()).metric == "accuracy"
    with pytest.raises(OptionError, match=r"dataset\.name=colla .*cola"):
        task_of(Options(dataset=Dataset(name="colla")))


IMAGE_MODEL = {"model": {"name": "resnet18", "args": {}}}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    (IMAGE_MODEL, "model=bert_micro"),
    ({"dataset": {"name": "digits"}}, "model=resnet_micro_8"),
    ({"model": {"args": {"hiden_size": 8}}}, "hidden_size"),
    ({"dataset": {"max_length": 4000}}, "dataset.max_length=4000"),
    ({"peer": {"name": "resnet18"}, "regularizer": {"alpha": 1.0}}, "peer.name"),
    ({"regularizer": {"dropout": 0.1, "sites": "heads"}}, "regularizer.sites=heads"),
]


@pytest.mark.parametrize(("values", "named"), MISTAKES, ids=str)
def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    o = text_options(tmp_path / "out", values)
    with pytest.raises(OptionError) as error:
        trial.run(o)
    assert named in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert named in refusal(json.loads(question(o, Preview("", ""))))  # also while a sweep is planned


def test_smoothed_numbers_are_refused(tmp_path: Path) -> None:
    o = text_options(tmp_path, write_table(tmp_path, "value"), {"dataset": {"label_smoothing": 0.1}})
    with pytest.raises(OptionError, match=r"dataset\.label_smoothing=0\.1"):
        trial.run(o)


TINY = {
    "toy_text": "bert_micro", "toy_language": "gpt_micro", "toy_translation": "transformer_micro",
    "class": "bert_micro", "value": "bert_micro", "set": "bert_micro", "summaries": "transformer_micro",
}  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_debug_tiny_works_for_every_task(tmp_path: Path, name: str) -> None:
    import hydra

    from rdrop_exp.cli import register
    from rdrop_exp.config.compose import options_of, packaged

    words = [f"dataset={name}"]
    if name in ("class", "value", "set"):
        write_table(tmp_path, name)
        words = ["dataset=text_csv", f"dataset.root={tmp_path}", f"dataset.label_kind={name}"]
    elif name == "summaries":
        lines = [json.dumps({"document": f"the cat number {i} sees a dog", "summary": f"cat {i}"}) for i in range(40)]
        (tmp_path / "train.jsonl").write_text("\n".join(lines))
        words += [f"dataset.root={tmp_path}", "dataset.source=document", "dataset.target=summary"]
    register()
    with hydra.initialize_config_dir(str(packaged("conf")), version_base=None):
        words += [f"model={TINY[name]}", "regularizer=rdrop", "debug=tiny", f"output_dir={tmp_path / 'out'}"]
        o = options_of(hydra.compose("train", [*words, "logger.progress=false", "dataset.vocabulary_size=300"]))
    result = finished(o)
    task = task_of(o)
    assert result["status"] == "finished"
    assert result["steps"] == 4
    assert math.isfinite(result["metrics"][f"test/{task.metric}"])
    assert math.isfinite(result["metrics"][f"val/{task.metric}"])


def test_initial_weights_follow_from_the_seed(tmp_path: Path) -> None:
    one, same, other = (set_up(text_options(tmp_path, {"seed": seed})).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
