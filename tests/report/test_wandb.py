"""The comparison in W&B without a server: an offline run is read back, a workspace is looked at unsaved."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report import wandb as logging_
from rdrop_exp.report import workspace
from rdrop_exp.report.cli import main
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report
from tests.report.trials import EARLY, NONE, RDROP, write_trial


@pytest.fixture(autouse=True)
def without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    root = tmp_path / "outputs"
    for seed in range(3):
        write_trial(root, NONE, seed, 0.9 + 0.001 * seed)
        write_trial(root, EARLY, seed, 0.91)
        for alpha in (0.5, 1.0):
            write_trial(root, RDROP | {"alpha": alpha}, seed, 0.92 + 0.001 * seed**2)
    return root


def send_to(report: Report, project: str, entity: str) -> None:
    for trial in report.trials:
        trial.options["logger"] = {"project": project, "entity": entity}


def test_an_offline_run_holds_table_page_and_conclusion(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Read back from the file that `wandb sync` would send."""
    pytest.importorskip("wandb")
    assert main([str(sweep), "--no-page", "--wandb"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert "group demo, " in said
    assert said.endswith("(no API key: send it with `wandb sync`)")
    (folder,) = (sweep / "wandb").glob("offline-run-*")
    records = read_run(next(folder.glob("*.wandb")))
    (run,) = records["run"]
    assert (run["project"], run["run_group"], run["job_type"]) == ("rdrop-exp", "demo", "report")
    assert {"report/digits-vit_micro._type", "report/page._type"} <= records["history"][0]["item"].keys()
    artifact = records["artifact"][0]
    assert (artifact["type"], artifact["name"]) == ("report", "report-demo")
    assert {"report.html", "digits-vit_micro.table.json"} == {f["path"] for f in artifact["manifest"]["contents"]}
    conclusions = [r["update"]["conclusion"] for r in records["summary"] if "conclusion" in r["update"]]
    assert "rdrop alpha=0.5" in conclusions[0]
    assert "+2.07 points" in conclusions[0]
    (page,) = folder.glob("files/media/html/report/page*.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    (table,) = folder.glob("files/media/table/report/digits-vit_micro*.table.json")
    written = json.loads(table.read_text())
    best = dict(zip(written["columns"], written["data"][0], strict=True))
    assert (best["group"], best["alpha"], best["seeds"]) == ("rdrop alpha=0.5", 0.5, 3)
    assert len(make_report([sweep]).trials) == 12  # W&B's own folder is no trial


def read_run(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run's file by type, as W&B's own reader prints them."""
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent))
    assert wandb
    done = subprocess.run([wandb, "leet", "inspect", "--json", str(path)], capture_output=True, text=True, timeout=60)
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, done.stdout.splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_an_unreachable_wandb_is_logged_offline_instead(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    original, modes = wandb.init, []

    def init(**arguments: Any) -> Any:
        modes.append(arguments["mode"])
        if arguments["mode"] == "online":
            raise wandb.errors.CommError("no route to host\nat all")
        return original(**arguments)

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb, "init", init)
    said = logging_.log_report(make_report([sweep]), "<html></html>", sweep)
    assert modes == ["online", "offline"]
    assert "no route to host: " in said
    assert "`wandb sync`" in said


def test_the_place_is_where_most_trials_went(sweep: Path) -> None:
    report = make_report([sweep])
    send_to(report, "dropouts", "lab")
    report.trials[0].options.pop("logger")
    assert logging_.place(report) == ("dropouts", "lab")


def test_a_failure_of_wandb_costs_a_sentence(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")

    def refuse(**_: object) -> None:
        raise OSError("no space left\non device")

    monkeypatch.setattr(wandb, "init", refuse)
    said = logging_.log_report(make_report([sweep]), "<html></html>", sweep)
    assert said.endswith(": no space left")


def test_a_wandb_that_hangs_is_left_behind(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    released = threading.Event()
    monkeypatch.setattr(wandb, "init", lambda **_: released.wait(30))
    monkeypatch.setattr(logging_, "SECONDS", 0.2)
    try:
        said = logging_.log_report(make_report([sweep]), "<html></html>", sweep)
    finally:
        released.set()
    assert "0.2 seconds" in said


def test_table_for_wandb_has_the_swept_options(sweep: Path) -> None:
    (comparison,) = make_report([sweep]).comparisons
    columns, rows = logging_.as_table(comparison)
    assert columns[-1] == "alpha"
    assert {len(row) for row in rows} == {len(columns)}
    assert sorted((row[-1] or 0) for row in rows) == [0, 0, 0.5, 1.0]


def model_of(report: Report) -> dict[str, Any]:
    pytest.importorskip("wandb_workspaces")
    built = workspace.build_workspace(report)
    model: dict[str, Any] = json.loads(built._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return model


def test_the_workspace_as_it_would_be_saved(sweep: Path) -> None:
    report = make_report([sweep])
    send_to(report, "dropouts", "lab")
    model = model_of(report)
    assert (model["entity"], model["project"], model["displayName"]) == ("lab", "dropouts", "rdrop-exp: demo")
    section = model["spec"]["section"]
    options, curves, cost = section["panelBankConfig"]["sections"]
    (parallel,) = options["panels"]
    assert [column["accessor"] for column in parallel["config"]["columns"]] == [
        "config:regularizer.value.name",
        "config:regularizer.value.alpha",
        "summary:val/accuracy",
        "summary:test/accuracy",
    ]
    metrics = [panel["config"]["metrics"] for panel in curves["panels"]]
    assert metrics[0] == ["val/accuracy"]
    assert ["rate/dropout", "rate/drop_path"] in metrics
    assert all(panel["config"]["xAxis"] == "epoch" for panel in curves["panels"])
    assert cost["panels"][0]["config"]["yAxis"] == "summary:test/accuracy"
    (runs,) = section["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "group.value"}]  # everything but the seed
    assert [(f["key"]["name"], f["op"], f["value"]) for f in runs["filters"]["filters"]] == [
        ("jobType", "!=", "report"),
        ("group", "=", "demo"),
    ]


def test_a_workspace_needs_a_key_and_says_so(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces")
    assert main([str(sweep), "--no-page", "--workspace"]) == 2
    assert "set WANDB_API_KEY, or run `wandb login`" in capsys.readouterr().err


def test_saving_a_workspace(sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's part is played: what is sent is the model above, what comes back names the view."""
    model_of(make_report([sweep]))
    from wandb_workspaces.workspaces import internal

    sent = []

    def upsert(view: Any) -> dict[str, Any]:
        sent.append(view)
        return {"upsertView": {"view": {"name": "nw-abc123-v", "id": "id1"}}}

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_ENTITY", "lab")
    monkeypatch.setattr(internal, "upsert_view2", upsert)
    server = SimpleNamespace(client=SimpleNamespace(app_url="https://wandb.example"))
    monkeypatch.setattr("wandb.Api", lambda: server)
    assert main([str(sweep), "--no-page", "--workspace"]) == 0
    assert sent[0].entity == "lab"
    assert capsys.readouterr().out.splitlines()[-1] == "W&B workspace: https://wandb.example/lab/rdrop-exp?nw=abc123"
    monkeypatch.setattr(internal, "upsert_view2", lambda view: (_ for _ in ()).throw(RuntimeError("403\nforbidden")))
    with pytest.raises(OptionError, match=r"^--workspace was not saved: 403$"):
        workspace.save_workspace(make_report([sweep]))


def test_without_the_package_a_workspace_is_one_sentence(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(OptionError, match="pip install 'rdrop-exp\\[workspace\\]'"):
        workspace.build_workspace(make_report([sweep]))
