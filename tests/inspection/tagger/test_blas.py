"""Threads of numpy's matrix products."""

from __future__ import annotations

from gateway.inspection.tagger.blas import libraries, use_one_thread


def test_one_thread() -> None:
    """After the call, numpy's own OpenBLAS uses one thread."""
    for library in libraries():
        library.scipy_openblas_set_num_threads64_(2)
    use_one_thread()
    assert [library.scipy_openblas_get_num_threads64_() for library in libraries()] == [1]
