"""What is printed: terminal, CSV, JSON, Markdown; and the console command around it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rdrop_exp.report import summarise
from rdrop_exp.report.cli import main
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.table import duration, print_report
from tests.report.trials import EARLY, NONE, RDROP, write_trial


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for alpha, gain in ((0.5, 0.012), (1.0, 0.007)):
        for seed in range(3):
            write_trial(tmp_path, RDROP | {"alpha": alpha}, seed, 0.90 + gain + 0.002 * seed**2, seconds=90.0)
    for seed in range(3):
        write_trial(tmp_path, NONE, seed, 0.90 + 0.001 * seed**2)
    write_trial(tmp_path, NONE, 4, status="failed")
    write_trial(tmp_path, EARLY, 0, status="started")
    return tmp_path


def terminal(folder: Path, width: int, top: int = 30) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_report(make_report([folder]), console, top)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_shows_everything(sweep: Path) -> None:
    text = terminal(sweep, 200)
    first = next(line for line in text.splitlines() if "rdrop alpha=0.5" in line)
    summary = (
        "1 rdrop alpha=0.5 91.53 ± 0.42 91.53 ± 0.42 3 +1.37 [0.40, 2.33] 0.025 better 0.0423 4.23 90 s (×1.50) 1,422"
    )
    assert " ".join(first.split()) == summary
    assert "Trials: 9 finished, 1 running (40 %), 1 failed" in text
    assert "failed: the loss is not finite at step 120" in text
    assert "So far (9 of 11 trials): rdrop alpha=0.5 is better" in text
    assert "not finished" in next(line for line in text.splitlines() if "early_dropout" in line)


def test_narrow_terminal_leaves_out_the_costs(sweep: Path) -> None:
    text = terminal(sweep, 100)
    assert "better" in text
    assert "img/s" not in text
    assert max(len(line) for line in text.splitlines() if "demo/" not in line) <= 100


def test_top_keeps_the_baseline(sweep: Path) -> None:
    text = terminal(sweep, 200, top=1)
    rows = [line.lstrip("0123456789 ") for line in text.splitlines() if "±" in line]
    assert [row.split("  ")[0].split(" 91")[0] for row in rows] == ["rdrop alpha=0.5", "none"]
    assert "… and 3 more groups" in text
    assert "rdrop alpha=1 " in terminal(sweep, 200, top=0)


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    options = {"regularizer": {"name": "[bold]odd[/x] `q`", "dropout": 0.1}}
    write_trial(tmp_path, RDROP, 1, result={"group": "h" * 10, "options": options})
    assert "[bold]odd[/x] 'q'" in terminal(tmp_path, 160)


def test_csv_has_a_line_a_group(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["group"] for row in rows] == ["rdrop alpha=0.5", "rdrop alpha=1", "none", "early_dropout"]
    best = rows[0]
    assert float(best["difference"]) == pytest.approx(1.3667, abs=1e-4)
    assert (best["regularizer.alpha"], best["seeds"], best["verdict"], best["baseline"]) == (
        "0.5",
        "3",
        "better",
        "False",
    )
    assert (rows[2]["baseline"], rows[2]["failed"], rows[2]["difference"]) == ("True", "1", "")
    assert (rows[3]["running"], rows[3]["val_mean"]) == ("1", "")
    assert not (sweep / "report.html").exists()


def test_json_holds_everything(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_trial(sweep, NONE, 5, result={"metrics": {"val/accuracy": float("nan")}})
    assert main([str(sweep), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (comparison,) = whole["comparisons"]
    assert (comparison["metric"], comparison["baseline"], comparison["measure"]) == ("accuracy", "none", "test")
    best = comparison["groups"][0]
    assert best["test"] == {"0": pytest.approx(91.2), "1": pytest.approx(91.4), "2": pytest.approx(92.0)}
    assert best["options"] == {"regularizer.alpha": 0.5}
    assert whole["counts"] == {"finished": 10, "running": 1, "failed": 1}
    assert {trial["command"] for trial in whole["trials"] if trial["command"]} == {"rdrop-exp -m sweep=demo"}


def test_markdown_is_a_table(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "--markdown"]) == 0
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {13}
    assert "| `rdrop alpha=0.5` |" in lines[2]
    assert text.startswith("So far (9 of 11 trials): `rdrop alpha=0.5` is better")


def test_the_command_prints_and_writes_the_page(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "rdrop alpha=0.5 is better" in out
    assert out.splitlines()[-1] == f"Page: {sweep / 'report.html'}"
    assert (sweep / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main([str(sweep), "--no-page", "--page", str(sweep / "other.html"), "--baseline", "rdrop alpha=1"]) == 0
    assert (sweep / "other.html").exists()


def test_a_summary_for_other_programs(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = sorted(path.parent for path in sweep.rglob("config.yaml"))
    summarise(folders)
    out = capsys.readouterr().out
    assert "rdrop alpha=0.5 is better" in out
    shared = sweep / "demo"
    assert out.splitlines()[-2:] == [f"Trials: {shared}", f"Page: {shared / 'report.html'}"]
    assert (shared / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/at/all"], "folder not found: /nowhere/at/all"),
        (["{empty}"], "no trials in"),
        (
            ["{sweep}", "--baseline", "rdorp"],
            "--baseline=rdorp is no group or regularizer of this report",
        ),
        (["{sweep}", "--metric", "bleu"], "--metric=bleu was not measured by any trial"),
        (["{sweep}", "--smallest", "-1"], "--smallest=-1 must be above 0"),
        (["{sweep}", "--power", "80"], "--power=80 must be between 0 and 1"),
        (["{sweep}", "--page", "/nowhere/at/all/report.html"], "No such file or directory"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (sweep / "empty").mkdir()
    places = {"{sweep}": str(sweep / "demo"), "{empty}": str(sweep / "empty")}
    assert main([places.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("rdrop-report: ")
    assert said in error
    assert error.count("\n") == 1


def test_unknown_flags_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--no-such-flag"])
    assert ended.value.code == 2
    assert "usage: rdrop-report" in capsys.readouterr().err


def test_the_table_needs_no_heavy_import(sweep: Path) -> None:
    """A table of finished trials loads none of the packages that take seconds."""
    code = (
        "import sys; from rdrop_exp.report.cli import main; main([sys.argv[1], '--no-page']);"
        "print([name for name in ('torch', 'timm', 'wandb', 'plotly', 'scipy.stats', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sweep)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_durations_read_well() -> None:
    assert [duration(s) for s in (3.21, 45.4, 99, 750, 12240)] == ["3.2 s", "45 s", "99 s", "12.5 min", "3.4 h"]


def test_parquet_holds_what_csv_holds(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    written = tmp_path / "groups.parquet"
    assert main([str(sweep), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main([str(sweep), "--parquet", str(written)]) == 0
    assert not (sweep / "report.html").exists()
    table = parquet.read_table(written)
    assert table.column_names == list(rows[0])
    assert table.column("group").to_pylist() == [row["group"] for row in rows]
    for name in ("regularizer.alpha", "test_mean", "seeds"):
        assert table.column(name).to_pylist() == [float(row[name]) if row[name] else None for row in rows]


def test_parquet_without_pyarrow_is_one_sentence(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main([str(sweep), "--parquet", "groups.parquet"]) == 2
    assert "pip install 'rdrop-exp[parquet]'" in capsys.readouterr().err
