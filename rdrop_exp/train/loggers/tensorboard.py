"""TensorBoard: event files in the trial's folder, for `tensorboard --logdir outputs/alpha`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from rdrop_exp.config.identity import TrialSpec


class TensorBoard:
    def __init__(self, folder: Path) -> None:
        self.writer = SummaryWriter(str(folder))
        self.step = 0

    def log(self, row: dict[str, Any]) -> None:
        self.step = int(row["step"])
        for name in row.keys() - {"step"}:
            self.writer.add_scalar(name, row[name], self.step)

    def summary(self, values: dict[str, Any]) -> None:
        for name in values:
            self.writer.add_scalar(f"final/{name}", values[name], self.step)

    def close(self, failed: bool) -> None:
        self.writer.close()


def start(spec: TrialSpec, folder: Path, earlier: list[dict[str, Any]]) -> TensorBoard:
    """Files of a stopped part are replaced by all rows: TensorBoard shows every file of a folder."""
    for file in (folder / "tensorboard").glob("events.out.tfevents.*"):
        file.unlink()
    logger = TensorBoard(folder / "tensorboard")
    logger.writer.add_text("options", f"```\n{json.dumps(asdict(spec.options), indent=1)}\n```")
    for row in earlier:
        logger.log(row)
    return logger
