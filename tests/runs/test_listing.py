"""The names in an experiment's folder, as a plan of many trials asks for them."""

import os
import time

from rdrop_exp.runs.listing import listing


def test_names_are_found_by_identity_and_by_beginning(tmp_path):
    for name in ("a-s1-0123456789", "a-s1-code-0123-0123456789", "a-s10-ffffffffff", "b-0123456789", "a-s1", "plain"):
        (tmp_path / name).mkdir()
    found = listing(tmp_path)
    for identity in ("0123456789", "ffffffffff", "s1", "nope", ""):
        assert found.of_identity(identity) == sorted(path.name for path in tmp_path.glob(f"*-{identity}"))
    for start in ("a-s1-", "a", "b-", "c", ""):
        assert found.beginning(start) == sorted(path.name for path in tmp_path.glob(f"{start}*"))
    assert listing(tmp_path / "nowhere").names == []


def test_a_folder_is_read_again_once_it_has_changed(tmp_path, monkeypatch):
    read, real = [], os.listdir

    def listdir(path):
        read.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    (tmp_path / "a-1").mkdir()
    assert listing(tmp_path).names == listing(tmp_path).names == ["a-1"]
    assert len(read) == 2  # it has changed too recently to be sure
    os.utime(tmp_path, (0, time.time() - 10))
    assert listing(tmp_path).names == listing(tmp_path).names == ["a-1"]
    assert len(read) == 3
    (tmp_path / "b-2").mkdir()
    assert listing(tmp_path).names == ["a-1", "b-2"]
