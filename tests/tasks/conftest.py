"""The data of a module's own OPTIONS, read once."""

import pytest
import torch

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.text.tokens import TokenData


@pytest.fixture(scope="module")
def options(request: pytest.FixtureRequest) -> Options:
    return from_dict(request.module.OPTIONS)


@pytest.fixture(scope="module")
def data(options: Options) -> TokenData:
    found = task_of(options).load(options, torch.device("cpu"))
    assert isinstance(found, TokenData)
    return found
