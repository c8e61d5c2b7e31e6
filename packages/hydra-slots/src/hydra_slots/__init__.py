"""A sweeper and a launcher for any Hydra application: unions of grids on GPUs or cores, resumed after crashes.

    hydra/sweeper: union     plain `-m a=1,2 b=3,4`, also across groups that do not share a key, lists that move
                             together (`hydra.sweeper.together=a+b`), and named sweeps from YAML files
                             (`hydra.sweeper.sweep=NAME`, see `sweep_file`); everything is expanded, checked and
                             de-duplicated before the first trial starts
    hydra/launcher: slots    one warm worker process per slot of a GPU or of CPU cores; isolates, retries, resumes

Hydra finds both once the package is installed. Two lines of its primary configuration give them to any application, and
`register()` before `hydra.main` sets defaults of its own for their options:

    defaults: [_self_, {override hydra/sweeper: union}, {override hydra/launcher: slots}]
    hydra: {sweep: {dir: outputs}}      # a fixed folder, so that the same command finds its trials again

Trials. Each combination of overrides is a `PlannedTrial`: an identity, equal where the result must be equal, and a
folder of its own, which its task gets as Hydra's runtime output directory. `hydra.sweeper.describe: module:function`
names the application's function from a composed configuration (without Hydra's node) to a `PlannedTrial`; a ValueError
refuses the whole sweep. Decorated by `takes_values` it is given nested dictionaries where they say the same, for plans
of 100,000 trials. Without one the identity is a hash of the configuration without the keys in `hydra.sweeper.ignore`,
the folder is `<hydra.sweep.dir>/<identity>`, and the task is wrapped (`protocol.Once`), under any launcher, so that it
follows the protocol by itself.

The protocol is a set of files in the trial's folder:

    result.json     `"status": "finished"`: the trial is not run again; `"failed"`: it is run again.
                    Optional: `"seconds"` (of work; for estimates), `"metrics"` ({name: number}), `"value"` (what the
                    task returned), `"error"`
    claim           locked by the process that runs the trial (`hydra_slots.lock`), so that none runs twice
    checkpoint.pt   or config.yaml: the trial was started, and its task resumes it
    metrics.jsonl   its last line is the live progress: `progress` (0 to 1) and whatever `hydra.launcher.columns` shows
    log.txt         the task's output
"""

from hydra_slots.hooks import takes_values
from hydra_slots.registration import arguments, register, why_unknown
from hydra_slots.sweep_plan import PlannedTrial

__all__ = ["PlannedTrial", "arguments", "register", "takes_values", "why_unknown"]
