"""`rdrop-exp init DIR`: a folder to begin with, of configs, a sweep, a plugin and a task of one's own."""

import shutil
from pathlib import Path

from rdrop_exp.config.schema import OptionError, shown

STARTER = Path(__file__).parents[1] / "starter"
NEXT = """Written to {folder}: conf/, sweeps/, my_plugin.py, my_task.py and test_my_plugin.py. Next:
  cd {folder}
  rdrop-exp experiment=mine     # one trial
  rdrop-exp sweep=mine          # a sweep, with a report at its end"""


def init(arguments: list[str]) -> str:
    """Write the starter into the folder that the arguments name, and return what to say; `OptionError` if it cannot."""
    if len(arguments) != 1 or arguments[0].startswith("-") or not arguments[0].strip():
        raise OptionError("init needs one folder to write to: rdrop-exp init DIR")
    folder = Path(arguments[0])
    if folder.is_file():
        raise OptionError(f"init: {shown(folder)} is a file: name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionError(f"init: {shown(folder)} is not empty: name a new or empty folder")
    try:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(STARTER, folder, ignore=ignored, copy_function=shutil.copyfile, dirs_exist_ok=True)
    except OSError as error:
        raise OptionError(f"init: {shown(folder)} cannot be written: {error.strerror}") from error
    return NEXT.format(folder=shown(folder))
