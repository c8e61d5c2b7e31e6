"""A Hydra sweeper and a Hydra launcher for any Hydra application: unions of grids, on slots, that lose nothing.

    hydra/sweeper: grid      plain `-m a=1,2 b=3,4`, also across groups that do not share a key, and named sweeps from
                             YAML files (`hydra.sweeper.sweep=NAME`, see `grids`); everything is expanded, checked and
                             de-duplicated before the first trial starts
    hydra/launcher: slots    one warm worker process per slot of a GPU or of CPU cores; isolates, retries, resumes

An installed package is found by Hydra's plugin scan; from a checkout call `register()` before `hydra.main`. Two lines
of its primary configuration then give any application both:

    defaults: [_self_, {override hydra/sweeper: grid}, {override hydra/launcher: slots}]
    hydra: {sweep: {dir: outputs}}      # a fixed folder, so that the same command finds its trials again

What a trial is. Each combination of overrides is a `Trial`: an identity, equal where the result must be equal, and a
folder of its own, which its task gets as Hydra's runtime output directory. `hydra.sweeper.describe: module:function`
names the application's own function from a composed configuration (without Hydra's node) to a `Trial`; any ValueError
it raises refuses the whole sweep. Without one the identity is a hash of the configuration without the keys in
`hydra.sweeper.ignore`, the folder is `<hydra.sweep.dir>/<identity>`, and the task is wrapped (`protocol.Once`), under
any launcher, so that it follows the protocol by itself.

The protocol, all of it files in the trial's folder:

    result.json     finished is what has `"status": "finished"` there, and is not run again; `"failed"` is run again.
                    Optional: `"seconds"` (of work; for estimates), `"metrics"` ({name: number}), `"value"` (what the
                    task returned), `"error"`
    claim           locked by the process that runs the trial (`rdrop_exp.launch.lock`), so that none is run twice
    checkpoint.pt   or config.yaml: the trial has been started, and goes on by itself when its task runs again
    metrics.jsonl   its last line is the live progress: `progress` (0 to 1) and, where there, `epoch`, `train/loss`,
                    `val/accuracy`, `images_per_second`
    log.txt         what the task printed
"""

import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

PLUGIN = "hydra_plugins.rdrop_exp_launch"
"""Hydra insists that plugins live in this namespace; wheels put `plugin.py` there."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the sweeper and the runner need to know of one combination of overrides."""

    identity: str
    """Equal for two combinations whose results must be equal; of those only the first is run."""
    folder: str
    """Where the trial keeps everything."""
    name: str
    """For people."""
    group: str = ""
    """Trials that differ only by their seed share it."""
    work: float = 1.0
    """Expected cost in any unit; the longest are started first."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the plan, such as options that have no effect."""


def register() -> None:
    """Make Hydra know the sweeper `grid` and the launcher `slots`, unless its plugin scan has found them already."""
    import sys
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    from hydra.core.plugins import Plugins

    plugins = Plugins.instance()
    if f"{PLUGIN}.GridSweeper" in plugins.class_name_to_class:
        return
    spec = spec_from_file_location(PLUGIN, Path(__file__).with_name("plugin.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[PLUGIN] = module_from_spec(spec)
    spec.loader.exec_module(module)
    plugins.register(module.GridSweeper)
    plugins.register(module.SlotsLauncher)


def arguments(argv: list[str]) -> list[str]:
    """The command line, rewritten for a multirun so that Hydra leaves to the sweeper what only the sweeper can do.

    `sweep=NAME` becomes `hydra.sweeper.sweep=NAME`. Hydra applies a single value, unlike a list of them, to the default
    choices of all groups at once and so refuses a key that only another choice has: `group.key=1` becomes
    `group.key=choice(1)`. Without -m or --multirun nothing changes.
    """
    if not {"-m", "--multirun"} & set(argv):
        return list(argv)
    rewritten = []
    for word in argv:
        if word.startswith("sweep="):
            word = f"hydra.sweeper.{word}"
        elif match := re.fullmatch(r"((?!hydra\.)\w+(?:\.\w+)+)=(?!\w+\()(.+)", word, re.DOTALL):
            word = f"{match[1]}=choice({match[2]})"
        rewritten.append(word)
    return rewritten


def load_hook(path: str) -> Any:
    """The function that `module:function` names; `SweepError` where there is none."""
    from rdrop_exp.launch.overrides import SweepError

    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SweepError(f"{path} is not a function that can be imported as module:function ({error})") from None
