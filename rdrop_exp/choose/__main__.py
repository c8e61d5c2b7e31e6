"""`python -m rdrop_exp.choose`."""

import sys

from rdrop_exp.choose.cli import main

sys.exit(main())
