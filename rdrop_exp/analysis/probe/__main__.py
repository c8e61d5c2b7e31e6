"""`python -m rdrop_exp.analysis.probe`."""

import sys

from rdrop_exp.analysis.probe.cli import main

sys.exit(main())
