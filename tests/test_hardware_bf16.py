"""Where bf16 pays."""

import pytest

from rdrop_exp import hardware
from rdrop_exp.hardware import bf16_hint


@pytest.mark.parametrize(
    ("amx", "model", "width", "precision", "compiled"),
    [
        (False, "vit_small_patch16_224", None, "fp32", False),
        (True, "resnet18", None, "fp32", False),
        (True, "vit_small_patch16_224", 64, "fp32", False),
        (True, "vit_small_patch16_224", None, "bf16", False),
        (True, "vit_small_patch16_224", None, "fp32", True),
    ],
)
def test_no_hint_where_bf16_was_not_measured_to_pay(
    amx: bool, model: str, width: int | None, precision: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "multiplies_bf16", lambda: amx)
    assert not bf16_hint(model, width, precision, compiled)


def test_the_hint_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "multiplies_bf16", lambda: True)
    assert "precision=bf16" in bf16_hint("mixer_s32_224", 96, "fp32", False)
