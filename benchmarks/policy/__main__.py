"""The command."""

import sys

from benchmarks.policy.run import main

sys.exit(main())
