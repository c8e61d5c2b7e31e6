"""The page over loopback: what is served, to whom, and when it is read again."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rdrop_exp.config.schema import OptionError
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.comparison import Report
from rdrop_exp.report.serve import Live, make_server
from rdrop_exp.report.trial import Trial
from tests.report.trials import NONE, RDROP, write_trial


@contextmanager
def served(root: Path) -> Iterator[int]:
    server = make_server(lambda: make_report([root]), port=0, seconds=0.01)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_page_and_data_are_served_and_nothing_else(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0)
    with served(tmp_path) as port:
        status, page = get(port, "/?x=1")
        assert status == 200
        assert "connect-src 'self'" in page
        status, data = get(port, "/data.json")
        assert json.loads(data)["status"] == "1 finished"
        for path in ("/etc/passwd", "/../x", "/report.html"):
            assert get(port, path)[0] == 404


def test_other_names_are_refused(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0)
    with served(tmp_path) as port:
        assert get(port, "/data.json", host="localhost")[0] == 200
        assert get(port, "/data.json", host="evil.example")[0] == 403


def test_the_data_change_only_when_something_has_changed(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0)
    live = Live(lambda: make_report([tmp_path]), seconds=0.0)
    first = live.data()
    live._until = 0.0
    assert live.data() is first
    write_trial(tmp_path, RDROP, 0)
    live._until = 0.0
    assert json.loads(live.data())["status"] == "2 finished"


def test_it_is_read_no_more_often_than_asked(tmp_path: Path) -> None:
    write_trial(tmp_path, NONE, 0)
    reads = []

    def read() -> Report:
        reads.append(1)
        return make_report([tmp_path])

    live = Live(read, seconds=1000.0)
    assert [live.data(), live.data()] == [live.data()] * 2
    assert live.html().startswith("<!doctype html>")
    assert len(reads) == 1


def test_it_waits_for_the_first_trial(tmp_path: Path) -> None:
    known: dict[str, tuple[int, Trial]] = {}
    live = Live(lambda: make_report([tmp_path / "later"], known=known), seconds=0.0)
    shown = json.loads(live.data())
    assert shown["comparisons"] == []
    assert "later" in shown["notes"][0]
    write_trial(tmp_path / "later", NONE, 0)
    live._until = 0.0
    assert len(json.loads(live.data())["comparisons"]) == 1
    assert len(known) == 1


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with served(tmp_path) as port, pytest.raises(OptionError, match=f"--port={port} cannot be used"):
        make_server(lambda: make_report([tmp_path]), port=port)
    with pytest.raises(OptionError, match="--port=70000 cannot be used"):
        make_server(lambda: make_report([tmp_path]), port=70000)
