"""Slots: where trials may run, by the environment and the output of nvidia-smi."""

import os
import stat

import pytest

from hydra_slots.devices import allocate, cores, free_memory, parse_gpus, visible_gpus
from hydra_slots.errors import SweepError

TWO = """GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-22222222-bbbb)
"""
SLICED = """GPU 0: NVIDIA H100 (UUID: GPU-11111111-aaaa)
  MIG 1g.10gb     Device  0: (UUID: MIG-c0ffee-1)
  MIG 1g.10gb     Device  1: (UUID: MIG-c0ffee-2)
GPU 1: NVIDIA H100 (UUID: GPU-22222222-bbbb)
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A machine with two GPUs, of which the second has 500 MiB free."""
    (tmp_path / "list").write_text(TWO)
    script = tmp_path / "nvidia-smi"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = -L ]; then cat {tmp_path}/list; '
        'elif [ "$4" = GPU-22222222-bbbb ]; then echo 500; else echo 81000; fi\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_smi(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))


def test_gpus_are_listed_by_uuid_and_slices_instead_of_their_gpu():
    assert parse_gpus(TWO) == ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]
    assert parse_gpus(SLICED) == ["MIG-c0ffee-1", "MIG-c0ffee-2", "GPU-22222222-bbbb"]
    assert parse_gpus("") == []


@pytest.mark.usefixtures("smi")
def test_the_environment_limits_which_gpus_are_used(monkeypatch):
    assert visible_gpus() == ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible_gpus() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


@pytest.mark.usefixtures("smi")
def test_free_memory_of_one_gpu():
    assert free_memory("GPU-22222222-bbbb") == 500
    assert free_memory("GPU-11111111-aaaa") == 81000


@pytest.mark.usefixtures("no_smi")
def test_without_nvidia_smi_there_is_no_gpu_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert visible_gpus() == []
    assert free_memory("0") is None


def test_neighbouring_slots_are_on_different_gpus():
    slots = allocate(gpus=[0, 1], per_gpu=2)
    assert [slot.gpu for slot in slots] == ["0", "1", "0", "1"]
    assert [slot.index for slot in slots] == [0, 1, 2, 3]
    assert slots[1].environment()["CUDA_VISIBLE_DEVICES"] == "1"
    assert [slot.gpu for slot in allocate(gpus="4, 7", slots=3)] == ["4", "7", "4"]
    several = allocate(gpus=[0, 1, 2, 3, 4], per_gpu=2, ranks=2)
    assert [slot.gpu for slot in several] == ["0,1", "2,3", "0,1", "2,3"]
    assert str(several[1]) == "worker 1 (GPUs 2,3)"
    with pytest.raises(SweepError, match=r"ranks_per_trial=3 .* there are 2: hydra.launcher.gpus=0"):
        allocate(gpus=[0, 1], ranks=3)


@pytest.mark.usefixtures("smi")
def test_a_number_of_gpus_means_the_first_of_those_that_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert [slot.gpu for slot in allocate(gpus=1)] == ["1"]
    assert [slot.gpu for slot in allocate(per_gpu=2)] == ["1", "0", "1", "0"]
    with pytest.raises(ValueError, match=r"hydra.launcher.gpus=3, but only 2 can be seen"):
        allocate(gpus=3)


def test_cores_are_shared_by_threads_where_there_is_no_gpu():
    assert len(allocate(gpus=0)) == cores()
    assert len(allocate(gpus=[], threads=10 * cores())) == 1
    assert len(allocate(gpus=0, threads=1, ranks=10 * cores())) == 1
    environment = allocate(gpus=0, threads=3, slots=1)[0].environment()
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in environment
    assert environment["HYDRA_SLOT"] == "0"


@pytest.mark.parametrize("gpus", ["abc", -1, 1.5, True, ["a"], {"a": 1}, "0,,1"])
def test_what_is_no_gpu_is_refused(gpus):
    with pytest.raises(ValueError, match=r"hydra.launcher.gpus=.*a number of GPUs, a list"):
        allocate(gpus=gpus)
