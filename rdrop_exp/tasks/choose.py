"""Which task the options pose."""

from rdrop_exp.config.options import Options
from rdrop_exp.config.registry import DATA_SETS, TASKS
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.data.datasets import NAMES
from rdrop_exp.tasks import classification, images
from rdrop_exp.tasks.task import Task, kind_of
from rdrop_exp.text.readers import READERS


def check_monte_carlo(options: Options) -> None:
    """`OptionError` where the mean prediction of several passes is not one of a class."""
    task = task_of(options)
    if options.monte_carlo and not task.classifies:
        raise OptionError(f"monte_carlo={options.monte_carlo} is for classification, which {task.name} is not")


def task_of(options: Options) -> Task:
    """The task of the data set; `OptionError` for a name that is none."""
    name, packaged, own = options.dataset.name, (*NAMES, *READERS), (*DATA_SETS, *TASKS)
    if name in packaged and name in own:
        raise OptionError(f"dataset.name={name} is the package's: choose another name for the plugin's")
    if name in TASKS:
        task = TASKS[name](options)
        if not isinstance(task, Task):
            raise OptionError(
                f"dataset.name={name}: the plugin's function returned a {type(task).__name__}, not a Task"
            )
        return task
    if name not in packaged + own:
        raise OptionError(f"dataset.name={name} is not a data set{nearest(name, packaged + own)}")
    kind = kind_of(options.dataset)
    if kind == "language":
        from rdrop_exp.tasks import language

        return language.task()
    if kind == "pair":
        from rdrop_exp.tasks import seq2seq

        return seq2seq.task(options)
    return images.task() if kind == "image" else classification.task(options)
