"""Which pictures are masks of others: those of a folder of masks, and those beside a picture with ``_mask`` in the name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from posixpath import basename, splitext

from attnlab.data._source import Skip
from attnlab.data._tree import Folder, grow
from attnlab.data._words import IMAGE_WORDS, MASK_FOLDERS, part_name, plain_name, words

MASK_ENDING = re.compile(r"[_-](mask|segmentation|seg)([_-]?\d+)?$", re.IGNORECASE)
"""The end of a mask's name; a picture with several has them numbered."""
LEAST_MATCHING = 0.5
"""Share of the files in a folder of masks that must be named like a picture."""


class MaskFinder:
    """Finds the mask of a picture: ``masks/<path of the picture>``, ``masks/**/<name>`` if that name is unique, or a file
    beside the picture. A mask is named like its picture, with any suffix, optionally with a `MASK_ENDING`.

    A folder of the usual name counts as one of masks only when its files are named like the pictures, and when it is not
    one of several alike: among ``gloves``, ``hats`` and ``masks`` it is a class.

    Args:
        pictures: all names with the suffix of a picture.
        folder_name: of the folder of masks; empty: there are no masks at all.
        sure: the folder was named by a person, so it is taken as it is; otherwise any usual name counts, `MASK_FOLDERS`, and
            any folder in which all names end as those of masks do.
        by_table: the classes come from a table, so no folder is a class.

    Attributes:
        folders: paths of the folders of masks.
        denied: paths of folders of such a name that do not hold masks.
        further: masks beside a picture that has one already.
    """

    def __init__(self, pictures: Iterable[str], folder_name: str, *, sure: bool = False, by_table: bool = False) -> None:
        pictures = list(pictures)
        self.folders: list[str] = []
        self.denied: list[str] = []
        self.further: list[Skip] = []
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._beside: dict[str, str] = {}
        self._masks: set[str] = set()
        if not folder_name:
            return
        for parent in list(grow(pictures).walk()):
            for name, folder in parent.folders.items():
                named = name == folder_name if sure else plain_name(name) in MASK_FOLDERS or _marked(folder)
                if not named or any(f"{folder.path}/".startswith(f"{path}/") for path in self.folders):
                    continue
                if sure or _holds_masks(folder, parent, by_table=by_table):
                    self._take(folder, parent)
                else:
                    self.denied.append(folder.path)
        stems = {splitext(name)[0] for name in pictures}
        for name in sorted(pictures, key=len):
            stem = splitext(name)[0]
            bare = _without_ending(stem)
            if bare != stem and bare in stems and self._beside.setdefault(bare, name) != name:
                self.further.append(Skip(name, "a further mask of a picture; the first one is used"))
        self._masks = {*self._by_path.values(), *self._beside.values(), *(name for name, _ in self.further)}

    @property
    def beside(self) -> int:
        """The number of masks that lie beside their picture."""
        return len(self._beside)

    def is_mask(self, name: str) -> bool:
        return name in self._masks

    def of(self, image: str) -> str | None:
        """The mask of a picture."""
        if not self._masks:
            return None
        stem = splitext(image)[0]
        same_name = self._by_stem.get(basename(stem), [])
        return self._by_path.get(stem) or self._beside.get(stem) or (same_name[0] if len(same_name) == 1 else None)

    def _take(self, folder: Folder, parent: Folder) -> None:
        self.folders.append(folder.path)
        beside = [other.path for other in parent.folders.values() if other is not folder]
        places = [parent.path, *(beside if len(beside) == 1 else ())]  # masks/a/1.png of a/1.jpg, or of images/a/1.jpg
        for name in folder.all_pictures():
            inner = _without_ending(splitext(folder.below(name))[0])
            for place in places:
                self._by_path[f"{place}/{inner}" if place else inner] = name
            self._by_stem[basename(inner)].append(name)


def _marked(folder: Folder) -> bool:
    """Whether all names in a folder end as those of masks do."""
    return bool(folder.pictures) and all(MASK_ENDING.search(splitext(name)[0]) for name in folder.pictures)


def _holds_masks(folder: Folder, parent: Folder, *, by_table: bool) -> bool:
    """Whether a folder with the usual name really holds masks of the pictures beside it."""
    beside = {name: other for name, other in parent.folders.items() if other is not folder}
    stems: dict[str, list[str]] = defaultdict(list)
    paths: set[str] = set()
    for name, other in beside.items():
        for picture in other.all_pictures():
            stem = splitext(picture)[0]
            stems[basename(stem)].append(name)
            paths.update((parent.below(stem), other.below(stem)))
    for picture in parent.pictures:
        stems[basename(splitext(picture)[0])].append("")
    inner = [_without_ending(splitext(folder.below(name))[0]) for name in folder.all_pictures()]
    unique = [stems[basename(stem)][0] for stem in inner if len(stems.get(basename(stem), ())) == 1]
    matching = sum(stem in paths or len(stems.get(basename(stem), ())) == 1 for stem in inner)
    if matching < LEAST_MATCHING * len(inner):
        return False
    named_as_pictures = len(beside) == 1 and bool(named := set(words(next(iter(beside))))) and named <= IMAGE_WORDS
    if by_table or named_as_pictures:
        return True
    if folder.folders and (set(folder.folders) <= set(beside) or all(part_name(name) for name in beside)):
        return True  # the tree of the pictures, once more
    # One flat folder among the classes: its files are named after pictures of several of them.
    several = len(set(unique)) > 1 and len(unique) >= LEAST_MATCHING * len(inner)
    return several and not (folder.folders and all(other.folders for other in beside.values()))


def _without_ending(stem: str) -> str:
    return MASK_ENDING.sub("", stem)
