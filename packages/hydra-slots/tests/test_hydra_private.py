"""What is private in Hydra and used all the same: these fail when a new version changes it."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from hydra_slots.hydra_private import apply_overrides, is_unknown_key, replace_outcome, returned_or_raised


def apply(*lines):
    cfg = OmegaConf.create({"a": 1, "b": {"c": [1], "d": "x"}})
    OmegaConf.set_struct(cfg, True)
    apply_overrides(OverridesParser.create().parse_overrides(list(lines)), cfg)
    return cfg


def test_overrides_change_add_and_remove_values_as_after_composing():
    assert apply("a=2", "b.c=[2,3]", "+b.e=null", "++f=true", "~b.d") == {
        "a": 2,
        "b": {"c": [2, 3], "e": None},
        "f": True,
    }


def test_an_unknown_key_is_told_from_other_errors():
    with pytest.raises(ConfigCompositionException) as unknown:
        apply("b.z=1")
    assert is_unknown_key(unknown.value)
    with pytest.raises(ConfigCompositionException) as other:
        apply("~a=7")
    assert not is_unknown_key(other.value)


def test_a_failed_job_keeps_its_error():
    job = JobReturn(status=JobStatus.FAILED)
    job.return_value = error = ValueError("no")
    assert returned_or_raised(job) is error
    replace_outcome(job, "text")
    assert returned_or_raised(job) == "text"
