"""Is a difference more than chance? P-values of one table are corrected together."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given: the k-th smallest of m is multiplied by m - k + 1, made monotone."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests  # half a second, which the first page need not wait for

    return [float(p) for p in multipletests(p_values, method="holm")[1]]
