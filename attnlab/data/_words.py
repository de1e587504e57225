"""Words in the names of folders, tables and columns: which part of a data set they mean, as people and Kaggle write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attnlab.data._dataset import Part

PART_WORDS = {
    **dict.fromkeys(("train", "training", "trainval", "trn", "tr"), Part.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development", "va"), Part.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "te", "eval", "evaluation", "holdout"), Part.TEST),
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
MASK_FOLDERS = frozenset(
    _WORD.findall(
        "mask masks annotation annotations label labels ground_truth groundtruth gt segmentation segmentations trimaps"
    )
)
"""Plain names of folders with masks, if what they hold is named like the pictures."""
IMAGE_COLUMNS = _WORD.findall(
    "image image_id imageid image_name imagename image_path filename file_name file filepath file_path filepaths path id "
    "id_code name"
)
"""Names of the column with the pictures."""
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


def plain_name(name: str) -> str:
    """A name in lower case, its words joined by ``_``: ``Ground Truth`` -> ``ground_truth``."""
    return "_".join(name.lower().replace("-", " ").replace("_", " ").split())


def _part(word: str) -> Part | None:
    if word in PART_WORDS:
        return PART_WORDS[word]
    for known, part in PART_WORDS.items():  # trainset, testdata
        if word.startswith(known) and word[len(known) :] in COMPANIONS:
            return part
    return None
