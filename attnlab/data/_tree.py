"""The folders of a source that hold pictures, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Folder:
    """A folder that holds pictures, itself or further down.

    Attributes:
        path: from the top of the source, without a slash at the end; empty for the top.
        pictures: names in the source of the pictures that lie directly in it.
        folders: by name; those without any picture are not there.
    """

    path: str
    pictures: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    def all_pictures(self) -> Iterator[str]:
        """Its own pictures and those further down."""
        yield from self.pictures
        for folder in self.folders.values():
            yield from folder.all_pictures()

    def walk(self) -> Iterator[Folder]:
        """The folder itself and every one below, the upper ones first."""
        todo = [self]
        while todo:
            yield (folder := todo.pop(0))
            todo += folder.folders.values()

    def below(self, name: str) -> str:
        """The path of something in this folder, as seen from it."""
        return name[len(self.path) + 1 :] if self.path else name


def grow(pictures: Iterable[str]) -> Folder:
    """The tree of the folders that these pictures lie in."""
    top = Folder("")
    by_path = {"": top}

    def folder_at(path: str) -> Folder:
        if path not in by_path:
            parent, _, name = path.rpartition("/")
            by_path[path] = folder_at(parent).folders.setdefault(name, Folder(path))
        return by_path[path]

    for name in pictures:
        folder_at(name.rpartition("/")[0]).pictures.append(name)
    return top


def inside_wrappers(top: Folder) -> Folder:
    """The folder in which the classes or parts lie: below any that merely wrap it.

    Archives often put everything into one folder, or into one in another. A few pictures beside such a folder, as an
    example of the set, do not stop the search.
    """
    while len(top.folders) == 1:
        (only,) = top.folders.values()
        if not only.folders:
            return top
        top = only
    return top
