"""Words in the names of folders, tables and columns: which part of a data set they mean, as people and Kaggle write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attnlab.data._dataset import Part

PART_WORDS = {
    **dict.fromkeys(("train", "training", "trainval", "trn"), Part.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), Part.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), Part.TEST),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "inference"), Part.UNUSED),
}
_WORD = re.compile(r"\w+")
IMAGE_WORDS = frozenset(
    _WORD.findall("image images img imgs picture pictures pic pics photo photos jpeg jpg png data input inputs")
)
COMPANIONS = IMAGE_WORDS | frozenset(
    _WORD.findall("set sets dataset datasets folder dir split part sample samples file files label labels list")
)
"""Words that say nothing about which part it is, so ``train_images`` is as plain as ``train``."""
LABEL_COLUMNS = _WORD.findall(
    "target label labels class classes class_name classname dx diagnosis category categories y species breed disease type "
    "benign_malignant diagnostic ground_truth groundtruth gt tag class_id classid label_id category_id condition"
)
"""Names of the column with the classes, the likeliest first."""
PARTIAL = re.compile(r"part|fold|batch|chunk|shard|images?|volume", re.IGNORECASE)


@dataclass(frozen=True)
class PartName:
    """What a name says about a part.

    Attributes:
        part: UNUSED for pictures without classes, as in ``seg_pred``.
        rest: the other words, as ``seg`` in ``seg_train``; usual names of one set share them.
    """

    part: Part
    rest: tuple[str, ...] = ()


def part_name(name: str) -> PartName | None:
    """What a name says about a part; `None` when it names none, as most class names do."""
    parts: list[Part] = []
    rest: list[str] = []
    for word in words(name):
        part = _part(word)
        if part is not None:
            parts.append(part)
        elif word not in COMPANIONS:
            rest.append(word)
    if parts == [Part.TRAIN, Part.VALIDATION]:  # train_val: what is not for testing
        parts.pop()
    return PartName(parts[0], tuple(rest)) if len(parts) == 1 else None


def words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers: ``ISIC_2019TrainImages`` -> ``isic train images``."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", apart.lower())


def _part(word: str) -> Part | None:
    if word in PART_WORDS:
        return PART_WORDS[word]
    for known, part in PART_WORDS.items():  # trainset, testdata
        if word.startswith(known) and word[len(known) :] in COMPANIONS:
            return part
    return None
