"""TensorBoard: event files in the trial's folder, for `tensorboard --logdir outputs/alpha`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from rdrop_exp.config.identity import TrialSpec


class Writer:
    def __init__(self, spec: TrialSpec, folder: Path) -> None:
        """Files of a stopped part are replaced by all rows: TensorBoard shows every file of a folder."""
        for file in (folder / "tensorboard").glob("events.out.tfevents.*"):
            file.unlink()
        self.writer, self.step = SummaryWriter(str(folder / "tensorboard")), 0
        self.writer.add_text("options", f"```\n{json.dumps(asdict(spec.options), indent=1)}\n```")

    def log(self, row: dict[str, Any]) -> None:
        self.step = int(row["step"])
        for name in row.keys() - {"step"}:
            self.writer.add_scalar(name, row[name], self.step)

    def summary(self, values: dict[str, Any]) -> None:
        for name in values:
            self.writer.add_scalar(name, values[name], self.step)

    def close(self, failed: bool) -> None:
        self.writer.close()
