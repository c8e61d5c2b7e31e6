"""Trials and sweeps from a notebook: run them, load them, compare them."""

import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Overrides = Iterable[str] | Mapping[str, Any] | Options


class LoadedTrial:
    """One trial: `folder`, and what result.json holds as `result`."""

    def __init__(self, folder: Path, result: dict[str, Any]) -> None:
        self.folder, self.result = folder, result

    @property
    def options(self) -> Options:
        """As the trial was run."""
        from rdrop_exp.config.checks import from_dict

        return from_dict(self.result["options"])

    def metrics(self) -> "pd.DataFrame":
        """A row for each row of metrics.jsonl."""
        return _pandas().read_json(self.folder / "metrics.jsonl", lines=True)

    def model(self, device: str = "") -> "nn.Module":
        """The network with the tested weights, in eval mode; `OptionError` if they or the data are gone."""
        from rdrop_exp.analysis.rebuild import rebuild
        from rdrop_exp.report.collect import collect

        (trial,), _ = collect([self.folder])
        rebuilt = rebuild(trial, device)
        rebuilt.setup.network.load_state_dict(rebuilt.weights)
        return rebuilt.setup.network.eval()


def run(overrides: Overrides = ()) -> LoadedTrial:
    """One trial with these options, as the command `rdrop-exp` runs it: a finished one is loaded.

    Args:
        overrides: Words as on the command line, a dictionary of options, or `Options`.

    Raises:
        OptionError: What the command would refuse, or the trial is running in another process.

    Examples:
        >>> import tempfile, rdrop_exp
        >>> words = ["debug=tiny", "model=resnet_micro_8", "dataset.image_size=8", "logger.progress=false"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trial = rdrop_exp.run([*words, f"output_dir={folder}"])  # doctest: +ELLIPSIS
        ...     logits = trial.model()(__import__("torch").zeros(2, 1, 8, 8))
        digits-...
        >>> trial.result["status"], tuple(logits.shape)
        ('finished', (2, 10))
    """
    from rdrop_exp.cli import analysis_of
    from rdrop_exp.train import trial

    words = [] if isinstance(overrides, Options) else _words(overrides)
    options = overrides if isinstance(overrides, Options) else _composed(words)
    _, folder, _ = placed = trial.place(options)
    result = trial.run(options, shlex.join(["rdrop-exp", *words]), analysis_of(options), placed)
    if result is None:
        raise OptionError(f"another process is running this trial: {folder}")
    return LoadedTrial(folder, result)


def sweep(overrides: Iterable[str] | Mapping[str, Any]) -> int:
    """Run `rdrop-exp -m` with these options in a process of its own and show its output; returns its exit code.

    Examples:
        >>> import rdrop_exp
        >>> rdrop_exp.sweep(["regularizer=none,dropout", "hydra.launcher.dry_run=true"])  # doctest: +ELLIPSIS
        2 trials: ...
        0
    """
    command = [sys.executable, "-m", "rdrop_exp", "-m", *_words(overrides)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
    return process.returncode


def load(folder: str | Path) -> LoadedTrial:
    """A finished trial from its folder; `OptionError` where there is none.

    Examples:
        >>> import rdrop_exp
        >>> rdrop_exp.load("nowhere")
        Traceback (most recent call last):
        rdrop_exp.config.schema.OptionError: nowhere is not the folder of a finished trial: it has no result.json
    """
    from rdrop_exp.runs.folder import finished, read_result

    folder = Path(folder)
    if not finished(folder):
        raise OptionError(f"{folder} is not the folder of a finished trial: it has no result.json")
    return LoadedTrial(folder, read_result(folder))


def compare(folders: str | Path | Iterable[str | Path], baseline: str = "") -> "pd.DataFrame":
    """The comparison of `rdrop-report` as a data frame: a row for each group, best on validation first.

    Args:
        folders: One or several folders of trials.
        baseline: Label of the group to compare with, such as "dropout"; empty: chosen as by `rdrop-report`.

    Examples:
        >>> import rdrop_exp
        >>> rdrop_exp.compare("nowhere")
        Traceback (most recent call last):
        rdrop_exp.config.schema.OptionError: folder not found: nowhere
    """
    from rdrop_exp.report.compare import make_report
    from rdrop_exp.report.export import records

    several = [folders] if isinstance(folders, str | Path) else folders
    report = make_report([Path(folder) for folder in several], baseline)
    return _pandas().DataFrame([row for comparison in report.comparisons for row in records(comparison)])


def _words(overrides: Iterable[str] | Mapping[str, Any]) -> list[str]:
    from hydra_slots.overrides import in_words

    if isinstance(overrides, str):
        return shlex.split(overrides)
    return in_words(overrides) if isinstance(overrides, Mapping) else list(overrides)


def _composed(words: list[str]) -> Options:
    from rdrop_exp.cli import check_chosen, compose, hydra_ready
    from rdrop_exp.config.arguments import arrange

    with hydra_ready():
        options = compose(arrange(words), words)
    check_chosen(options, words)
    return options


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise OptionError("data frames need pandas: pip install 'rdrop-exp[pandas]'") from None
    return pandas
