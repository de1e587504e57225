"""Class folders, in a folder or an archive, in every arrangement that people use:

    CLASS/image.jpg                      the test part is drawn by the config's split seed
    train/CLASS/image.jpg                with test/ and val/ beside it, by any usual name (`attnlab.data._words`);
    seg_train/seg_train/CLASS/image.jpg  without a part for testing, the one for validation is used, as is common
    CLASS/train/image.jpg                the parts inside the classes

All of this may lie in further folders. Images in folders below a class folder belong to that class. A folder named like a
part is one only when it holds class folders: among ``bus``, ``car`` and ``train`` it is a class.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import splitext

from attnlab.data._dataset import DataError, Part
from attnlab.data._kinds import PICTURES, READ, foreign_suffix
from attnlab.data._listing import Item, Listing, PathOptions, is_image, name_classes, natural
from attnlab.data._masks import MaskFinder
from attnlab.data._source import Index, Skip
from attnlab.data._tree import Folder, grow, inside_wrappers
from attnlab.data._words import MASK_FOLDERS, PARTIAL, PartName, part_name, plain_name
from attnlab.data.reading import Choice, counted, enumerated

PART_USES = {Part.TRAIN: "training", Part.VALIDATION: "validation", Part.TEST: "testing"}


@dataclass
class _Plan:
    """One way to read a tree of folders.

    Attributes:
        layout: the value of `PathOptions.layout` that asks for it.
        sentence: how the folders are read.
        members: (class, part, folder that holds its pictures).
        origins: where each part comes from.
        skipped, warnings: as in `Listing`.
        doubtful: another way is as likely.
    """

    layout: str
    sentence: str
    members: list[tuple[str, Part, Folder]]
    origins: dict[Part, str] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    doubtful: bool = False

    def choice(self) -> Choice:
        """The plan as it is offered beside another."""
        return Choice(self.sentence.split(". ")[0].rstrip("."), {"layout": self.layout})


def list_class_folders(index: Index, options: PathOptions, masks: MaskFinder, unreadable: Mapping[str, str]) -> Listing:
    """The images of this layout.

    Args:
        unreadable: name -> why a file with the suffix of a picture is none that can be read.

    Raises:
        DataError: when there is no class folder, only one class, a class without a readable picture, or when the folders
            cannot be read in the way that ``layout`` asks for.
    """
    root = grow(name for name in index.files if is_image(name) and not masks.is_mask(name))
    copies = _take_out_copies(root)
    top = inside_wrappers(root)
    plans, trouble = _plans(top)
    if trouble and options.layout in ("auto", "folders", "table", "splits"):
        raise DataError(trouble, choices=[plan.choice() for plan in plans.values()])
    plan = _chosen(plans, top, index, options)
    others = [other for other in plans.values() if other is not plan]

    skipped = [*copies, *plan.skipped]
    images: list[tuple[str, str, Part]] = []
    for label, part, folder in plan.members:
        images += [(name, label, part) for name in folder.all_pictures() if name not in unreadable]
    labels = sorted({label for label, part, _ in plan.members if part is Part.TRAIN}, key=natural)
    if len(labels) < 2:
        raise DataError(f"there is only one class, {labels[0] if labels else 'none'}, to train on; {_expected()}")
    _refuse_empty(plan, labels, images, unreadable)
    used = set(labels)
    for label in sorted({label for _, label, _ in images} - used, key=natural):
        lost = [name for name, other, _ in images if other == label]
        skipped += [Skip(name, f"of class {label}, which has no training picture") for name in lost]
    number = {label: i for i, label in enumerate(labels)}
    images = sorted((i for i in images if i[1] in used), key=lambda i: (i[2], number[i[1]], natural(i[0])))

    skipped += [Skip(name, "not in a class folder") for name in _passed(root, top)]
    skipped += _foreign_files(index, plan)
    warnings = [*plan.warnings, *_empty_folders(index, plan)]
    return Listing(
        items=tuple(Item(name, number[label], part, masks.of(name)) for name, label, part in images),
        class_names=name_classes(labels, options),
        sentence=plan.sentence,
        layout=plan.layout,
        origins=plan.origins,
        skipped=tuple(skipped),
        warnings=tuple(warnings),
        choices=tuple(other.choice() for other in others),
    )


def _plans(top: Folder) -> tuple[dict[str, _Plan], str]:
    """Every way in which the folders can be read, by layout, the likeliest first, and what is wrong with parts."""
    plans, trouble = [_classes(top), _inner_classes(top)], ""
    try:
        plans.insert(0, _outer_parts(top) or _inner_parts(top))
    except DataError as error:
        trouble = str(error)
    return {plan.layout: plan for plan in sorted(filter(None, plans), key=lambda plan: plan.doubtful)}, trouble


def _chosen(plans: Mapping[str, _Plan], top: Folder, index: Index, options: PathOptions) -> _Plan:
    if options.layout in ("auto", "folders", "table"):
        if plans:
            plan = next(iter(plans.values()))
            named = {name: found for name in top.folders if (found := part_name(name))}
            parts = [found.part for name, found in named.items() if _plausible(name, named)]
            if plan.layout != "classes" or not ({Part.TRAIN} < set(parts) or len(parts) == len(top.folders)):
                return plan
            inside = [label for name in named for label in _class_level(top.folders[name], set()).folders]
            trouble = f"there is only one class, {inside[0]}, to train on" if inside else "nothing says which class they show"
            raise DataError(
                f"{enumerated(sorted(top.folders))} are the names of parts, but their pictures do not lie in class folders: "
                f"{trouble}; {_expected()}; if these folders are the classes, choose layout=classes",
                choices=[plan.choice()],
            )
        if len(top.folders) == 1:
            raise DataError(f"there is only one class, {next(iter(top.folders))}, to train on; {_expected()}")
    elif options.layout in plans:
        return plans[options.layout]
    elif top.folders:
        wanted = {
            "classes": "at least two folders with pictures",
            "splits": "folders such as train and test with at least two class folders in them",
            "inner": "class folders inside each of several folders",
        }
        raise DataError(
            f"layout={options.layout} needs {wanted[options.layout]}, but the folders are {enumerated(sorted(top.folders))}",
            choices=[plan.choice() for plan in plans.values()],
        )
    raise DataError(f"there is no image in a class folder; {_found(index)}{_expected()}")


def _outer_parts(top: Folder) -> _Plan | None:
    """Folders such as ``train`` and ``test`` with the class folders inside."""
    named = {name: found for name in top.folders if (found := part_name(name))}
    members = {name: found.part for name, found in named.items() if found.part is not Part.UNUSED}
    levels = {name: _class_level(top.folders[name], set()) for name, part in members.items() if part is Part.TRAIN}
    classes = {label for level in levels.values() for label in level.folders}
    levels |= {name: _class_level(top.folders[name], classes) for name in members if name not in levels}
    if not any(part is Part.TRAIN for part in members.values()):
        return _without_training(top, levels)
    agreeing = {name for name, part in members.items() if part is not Part.TRAIN and classes & set(levels[name].folders)}
    shared = agreeing | {name for name, part in members.items() if part is Part.TRAIN and agreeing}
    members = {name: part for name, part in members.items() if _plausible(name, named) or name in shared}
    plain = {part for name, part in members.items() if not named[name].rest}
    members = {name: part for name, part in members.items() if not named[name].rest or part not in plain}
    classes = {label for name, part in members.items() if part is Part.TRAIN for label in levels[name].folders}
    if len(classes) < 2:
        return None

    plan = _Plan("splits", "", [])
    labelled: dict[str, Part] = {}
    for name, part in members.items():
        known = {label.casefold(): label for label in classes}
        inside = {label: known.get(label.casefold()) for label in levels[name].folders}
        if not any(inside.values()):
            reason = f"in {name}/, which has no class folders, so nothing says which class they show"
            if len(inside) > 1:
                reason = f"in {name}/, whose folders are named otherwise than the classes"
            plan.skipped += [Skip(picture, reason) for picture in top.folders[name].all_pictures()]
            continue
        labelled[name] = part
        for folder, label in inside.items():
            if label:
                plan.members.append((label, part, levels[name].folders[folder]))
            else:
                reason = f"in {name}/{folder}/, which is no class of the training part"
                plan.skipped += [Skip(picture, reason) for picture in levels[name].folders[folder].all_pictures()]
        plan.skipped += [Skip(picture, "not in a class folder") for picture in _passed(top.folders[name], levels[name])]
    others = [name for name in top.folders if name not in members]
    for name in others:
        what = "whose pictures have no classes" if name in named else "which is neither a part nor a class"
        if name in named and named[name].part in plain and classes & set(top.folders[name].folders):
            what = f"because {enumerated([own for own, part in members.items() if part is named[name].part])} is that part"
        plan.skipped += [Skip(picture, f"in {name}/, {what}") for picture in top.folders[name].all_pictures()]
    unknown = [name for name in others if name not in named]
    alike = any(classes & set(top.folders[name].folders) for name in unknown)
    plan.doubtful = len(labelled) == 1 and (len(unknown) > 1 or alike)
    _name_parts(plan, {name: (part, levels[name].path) for name, part in labelled.items()})
    return plan


def _name_parts(plan: _Plan, labelled: Mapping[str, tuple[Part, str]]) -> None:
    """Uses the validation part for testing when there is none, and says where each part comes from.

    Raises:
        DataError: when two folders mean the same part.
    """
    instead = [name for name, (part, _) in labelled.items() if part is Part.VALIDATION]
    if instead := [] if any(part is Part.TEST for part, _ in labelled.values()) else instead:
        swap = {Part.VALIDATION: Part.TEST}
        labelled = {name: (swap.get(part, part), path) for name, (part, path) in labelled.items()}
        plan.members = [(label, swap.get(part, part), folder) for label, part, folder in plan.members]
    names: dict[Part, list[str]] = defaultdict(list)
    for name, (part, path) in labelled.items():
        names[part].append(name)
        plan.origins[part] = f"folder {path}" if part not in plan.origins else f"{plan.origins[part]} and {path}"
    for same in names.values():
        if len({re.sub(r"\d+", "", name).casefold() for name in same}) > 1:
            raise DataError(
                f"the folders {', '.join(sorted(same))} mean the same split; keep only one, or choose layout=classes"
            )
    told = [f"{enumerated(own)} (for {PART_USES[part]})" for part, own in sorted(names.items())]
    subject = f"The folder {told[0]} is a part" if len(labelled) == 1 else f"The folders {enumerated(told)} are parts"
    plan.sentence = f"{subject} of the data set, and the folders inside are the classes."
    if instead:
        plan.sentence += f" Nothing else can be used for testing, so {enumerated(instead)} is."


def _plausible(name: str, named: Mapping[str, PartName]) -> bool:
    """Whether a name means a part: it says nothing else, or the same as that of another part (``seg_train``, ``seg_test``)."""
    rest = named[name].rest
    return not rest or any(other != name and found.rest == rest for other, found in named.items())


def _without_training(top: Folder, levels: Mapping[str, Folder]) -> _Plan | None:
    """Only parts for testing and validation: their pictures are put together."""
    common = set.intersection(*(set(level.folders) for level in levels.values())) if levels else set()
    if len(levels) < 2 or len(common) < 2 or len(levels) != len(top.folders):
        return None
    names = enumerated(sorted(levels))
    plan = _Plan("splits", f"The folders {names} are put together, and the folders inside are the classes.", [])
    plan.warnings.append(f"There is no folder for training. The pictures in {names} are combined and split again.")
    for level in levels.values():
        plan.members += [(label, Part.TRAIN, folder) for label, folder in level.folders.items()]
    return plan


def _inner_parts(top: Folder) -> _Plan | None:
    """Class folders with folders such as ``train`` and ``test`` inside."""
    inside = {label: {name: part_name(name) for name in folder.folders} for label, folder in top.folders.items()}
    found = [part for parts in inside.values() for part in parts.values()]
    if len(inside) < 2 or not all(inside.values()) or not all(found) or all(map(part_name, inside)):
        return None
    if not any(part and part.part is Part.TRAIN for part in found):
        return None
    plan = _Plan("splits", "", [])
    labelled: dict[str, tuple[Part, str]] = {}
    for label, parts in inside.items():
        for name, part in parts.items():
            folder = top.folders[label].folders[name]
            if part is None or part.part is Part.UNUSED:
                plan.skipped += [Skip(picture, f"in {name}/, which is not a part") for picture in folder.all_pictures()]
            else:
                plan.members.append((label, part.part, folder))
                labelled[name] = (part.part, name)
        plan.skipped += [Skip(picture, f"in {label}/, but in none of its parts") for picture in top.folders[label].pictures]
    _name_parts(plan, labelled)
    if all(_same_inside(folder) for folder in top.folders.values()):
        plan.warnings.append(
            "The parts of each folder hold the same folders. If those are the classes, choose one of the folders "
            f"{enumerated(sorted(inside, key=natural))} alone."
        )
    told = enumerated(sorted(labelled))
    classes = enumerated(sorted(inside, key=natural))
    plan.sentence = f"Each folder is a class: {classes}. The folders {told} inside are parts of the data set."
    return plan


def _classes(top: Folder) -> _Plan | None:
    """Each folder is a class."""
    names = sorted(top.folders, key=natural)
    if len(names) < 2:
        return None
    plan = _Plan("classes", f"Each folder is a class: {enumerated(names)}.", [])
    plan.members = [(name, Part.TRAIN, top.folders[name]) for name in names]
    if _pieces(top):
        plan.warnings.append(
            f"The names of the folders differ only in a number ({enumerated(names, 3)}), as those of the pieces of one set do. "
            "Are they classes?"
        )
    if same := _same_inside(top):
        plan.warnings.append(f"Every folder holds the same folders, {enumerated(same, 3)}. Are those the classes?")
    plan.doubtful = _pieces(top) and bool(same)
    for name in names:
        inside = top.folders[name].folders.items()
        if any(len(inner.folders) > 1 and (found := part_name(own)) and found.part is Part.TRAIN for own, inner in inside):
            plan.warnings.append(
                f"The folder {name} holds parts with classes of its own. If it is the data set, choose it alone."
            )
    return plan


def _inner_classes(top: Folder) -> _Plan | None:
    """Folders that say where pictures come from, or what their classes have in common, with the class folders inside."""
    labels = sorted({label for folder in top.folders.values() for label in folder.folders}, key=natural)
    if len(top.folders) < 2 or len(labels) < 2 or not all(folder.folders for folder in top.folders.values()):
        return None
    plan = _Plan("inner", f"The folders inside {enumerated(sorted(top.folders), 3)} are the classes: {enumerated(labels)}.", [])
    for folder in top.folders.values():
        plan.members += [(label, Part.TRAIN, inner) for label, inner in folder.folders.items()]
        plan.skipped += [Skip(picture, "not in a class folder") for picture in folder.pictures]
    plan.doubtful = not (_pieces(top) and _same_inside(top))
    return plan


def _pieces(top: Folder) -> bool:
    """Whether the folders are named like the pieces of one set, ``part_1`` and ``part_2``."""
    stems = {re.sub(r"\d+", "", name) for name in top.folders}
    return len(stems) == 1 and PARTIAL.search(stems.pop()) is not None


def _take_out_copies(root: Folder) -> list[Skip]:
    """Takes folders out of a tree that hold folders of the same names as those beside them, as an archive packed with a copy
    of itself does; returns their pictures.
    """
    copies: list[Skip] = []
    for parent in root.walk():
        for name, folder in list(parent.folders.items()):
            beside = set(parent.folders) - {name}
            if len(beside) > 1 and set(folder.folders) == beside and plain_name(name) not in MASK_FOLDERS:
                reason = f"in {folder.path}/, which holds folders of the same names once more"
                copies += [Skip(picture, reason) for picture in parent.folders.pop(name).all_pictures()]
    return copies


def _same_inside(top: Folder) -> list[str]:
    """The names of the folders inside when they are the same, and several, in each folder."""
    inner = {frozenset(folder.folders) for folder in top.folders.values()}
    return sorted(inner.pop(), key=natural) if len(inner) == 1 and len(next(iter(inner))) > 1 else []


def _class_level(folder: Folder, classes: set[str]) -> Folder:
    """The folder in which the class folders of a part lie: below one that only repeats its name or wraps it."""
    while len(folder.folders) == 1:
        ((name, only),) = folder.folders.items()
        if name in classes or not only.folders:
            break
        folder = only
    return folder


def _passed(upper: Folder, lower: Folder) -> Iterator[str]:
    """The pictures that lie directly in the folders from one down to another."""
    while True:
        yield from upper.pictures
        if upper is lower or len(upper.folders) != 1:
            return
        (upper,) = upper.folders.values()


def _refuse_empty(
    plan: _Plan, labels: Sequence[str], images: Sequence[tuple[str, str, Part]], unreadable: Mapping[str, str]
) -> None:
    readable = {label for _, label, part in images if part is Part.TRAIN}
    for label in labels:
        if label not in readable:
            lost = [name for own, part, folder in plan.members if own == label for name in folder.all_pictures()]
            first = f"the first, {lost[0]}: {unreadable[lost[0]]}" if lost[0] in unreadable else "it has no training picture"
            raise DataError(f"none of the {counted(len(lost), 'picture')} of class {label} can be used ({first})")


def _foreign_files(index: Index, plan: _Plan) -> list[Skip]:
    """Files in class folders that are not pictures, by their suffix."""
    inside = {folder.path for _, _, folder in plan.members}
    found = []
    for name in index.files:
        if not is_image(name):
            parents = name.split("/")[:-1]
            if any("/".join(parents[: depth + 1]) in inside for depth in range(len(parents))):
                found.append(Skip(name, foreign_suffix(name)))
    return found


def _empty_folders(index: Index, plan: _Plan) -> Iterator[str]:
    """Sentences on folders beside the class folders that hold no picture.

    Raises:
        DataError: when one holds pictures of a format that is not read, since a class would be missing.
    """
    used = {folder.path for _, _, folder in plan.members}
    parents = {path.rpartition("/")[0] for path in used}
    holding = {name.rpartition("/")[0] for name in index.files if is_image(name)}
    holding |= {"/".join(path.split("/")[: depth + 1]) for path in holding for depth in range(path.count("/") + 1)}
    for folder in sorted(index.folders - used - holding, key=natural):
        if folder.rpartition("/")[0] in parents:
            inside = [name for name in index.files if name.startswith(f"{folder}/")]
            foreign = [name for name in inside if splitext(name)[1].lower() in PICTURES]
            if foreign:
                reason = foreign_suffix(foreign[0])
                raise DataError(f"no picture in the class folder {folder} can be read: {reason}; supported: {READ}")
            yield f"The folder {folder} holds no pictures, so it is not a class."


def _found(index: Index) -> str:
    """Which files were met, for a message about a source without pictures."""
    suffixes = Counter(splitext(name)[1].lower() or "without a suffix" for name in index.files)
    if not suffixes or any(is_image(name) for name in index.files):
        return ""
    met = enumerated([f"{counted(count, 'file')} {suffix}" for suffix, count in suffixes.most_common()])
    return f"it contains {met}; supported: {READ}; "


def _expected() -> str:
    return "expected CLASS/image.jpg with two or more classes, with or without train/ and test/ above, or a CSV table"
