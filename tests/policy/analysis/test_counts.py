"""Conditions on counts that can hold together, against trying all numbers."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.analysis.counts import Count, combinations

_COUNTS = st.lists(
    st.builds(
        Count, st.sets(st.integers(0, 2), min_size=1).map(lambda groups: tuple(sorted(groups))), st.integers(2, 6)
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=40)
@given(counts=_COUNTS, present=st.tuples(*[st.integers(0, 3)] * 3))
def test_all_combinations_and_no_others(counts: list[Count], present: tuple[int, int, int]) -> None:
    """Exactly the combinations of true and false come out that some numbers have, each once, with such numbers."""
    ranges = [range(low, 13) if low else range(1) for low in present]
    possible = {
        tuple(sum(sums[group] for group in count.groups) >= count.least for count in counts)
        for sums in product(*ranges)
    }
    found = list(combinations(counts, present))
    assert sorted(held for held, _ in found) == sorted(possible)
    for held, sums in found:
        assert all(total >= low and bool(total) == bool(low) for total, low in zip(sums, present, strict=True))
        assert held == tuple(sum(sums[group] for group in count.groups) >= count.least for count in counts)


def test_large_numbers_are_no_trouble() -> None:
    """A million distinct values give the same combinations as twenty in their place, and take no longer."""
    shape = [((0, 1), 10), ((0,), 5), ((1,), 7), ((0, 1, 2), 11)]
    small = [Count(groups, 2 * least) for groups, least in shape]
    large = [Count(groups, 100_000 * least) for groups, least in shape]
    possible = {
        tuple(sum(sums[group] for group in count.groups) >= count.least for count in small)
        for sums in product(range(1, 24), repeat=3)
    }
    assert {held for held, _ in combinations(large, (1, 1, 1))} == possible


def test_numbers_between_the_bounds_are_found() -> None:
    """Two kinds that reach five together, and neither of them alone: three and two, or four and one."""
    counts = [Count((0, 1), 5), Count((0,), 5), Count((1,), 5)]
    assert dict(combinations(counts, (1, 1)))[True, False, False] in {(4, 1), (3, 2), (2, 3), (1, 4)}
