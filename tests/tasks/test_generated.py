"""generated.jsonl: what a translation or summarization trial generates on test, also after a stop; no other task's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from rdrop_exp.config.checks import from_dict
from rdrop_exp.runs.folder import read_items
from rdrop_exp.tasks import metrics
from rdrop_exp.train import trial
from tests.conftest import Crash, folder_of, merged
from tests.tasks.helpers import text_options
from tests.tasks.test_seq2seq import OPTIONS

SIZES = {"train": 48, "valid": 4, "test": 21}


def write_pairs(folder: Path) -> dict[str, Any]:
    """Texts of 1 to 7 words, in no order of length, with signs outside ASCII; the options that read them."""
    for part, count in SIZES.items():
        for language, word in (("de", "größer\u2028"), ("en", "larger\u2028")):
            lines = [f"{word} {i}" + " und so fort" * (i * 5 % 3) for i in range(count)]
            (folder / f"{part}.{language}").write_text("\n".join(lines), encoding="utf-8")
    dataset = {"name": "parallel", "root": str(folder), "source": "de", "target": "en", "limit": None}
    values = {"dataset": dataset, "schedule": {"epochs": 4}, "validate": "loss", "generate": {"beams": 1}}
    return merged(OPTIONS, values)


def test_the_file_has_the_test_set_and_its_score_and_survives_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    o, stopped = from_dict(merged(write_pairs(tmp_path), {"output_dir": str(tmp_path / "out")})), []

    def stop(folder: Path, rows: list[dict[str, str]]) -> None:
        stopped.extend(rows)
        raise Crash

    with monkeypatch.context() as crash:
        crash.setattr(trial, "write_generated", stop)
        with pytest.raises(Crash):
            trial.run(o)
    result = trial.run(o)
    assert result is not None
    written = (folder_of(o) / "generated.jsonl").read_bytes()
    rows = [json.loads(line) for line in written.decode().split("\n")[:-1]]
    assert rows == stopped
    assert len(rows) == SIZES["test"]
    pairs = zip(*((tmp_path / f"test.{end}").read_text("utf-8").split("\n") for end in ("de", "en")), strict=True)
    assert sorted((row["source"], row["reference"]) for row in rows) == sorted(pairs)
    assert "größer".encode() in written
    generated, references = ([row[side] for row in rows] for side in ("generated", "reference"))
    assert result["metrics"]["test/bleu"] == sacrebleu.corpus_bleu(generated, [references]).score > 0
    scores = metrics.sentence_bleu(generated, references).astype(np.float32)
    assert len(set(scores.tolist())) > 1
    assert read_items(folder_of(o))["test"].tolist() == scores.tolist()  # in the same order


def test_other_tasks_write_none(tmp_path: Path) -> None:
    o = text_options(tmp_path, {"schedule": {"steps": 1}})
    trial.run(o)
    assert (folder_of(o) / "items.npz").exists()
    assert not (folder_of(o) / "generated.jsonl").exists()
