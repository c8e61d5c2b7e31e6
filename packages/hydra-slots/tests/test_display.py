"""The display: a live view in a terminal, lines elsewhere."""

import dataclasses
import io
import os

import pytest
from rich.console import Console

from hydra_slots import PlannedTrial
from hydra_slots.display import Display, group_names, is_lower_better
from hydra_slots.events import EventKind, Snapshot, TrialEvent, WorkerRow
from hydra_slots.sweep_plan import Job

COLUMNS = {"epoch": "epoch", "loss": "train/loss", "images/s": "images_per_second"}


def jobs_of(*names):
    """Trials whose group is their name without the seed."""
    trials = [PlannedTrial(name, os.devnull, name, name.rpartition("-")[0]) for name in names]
    return [Job(i, [], "", trial) for i, trial in enumerate(trials)]


class Shown:
    """A display of four trials of two groups, and what it has written."""

    def __init__(self, terminal, metric="val/accuracy", **options):
        self.screen = io.StringIO()
        console = Console(
            file=self.screen, force_terminal=terminal, width=120, height=30, highlight=False, color_system=None
        )
        self.jobs = jobs_of("digits-a-s0", "digits-a-s1", "digits-b-s0", "digits-b-s1")
        self.display = Display(self.jobs, metric, columns=COLUMNS, console=console, **options)

    def event(self, kind, index, **details):
        self.display.show_event(TrialEvent(kind, self.jobs[index], **details))

    def finished(self, index, **metrics):
        self.event(EventKind.FINISHED, index, result={"metrics": metrics})

    def text(self):
        return self.screen.getvalue()


def test_a_terminal_shows_progress_workers_ranking_and_failures():
    shown = Shown(terminal=True)
    result = {"metrics": {"val/accuracy": 0.91234}}
    shown.event(EventKind.FINISHED_EARLIER, 0, result=result, seconds=60)
    shown.event(EventKind.FAILED, 3, reason="ValueError: [red]no[/red]")
    metrics = {"progress": 0.5, "epoch": 2.5, "train/loss": 0.1234, "val/accuracy": 0.8, "images_per_second": 12345.6}
    busy = WorkerRow("worker 1 (GPU 3)", "digits-b-s0", metrics=metrics, memory=123, seconds=7)
    with shown.display.live():
        shown.display.refresh(lambda: Snapshot([busy, WorkerRow("worker 0")], elsewhere=2, seconds_left=90))
    lines = shown.text().splitlines()
    assert "1/4 trials, 1 failed, 2 with another runner, about 90 s left" in shown.text()
    headings = next(line for line in lines if "MiB" in line)
    assert all(word in headings for word in ("epoch", "loss", "images/s"))
    assert "val acc" not in headings
    row = next(line for line in lines if "digits-b-s0" in line)
    for word in ("1 (GPU 3)", "50%", "2.5", "0.1234", "12,346", "123", "7.0 s"):
        assert word in row
    assert any("idle" in line for line in lines)
    assert any("digits-a" in line and "0.9123" in line for line in lines)
    assert "failed: digits-b-s1: ValueError: [red]no[/red]" in shown.text()


def test_before_the_first_row_there_is_what_the_trial_does():
    shown = Shown(terminal=True)
    with shown.display.live():
        shown.display.refresh(
            lambda: Snapshot([WorkerRow("worker 0", "digits-a-s0", stage="reading 4,000 images [x]")])
        )
    assert any("digits-a-s0" in line and "reading 4,000 images [x]" in line for line in shown.text().splitlines())


def test_without_a_terminal_there_are_lines():
    shown = Shown(terminal=False)
    shown.event(EventKind.FINISHED_EARLIER, 0, result={"metrics": {"val/accuracy": 0.91234}})
    with shown.display.live():
        shown.display.refresh(lambda: pytest.fail("nothing to draw on"))
        shown.event(EventKind.RETRY, 1, reason="it died")
        shown.event(EventKind.FINISHED, 1, result={"value": 3}, seconds=2.0)
        shown.event(EventKind.FINISHED_ELSEWHERE, 2)
        shown.event(EventKind.FAILED, 3, reason="ValueError: no")
    assert shown.text().splitlines() == [
        "retrying digits-a-s1: it died",
        "[2/4] finished digits-a-s1  value 3  2.0 s",
        "[3/4] finished digits-b-s0  by another runner",
        "[4/4] failed   digits-b-s1  ValueError: no",
    ]
    shown.display.print_ranking()
    assert f"digits-a{' ' * 4}" in shown.text().split("ValueError: no")[1]


def test_long_names_give_way_to_the_numbers_beside_them():
    shown = Shown(terminal=False)
    shown.display.console = Console(file=shown.screen, width=72, color_system=None)
    shown.display.names["digits-a"] = "name " * 20
    shown.finished(0, **{"val/accuracy": 0.91234})
    busy = WorkerRow(
        "worker 0", "trial " * 20, metrics={"progress": 0.5, "epoch": 2.5, "train/loss": 0.1234}, memory=123
    )
    shown.display.console.print(shown.display.view(Snapshot([busy])))
    row, ranking = (line for line in shown.text().splitlines() if "…" in line)
    assert row.split()[-6:] == ["50%", "2.5", "0.1234", "123", "0.0", "s"]
    assert ranking.split()[-2:] == ["0.9123", "1"]


@pytest.mark.parametrize(
    ("metric", "options", "first"),
    [
        ("val/accuracy", {}, "digits-b"),
        ("val/loss", {}, "digits-a"),
        ("val/loss", {"lower_is_better": False}, "digits-b"),
        ("score", {"lower_is_better": True}, "digits-a"),
    ],
)
def test_the_ranking_puts_the_best_first(metric, options, first):
    shown = Shown(terminal=False, metric=metric, **options)
    for index, value in enumerate((0.1, 0.2, 0.8, 0.9)):
        shown.finished(index, **{metric: value})
    shown.display.print_ranking()
    ranking = shown.text().split("[4/4]")[1].splitlines()[1:]
    assert next(line.split()[0] for line in ranking if "digits" in line) == first


def test_groups_are_ranked_by_the_metrics_of_their_plans():
    shown = Shown(terminal=False, metric=None)
    names = "digits-a-s0", "digits-a-s1", "digits-b-s0", "digits-b-s1", "digits-c-s0"
    jobs = jobs_of(*names)
    for job in jobs:
        metric = "val/accuracy" if job.trial.group == "digits-a" else "val/perplexity"
        job.trial = dataclasses.replace(job.trial, metric=metric)
    shown.display = Display(jobs, None, columns={"val": "metric"}, console=shown.display.console)
    for job, value in zip(jobs, (0.1, 0.2, 30.0, 32.0, 7.0), strict=True):
        result = {"metrics": {"val/accuracy": 0.5, job.trial.metric: value}}
        shown.display.show_event(TrialEvent(EventKind.FINISHED, job, result=result))
    assert "finished digits-b-s0  val/perplexity 30" in shown.text()
    shown.display.print_ranking()
    ranking = [line.split() for line in shown.text().split("[5/5]")[1].splitlines()[1:] if "digits" in line]
    assert [words[:3] for words in ranking] == [
        ["digits-a", "val/accuracy", "0.1500"],
        ["digits-c-s0", "val/perplexity", "7.0000"],
        ["digits-b", "val/perplexity", "31.0000"],
    ]
    busy = WorkerRow("worker 0", "digits-c-s0", metrics={"val/accuracy": 0.5, "val/perplexity": 9.0})
    assert shown.display.value(busy, "metric") == 9.0
    assert shown.display.value(busy, "none|val/accuracy") == 0.5


def test_the_name_of_a_metric_says_which_direction_is_better():
    lower = ["val/loss", "test/error", "perplexity", "val/cross_entropy", "wer", "seconds", "top1_error"]
    higher = ["val/accuracy", "test/f1", "bleu", "closeness", "map", None]
    assert [is_lower_better(name) for name in (*lower, *higher)] == [True] * len(lower) + [False] * len(higher)


def test_groups_are_named_by_what_their_trials_have_in_common():
    def jobs(*names):
        return [Job(i, [], "", PlannedTrial(str(i), os.devnull, name, "g")) for i, name in enumerate(names)]

    assert group_names(jobs("digits-vit-p0.1-s0", "digits-vit-p0.1-s11")) == {"g": "digits-vit-p0.1"}
    assert group_names(jobs("reg=drop seed=0", "reg=drop seed=1")) == {"g": "reg=drop"}
    assert group_names(jobs("alone-s0")) == {"g": "alone-s0"}
    assert group_names(jobs("seed=0", "seed=1")) == {"g": "seed=0"}
