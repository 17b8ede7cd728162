"""One thread for numpy's matrix products.

They are small here: shared out over threads they take several times the processor time, and the gateway has its own
processes for parallel work. numpy has no setting for this and reads OPENBLAS_NUM_THREADS only when it is imported.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np


def libraries() -> list[ctypes.CDLL]:
    """The OpenBLAS that numpy's wheels from PyPI carry; none where numpy was built with another library."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    return [ctypes.CDLL(str(path)) for path in sorted(folder.glob("libscipy_openblas64_*"))]


def use_one_thread() -> None:
    """From now on, in the whole process. Does nothing where numpy was built with another library."""
    for library in libraries():
        library.scipy_openblas_set_num_threads64_(1)
