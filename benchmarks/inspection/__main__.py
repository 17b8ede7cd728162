"""`python -m benchmarks.inspection`."""

import sys

from benchmarks.inspection.run import main

if __name__ == "__main__":
    sys.exit(main())
