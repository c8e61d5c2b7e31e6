"""A Slurm cluster of one node on this machine, from the packages slurm-wlm and munge; needs root."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmctldPort={port}
SlurmdPort={second}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MpiDefault=none
KillWait=60
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=60 PriorityTier=1 GraceTime=120 State=UP
PartitionName=high Nodes={host} MaxTime=60 PriorityTier=9 PreemptMode=OFF State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "mungekey")


class Cluster:
    """Its daemons, each ended by its process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir(mode=0o700)
        ports = [port() for _ in range(2)]
        text = CONF.format(host=socket.gethostname(), folder=folder, port=ports[0], second=ports[1])
        (folder / "slurm.conf").write_text(text)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    def start(self, name: str) -> None:
        key, f = self.folder / "munge" / "key", self.folder
        words = {
            "munged": [
                "--foreground", "--force", f"--socket={f}/munge.socket", f"--key-file={key}",
                f"--log-file={f}/munged.log", f"--pid-file={f}/munged.pid", f"--seed-file={f}/munge/seed",
            ],
            "slurmctld": ["-D"],
            "slurmd": ["-D", "-N", socket.gethostname()],
        }  # fmt: skip
        with open(self.folder / f"{name}.out", "ab") as log:
            self.daemons[name] = subprocess.Popen([name, *words[name]], stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        self.daemons[name].kill()
        self.daemons[name].wait()

    def stop(self) -> None:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30)
            wait_for(lambda: not output("squeue", "--noheader"), 60)
        for daemon in reversed(self.daemons.values()):
            daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=20)
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A running cluster, whose node is idle; Slurm's commands find it by SLURM_CONF."""
    install()
    one = Cluster(folder)
    try:
        subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge/key"], check=True)
        for name in ("munged", "slurmctld", "slurmd"):
            one.start(name)
            time.sleep(1)
        wait_for(lambda: "idle" in output("sinfo", "--noheader", "--format=%T"), 60)
        yield one
    finally:
        one.stop()


def install() -> None:
    """Slurm and munge by apt-get, where they are missing; their services are not started."""
    if all(shutil.which(name) for name in PROGRAMS):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    packages = ["slurm-wlm", "munge"]
    subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", *packages], check=True, env=environment)


def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until `condition()` holds; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.2)
