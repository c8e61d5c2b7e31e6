"""Run by `pytest`."""

import my_plugin
import torch

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.regularizer import Regularizer


def test_the_schedule_rises_and_falls() -> None:
    shares = [my_plugin.triangle(Regularizer(), t, 5, 10) for t in range(10)]
    assert max(shares) == shares[5] == 1
    assert all(0 <= share <= 1 for share in shares)


def test_the_divergence_is_symmetric_and_zero_for_equal_passes() -> None:
    a, b = torch.randn(2, 4, 3).unbind()
    assert torch.equal(my_plugin.total_variation(a, a), torch.zeros(4))
    for fixed in (False, True):
        assert torch.allclose(my_plugin.total_variation(a, b, fixed), my_plugin.total_variation(b, a, fixed))


def test_the_data_set_has_a_label_for_each_image() -> None:
    sets, names = my_plugin.stripes(Dataset())
    for images, labels in sets.values():
        assert len(images) == len(labels)
        assert set(labels) == set(range(len(names)))
