"""Files of other programs: one that cannot be read costs its own trial, and no name steers a terminal or a page."""

import csv
import io
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rdrop_exp.report.cli import main
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.page import build_page
from rdrop_exp.report.serve import make_server
from rdrop_exp.report.table import print_report
from rdrop_exp.report.trial import Status
from tests.report.trials import EARLY, NONE, RDROP, write_trial

ESCAPE = "\x1b[31mred\x1b]0;title\x07\u202e\x9b2J"


def with_value(key: str, text: str) -> Callable[[Path], None]:
    """Damage result.json: `key` holds this JSON."""

    def damage(folder: Path) -> None:
        path = folder / "result.json"
        path.write_text(path.read_text().replace(f'"{key}":', f'"{key}": {text}, "was":', 1))

    return damage


def fifo(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return damage


def not_utf8(folder: Path) -> None:
    (folder / "result.json").write_bytes(b'{"status": "\xff"}')


def replaced_by_a_folder(folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "result.json").mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deep": with_value("versions", "[" * 100_000 + "]" * 100_000),
    "fairly deep": with_value("versions", "[" * 500 + "]" * 500),
    "400 digits in a metric": with_value("val/accuracy", "9" * 400),
    "400 digits in an option": with_value("epochs", "9" * 400),
    "5,000 digits": with_value("steps", "9" * 5000),
    "half a surrogate pair": with_value("group", '"\\ud800"'),
    "not UTF-8": not_utf8,
    "a FIFO for the result": fifo("result.json"),
    "a FIFO for the metrics": fifo("metrics.jsonl"),
    "a folder for the result": replaced_by_a_folder,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_result_costs_one_trial(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_trial(tmp_path, NONE, 0, 0.9)
    write_trial(tmp_path, RDROP, 0, 0.95)
    damage(write_trial(tmp_path, EARLY, 0))
    report = make_report([tmp_path])
    assert report.counts == {Status.FINISHED: 2, Status.DAMAGED: 1}
    assert [row.label for row in report.comparisons[0].rows] == ["rdrop", "none"]
    assert main([str(tmp_path)]) == 0


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [BOMB, "a: " + "[" * 100_000, "a: " + "[" * 500 + "]" * 500, "a: &x [*x]\n"])
def test_a_damaged_configuration_costs_one_trial(tmp_path: Path, text: str) -> None:
    write_trial(tmp_path, NONE, 0, 0.9)
    (write_trial(tmp_path, RDROP, 0, status="started") / "config.yaml").write_text(text)
    assert make_report([tmp_path]).counts == {Status.FINISHED: 1, Status.DAMAGED: 1}
    (tmp_path / "demo" / "sweep.yaml").write_text(text)
    assert make_report([tmp_path]).sweeps == []


@pytest.mark.timeout(60)
def test_a_fifo_for_a_configuration_or_a_start(tmp_path: Path) -> None:
    fifo("config.yaml")(write_trial(tmp_path, RDROP, 0, status="started"))
    fifo("trial.json")(write_trial(tmp_path, RDROP, 1, status="started"))
    fifo("sweep.yaml")(tmp_path / "demo")
    assert make_report([tmp_path]).counts == {Status.DAMAGED: 2}


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, model={"name": "vit_micro", "label": "[/]"})
    write_trial(tmp_path, RDROP, 0, model={"name": "vit_micro", "label": "[/]"})
    console = Console(width=160, file=io.StringIO(), color_system=None)
    print_report(make_report([tmp_path]), console)
    assert isinstance(console.file, io.StringIO)
    assert "digits · [/] · accuracy" in console.file.getvalue()


def hostile(root: Path) -> None:
    """Escape sequences wherever a result has text."""
    for name in ("none", f"odd{ESCAPE}"):
        folder = write_trial(root, RDROP, 0)
        result = json.loads((folder / "result.json").read_text())
        result["options"]["regularizer"]["name"] = name
        result["options"]["model"]["label"] = result["options"]["dataset"]["name"] = ESCAPE
        result |= dict.fromkeys(("identity", "group", "experiment", "device", "command"), f"{name}{ESCAPE}")
        result |= {"versions": {ESCAPE: ESCAPE}, "metrics": {"val/accuracy": 0.9, f"val/{ESCAPE}": 1.0}}
        (folder / "result.json").write_text(json.dumps(result))
        folder.rename(root / f"{name[:4]}\x1b[2J-0123456789")
    failed = write_trial(root, EARLY, 1, status="failed", result={"error": f"line 1\nline 2 {ESCAPE}"})
    failed.rename(root / "failed\x1b[2J-0123456789")


@pytest.mark.parametrize("form", [[], ["--csv"], ["--markdown"], ["--json"], ["--latex"]])
def test_no_escape_sequence_is_printed(tmp_path: Path, form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    hostile(tmp_path)
    assert main([str(tmp_path), *form]) == 0
    said = capsys.readouterr().out
    assert "odd" in said
    assert [c for c in said if not c.isprintable() and c != "\n"] == []


def test_a_cell_is_no_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for start in "=+-@":
        name = f'{start}HYPERLINK("x")'
        options = {"regularizer": {"name": name}, "dataset": {"name": name}}
        write_trial(tmp_path, RDROP, ord(start), result={"options": options, "group": name, "identity": name})
    assert main([str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["group"][:2] for row in rows} == {"'=", "'+", "'-", "'@"}
    assert {value[0] for row in rows for value in row.values() if value} & set("=+@") == set()
    assert all(float(row["val_mean"]) for row in rows)  # a number is a number, also a negative one


def test_a_link_leads_to_the_web_only(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0, result={"wandb": "javascript:alert(1)"})
    write_trial(tmp_path, NONE, 1, result={"wandb": "https://wandb.ai/lab/dropouts/runs/demo-1"})
    text = build_page(make_report([tmp_path]))
    assert "javascript:alert" not in text
    assert "https://wandb.ai/lab/dropouts/runs/demo-1" in text


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://[ HTTP/1.1\r\nHost: localhost",
        b"\x16\x03\x01\x02",
        b"GET / HTTP/9.x",
        b"GET  \x00 /",
        b"G\x00T / x y",
    ],
)
def test_a_malformed_request_leaves_no_traceback(request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    server = make_server(lambda: Report(trials=[], comparisons=[], notes=[]), port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with socket.create_connection(server.server_address[:2], timeout=30) as connection:  # type: ignore[arg-type]
            connection.sendall(request_ + b"\r\n\r\n")
            answered = b"".join(iter(lambda: connection.recv(4096), b""))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert b" 200 " not in answered
    assert capfd.readouterr() == ("", "")
