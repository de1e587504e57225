"""One folder per class, in a folder or an archive.

    CLASS/image.jpg                      a test split is held out by the config's split seed
    train/CLASS/image.jpg                with test/ and val/ beside it (also training, testing, valid, validation);
    test/CLASS/image.jpg                 without test/, val/ is used for testing, as is common
    masks/<the image's path>.png         optional; or image_mask.png beside the image (see `MaskFinder`)

All of this may lie in a further folder. Images in subfolders of a class folder belong to that class.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from attnlab.data._dataset import DataError, Part
from attnlab.data._listing import PART_NAMES, Item, Listing, MaskFinder, PathOptions, find_top, is_image, name_classes, natural
from attnlab.data._source import Index


def list_class_folders(index: Index, options: PathOptions) -> Listing:
    """The images of this layout.

    Raises:
        DataError: when there is no image, a class without images, only one class, or a class without training images.
    """
    top = find_top(index, options)
    masks = MaskFinder(index.files, top, options)
    tops = {steps[0] for name in index.folders if (steps := top.steps(name))} - {options.masks}
    parts = {name: PART_NAMES[name.lower()] for name in tops if name.lower() in PART_NAMES}
    if Part.TRAIN not in parts.values():
        parts = {}
    elif duplicates := [part for part, count in Counter(parts.values()).items() if count > 1]:
        same = ", ".join(sorted(name for name, part in parts.items() if part is duplicates[0]))
        raise DataError(f"the folders {same} mean the same split; keep only one")
    elif Part.TEST not in parts.values():
        parts = {name: Part.TEST if part is Part.VALIDATION else part for name, part in parts.items()}

    depth = 1 if parts else 0
    empty: dict[tuple[Part, str], int] = {}
    for folder in index.folders:
        steps = top.steps(folder)
        if len(steps) == depth + 1 and (steps[0] in parts if parts else steps[0] in tops):
            empty[parts.get(steps[0], Part.TRAIN), steps[depth]] = 0
    images: list[tuple[str, str, Part]] = []
    skipped = list(index.skipped)
    ignored: Counter[str] = Counter()
    for name in index.files:
        steps = top.steps(name)
        if not steps or masks.is_mask(name):
            continue
        if not is_image(name):
            if len(steps) > depth + 1:
                skipped.append(f"{name}: its suffix is not that of an image")
        elif parts and steps[0] not in parts:
            ignored[steps[0]] += 1
        elif len(steps) < depth + 2:
            skipped.append(f"{name}: not in a class folder")
        else:
            images.append((name, steps[depth], parts.get(steps[0], Part.TRAIN)))
            empty.pop((images[-1][2], steps[depth]), None)

    if not images:
        raise DataError(f"there is no image in a class folder; {_expected()}")
    if empty:
        names = ", ".join(sorted({name for _, name in empty}, key=natural))
        raise DataError(f"no images found in the class folder of: {names}; check the folder")
    by_part: dict[Part, set[str]] = defaultdict(set)
    for _, name, part in images:
        by_part[part].add(name)
    labels = sorted(by_part[Part.TRAIN], key=natural)
    if len(labels) < 2:
        raise DataError(f"there is only one class, {labels[0] if labels else 'none'}, to train on; {_expected()}")
    if untrained := sorted((by_part[Part.TEST] | by_part[Part.VALIDATION]) - set(labels), key=natural):
        raise DataError(f"no training image of: {', '.join(untrained)}, which the other splits contain")
    number = {label: i for i, label in enumerate(labels)}
    images.sort(key=lambda entry: (entry[2], number[entry[1]], natural(entry[0])))
    skipped += [f"{name}/: {count} images in a folder that is not a split" for name, count in sorted(ignored.items())]
    return Listing(
        items=tuple(Item(name, number[label], part, masks.of(name)) for name, label, part in images),
        class_names=name_classes(labels, options),
        skipped=tuple(skipped),
        note=_describe(parts),
    )


def _describe(parts: dict[str, Part]) -> str:
    if not parts:
        return "The source has no split; a stratified fifth is held out for testing."
    folders = ", ".join(f"{name}/ for {part.name.lower()}" for name, part in sorted(parts.items()))
    return f"Split by folders: {folders}."


def _expected() -> str:
    return "expected CLASS/image.jpg with two or more classes, with or without train/ and test/ above, or a CSV table"
