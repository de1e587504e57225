"""Gates of the zoo beside independent evaluations of their references; see `tests.interop.parity_cases`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.interop import independent_gates
from tests.interop.parity import Case, Size, block, functional, same_name

SIZES: tuple[Size, ...] = ((8, 8), (9, 7), (1, 1))


def cases() -> Iterator[Case]:
    """All cases, in the order of the table."""
    for norm in ("l2", "l1"):
        yield Case(
            f"gct, norm {norm}",
            "restated from the paper and the description of its public code",
            64,
            SIZES,
            block("gct", norm=norm),
            functional(lambda x, state, train, norm=norm: independent_gates.gct(x, state, norm), same_name, "gct."),
        )
