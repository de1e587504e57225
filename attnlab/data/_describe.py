"""From a listing and the labels of its three parts to the `Reading` that people see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnlab.data._dataset import Part
from attnlab.data._listing import Listing
from attnlab.data.reading import TITLES, PartReading, Reading, enumerated, group

PARTS = {"train": Part.TRAIN, "validation": Part.VALIDATION, "test": Part.TEST}


def describe(
    listing: Listing,
    parts: Mapping[str, np.ndarray],
    drawn: Mapping[str, str],
    warnings: Sequence[str] = (),
    more: Sequence[tuple[str, str]] = (),
) -> Reading:
    """The reading of a listing whose images have been split.

    Args:
        parts: the labels of the images of each part, int64 (n,).
        drawn: how the parts were made that do not come from the source.
        warnings: further ones, of the splitting.
        more: further files that are left out, found by decoding.
    """
    count = len(listing.class_names)
    told = tuple(
        PartReading(
            name,
            drawn.get(name) or listing.origins.get(PARTS[name], "the rest"),
            tuple(np.bincount(labels, minlength=count).tolist()),
        )
        for name, labels in parts.items()
    )
    return Reading(
        sentence=listing.sentence,
        layout=listing.layout,
        class_names=listing.class_names,
        parts=told,
        masks=sum(item.mask is not None for item in listing.items if item.part is not Part.UNUSED),
        left_out=group([*more, *listing.skipped]),
        warnings=(*listing.warnings, *warnings, *_missing(told, listing.class_names)),
        choices=listing.choices,
    )


def _missing(parts: Sequence[PartReading], class_names: Sequence[str]) -> list[str]:
    """Sentences on classes that are not in every part."""
    sentences = []
    totals = np.sum([part.counts for part in parts], axis=0)
    for part in parts:
        missing = [label for label, count in enumerate(part.counts) if count == 0]
        if not missing:
            continue
        few = all(totals[label] < len(parts) for label in missing)
        names = enumerated([class_names[label] for label in missing])
        why = f", because there are too few pictures ({', '.join(str(totals[label]) for label in missing)})" if few else ""
        what = {
            "train": "so the network cannot learn them",
            "validation": "so the best epoch is chosen without them",
            "test": "so nothing is known about how well they are recognised",
        }[part.part]
        sentences.append(f"The {TITLES[part.part].lower()} part has no picture of {names}{why}, {what}.")
    return sentences
