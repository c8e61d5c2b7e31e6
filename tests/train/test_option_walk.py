"""Every option does something: a few steps with another value differ, or the option is declared not to matter."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import pytest
import timm.optim
import torch
from torch import Tensor

from rdrop_exp.analysis.online import make_analysis
from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, hints, option_names, runtime_fields, unwrap
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.train import background, checkpoint, trial
from tests.conftest import folder_of
from tests.train.option_values import ALIASES, BASE, CONTEXTS, QUICK, UNNAMED, WALKS, Values, make_files

GROUPS = [
    field.name for field in dataclasses.fields(Options) if dataclasses.is_dataclass(getattr(Options(), field.name))
]
NAMES = [name for name in option_names(Options) if name not in GROUPS]
TRIED = [name for name in NAMES if name in WALKS and not WALKS[name].exempt]
RUNTIME = [".".join(path) for path in runtime_fields(Options)]


@dataclasses.dataclass
class Outcome:
    """What can be seen of a trial."""

    refused: str = ""
    identity: str = ""
    unused: tuple[str, ...] = ()
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    weights: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    traces: list[Any] = dataclasses.field(default_factory=list)
    """Names of files, what W&B and the terminal were given, the number of checkpoints, the data's fingerprint."""

    def trained(self) -> Any:
        return self.rows, self.metrics, self.weights_as_lists()

    def weights_as_lists(self) -> dict[str, Any]:
        return {name: tensor.tolist() for name, tensor in self.weights.items()}


class Trials:
    """Runs trials, each distinct one once, and notes what each of them shows."""

    def __init__(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._files, self._done, self._count = files, dict[str, Outcome](), 0
        self.traces: list[Any] = []
        save = checkpoint.save

        def counted(*arguments: Any) -> None:
            self.traces.append("a checkpoint")
            save(*arguments)

        def start_run(mode: str, folder: Path, **about: Any) -> tuple[Any, str]:
            del about["config"]  # every option stands there, whether it acts or not
            self.traces.append(f"W&B {mode} {sorted(about.items())}")
            quiet = SimpleNamespace(step=0, summary={}, log=lambda *_, **__: None, finish=lambda **_: None, url="")
            return quiet, "no server here"

        monkeypatch.setattr(checkpoint, "save", counted)
        monkeypatch.setattr(background, "start_run", start_run)

    def run(self, values: Values) -> Outcome:
        key = json.dumps(dict(values), sort_keys=True)
        if key not in self._done:
            self._count += 1
            self._done[key] = self._run({"output_dir": str(self._files / f"out{self._count}")} | dict(values))
        return self._done[key]

    def _run(self, values: Values) -> Outcome:
        self.traces = []
        try:
            o = from_dict(nested(json.loads(json.dumps(values).replace("{files}", str(self._files)))))
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                result = trial.run(o, make_analysis=make_analysis if o.analysis.every else None)
            self.traces.append(f"{len(printed.getvalue().splitlines())} lines")
        except OptionError as error:
            return Outcome(refused=str(error))
        assert result is not None
        folder, spec = folder_of(o), trial_spec(o)
        saved = checkpoint.load(folder, torch.device("cpu")) or {}
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        where = str(folder.relative_to(self._files)) if "elsewhere" in str(folder) else f"{o.name}/{folder.name}"
        speeds = ("images_per_second", "tokens_per_second")
        rows = [{k: v for k, v in row.items() if k not in speeds} for row in read_rows(folder)]
        traces = [where.replace(spec.identity, ""), names, result["data"]["fingerprint"], *self.traces]
        return Outcome("", spec.identity, spec.unused, rows, result["metrics"], saved.get("model", {}), traces)


def nested(values: Values) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        part = tree
        for group in groups:
            part = part.setdefault(group, {})
        part[last] = value
    return tree


def default(name: str) -> Any:
    value: Any = Options()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def other_values(name: str, given: Values) -> list[Any]:
    """The values to try beside those given: those of the table, or by the option's type."""
    now = given.get(name, default(name))
    hint: Any = Options
    for part in name.split("."):
        hint = unwrap(hints(hint)[part])[0]
    choices: tuple[Any, ...] = (False, True) if hint is bool else get_args(hint) if get_origin(hint) is Literal else ()
    values = WALKS[name].values or choices
    assert values, f"give values for {name} in tests/train/option_values.py: its type does not tell them"
    return [value for value in values if value != now]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    files = tmp_path_factory.mktemp("walk")
    make_files(files)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        runner = Trials(files, patch)
        torch.save(runner.run(BASE | {"seed": 7}).weights, files / "weights.pt")
        yield runner
    torch.set_num_threads(threads)


def test_the_table_has_every_option() -> None:
    missing = [name for name in NAMES if name not in WALKS]
    assert not missing, f"add to WALKS in tests/train/option_values.py other values, and what they need, of {missing}"
    assert not [name for name in WALKS if name not in NAMES]


@pytest.mark.parametrize("name", TRIED)
def test_an_option_acts_or_is_declared_not_to(name: str, trials: Trials) -> None:
    walk = WALKS[name]
    given = BASE | dict(walk.context)
    before, values = trials.run(given), other_values(name, given)
    assert values
    for value in values:
        after = trials.run(given | {name: value})
        check(name, value, before, after)
        if not walk.silent and not before.refused + after.refused:
            assert after.trained() != before.trained() or after.traces != before.traces, (
                f"nothing shows that {name} was read"
            )


def contexts() -> Iterator[Any]:
    for context in CONTEXTS:
        for name in TRIED:
            yield pytest.param(context, name, marks=[] if name.startswith(QUICK.get(context, ())) else pytest.mark.slow)


@pytest.mark.parametrize(("context", "name"), list(contexts()))
def test_where_an_option_cannot_act_it_has_no_part_in_the_identity(name: str, context: str, trials: Trials) -> None:
    given = BASE | CONTEXTS[context]
    before = trials.run(given)
    assert not before.refused
    for value in other_values(name, given):
        check(name, value, before, trials.run(given | {name: value}))


def check(name: str, value: Any, before: Outcome, after: Outcome) -> None:
    """Trials of one identity have one result, and trials of two have two; or one of them was refused."""
    given = f"{name}={value}"
    if after.refused or before.refused:
        assert after.refused != before.refused
        assert name.split(".")[-1] in (after.refused or before.refused), given
    elif after.identity != before.identity and name in ALIASES:
        pass
    elif after.identity != before.identity:
        assert after.trained() != before.trained(), given
    else:
        assert name in RUNTIME or name.split(".")[0] in RUNTIME or name in after.unused or (name, value) in UNNAMED, (
            given
        )
        check_equal(name, before, after)


def check_equal(name: str, before: Outcome, after: Outcome) -> None:
    """What a RUNTIME option must leave as it is."""
    walk = WALKS[name]
    if walk.draws and any("rate/" in key for row in before.rows for key in row):
        return
    if walk.rounding:
        assert after.metrics == pytest.approx(before.metrics, rel=1e-3)
        return
    assert after.metrics == before.metrics
    if name != "logger.every":  # it says which rows there are; those with `lr` are not of an analysis
        assert [row for row in after.rows if "lr" in row] == [row for row in before.rows if "lr" in row]
    if name != "keep_weights":
        assert after.weights_as_lists() == before.weights_as_lists()


def test_momentum_is_reset_exactly_where_timm_does_not_use_it() -> None:
    for optimizer in timm.optim.list_optimizers():
        spec = trial_spec(from_dict({"optimizer": {"name": optimizer, "momentum": 0.5}}))
        used = timm.optim.get_optimizer_info(optimizer).has_momentum
        assert ("optimizer.momentum" in spec.unused) != used, optimizer
