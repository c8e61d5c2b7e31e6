"""What the ranks of a trial other than the first do: train along, and write nothing."""

from collections.abc import Callable
from typing import Any

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.config.schema import OptionError
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train import checkpoint
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.loop import train
from rdrop_exp.train.parallel import World
from rdrop_exp.train.rows import TrainingError
from rdrop_exp.train.setup import Setup, set_up
from rdrop_exp.train.state import Progress
from rdrop_exp.train.stopping import Paused, pauses, signals, stop

MakeAnalysis = Callable[[Setup], Callable[[int], Row]]


def follow(world: World, make_analysis: MakeAnalysis | None) -> None:
    """Set up and train where the first rank does; it may be refused, or have nothing to do."""
    if (trial := world.start()) is None:
        return
    spec, folder = trial
    o = spec.options
    setup = world.together(lambda: _set_up(spec, world))
    if (step := world.start()) is None:
        return
    saved = checkpoint.load(folder, setup.device, spec.identity) if step else None
    if step and (saved is None or saved["state"]["step"] != step):
        raise RuntimeError(f"no checkpoint of step {step} in {folder}: output_dir must be one folder for all ranks")
    analyse = make_analysis(setup) if make_analysis and o.analysis.every else None
    with signals(world.echo) as received:

        def hook(p: Progress, state_dict: Callable[[], dict[str, Any]]) -> None:
            if number := world.highest(*received[:1] or [0]):
                stop(number)
            if pauses(o, p, setup.data.steps_per_epoch):
                raise Paused

        try:
            train(setup, saved, lambda row: 0, hook, analyse)
        except (TrainingError, Paused):  # which all ranks have: the first one reports it
            return
        except (KeyboardInterrupt, SystemExit):
            world.end()
            raise


def _set_up(spec: TrialSpec, world: World) -> Setup:
    dataset = spec.options.dataset
    if task_of(spec.options).fingerprint(dataset) != spec.fingerprint:
        raise OptionError(f"dataset.root={dataset.root} has other files for rank {world.rank} than for rank 0")
    return set_up(spec.options, world)
