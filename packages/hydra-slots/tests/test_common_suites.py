"""Hydra's own tests of launchers, for `slots` with Hydra's basic sweeper and with `union`."""

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

pytestmark = pytest.mark.slow
Plugins.instance()  # the suites restore Hydra's singletons as they were, and Hydra 1.4 fills those only once
QUICK = ["hydra.launcher.slots=1", "hydra.launcher.stagger=0"]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("slots", QUICK)])
class TestLauncher(LauncherTestSuite):
    """One worker."""


@pytest.mark.parametrize(("launcher_name", "overrides"), [("slots", [*QUICK, "hydra.sweeper.max_batch_size=2"])])
class TestBatches(BatchedSweeperTestSuite):
    """A sweeper that launches several times."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=slots", *QUICK])], ids=["basic"]
)
class TestIntegration(IntegrationTestSuite):
    """With Hydra's sweeper."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/sweeper=union", "hydra/launcher=slots", *QUICK])],
    ids=["union"],
)
class TestIntegrationWithUnion(IntegrationTestSuite):
    """With our sweeper."""
