"""`python -m rdrop_exp.probe`."""

import sys

from rdrop_exp.probe.cli import main

sys.exit(main())
