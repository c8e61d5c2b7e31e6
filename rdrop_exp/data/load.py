"""The three sets that the options describe: held on the device, or streamed from files."""

import torch

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data import datasets
from rdrop_exp.data.batch import Data


def load_data(options: Dataset, *, batch_size: int, seed: int, device: torch.device) -> Data:
    """The data set that the options describe; `OptionError` where its files are missing or an option does not fit."""
    source = datasets.load(options)
    if options.resident:
        from rdrop_exp.data.resident import Resident

        return Resident(source, options, batch_size=batch_size, seed=seed, device=device)
    from rdrop_exp.data.stream import Streamed

    return Streamed(source, options, batch_size=batch_size, seed=seed, device=device)
