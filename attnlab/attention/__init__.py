"""Attention blocks: each maps (B, C, H, W) to the same shape, with its weights passing through a named tap. A mixer, which
takes the place of a convolution, may change the number of channels.

Every module of this package without a leading underscore is imported here and registers its variants; an error in one
of them is raised, not hidden. Variants outside this package are plug-ins (`attnlab.plugins`).
"""

from importlib import import_module
from pkgutil import iter_modules

from attnlab.attention._calls import OnCall, reported_calls
from attnlab.attention._derived import record_derived
from attnlab.attention._geometry import CellWalk, Located, locate_calls, locate_maps, walk_cells, with_cells
from attnlab.attention._modes import evaluating
from attnlab.attention._pairwise import PairwiseAttention, RowsOnDemand, TokenAttention
from attnlab.attention._registry import (
    NONE,
    Combine,
    Symbol,
    Variant,
    blocks_of,
    build_attention,
    build_mixer,
    get_attention,
    list_attention,
    mixers,
    options_of_a_new_run,
    register_attention,
    split_composition,
    split_mixer,
    start_as_identity,
)
from attnlab.attention._tap import (
    ASIDE,
    AttentionMap,
    AttentionTap,
    attention_scalars,
    attention_taps,
    edit_attention,
    fix_weights,
    neutral_weights,
    record_attention,
    to_spatial,
    to_strength,
    weight_rows,
)
from attnlab.maps import MapKind, MapScale

for _module in iter_modules(__path__):
    if not _module.name.startswith("_"):
        import_module(f"{__name__}.{_module.name}")

__all__ = [
    "ASIDE",
    "NONE",
    "AttentionMap",
    "AttentionTap",
    "CellWalk",
    "Combine",
    "Located",
    "MapKind",
    "MapScale",
    "OnCall",
    "PairwiseAttention",
    "RowsOnDemand",
    "Symbol",
    "TokenAttention",
    "Variant",
    "attention_scalars",
    "attention_taps",
    "blocks_of",
    "build_attention",
    "build_mixer",
    "edit_attention",
    "evaluating",
    "fix_weights",
    "get_attention",
    "list_attention",
    "locate_calls",
    "locate_maps",
    "mixers",
    "neutral_weights",
    "options_of_a_new_run",
    "record_attention",
    "record_derived",
    "register_attention",
    "reported_calls",
    "split_composition",
    "split_mixer",
    "start_as_identity",
    "to_spatial",
    "to_strength",
    "walk_cells",
    "weight_rows",
    "with_cells",
]
