"""ES modules as one text, because Streamlit's components and the offline page take one text each.

The modules are ordinary ones: Node and the type checker read them as they lie. `joined` puts a module behind those it
imports, each in a scope of its own, so that two files may use the same name for different things. It drops the import lines,
the word ``export``, and comments on lines of their own, and refuses an import of a name that is not exported and modules that
import each other in a circle. A component that is part of another one has a default export of its own, which is not used then.
What is imported is looked up once: a ``let`` that is exported would not be followed.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]*)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function|class) )", re.MULTILINE)
_DEFAULT = re.compile(r"^export default (?=mounted\()", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:async )?(?:const|function|class) (\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^ *(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.MULTILINE | re.DOTALL)
_OTHER = re.compile(r"^(?:import\b|export\b).*", re.MULTILINE)


class ModuleError(ValueError):
    """Modules that cannot be joined; the message names the file and what is wrong with it."""


def joined(entry: Path) -> str:
    """The module ``entry`` with all it imports, as the text of one module. Only the entry's default export remains.

    Raises:
        ModuleError: for an imported name that its file does not export, a circle, and any form of import or export but
            ``import { a, b } from "./file.js";`` and ``export`` before the declaration of a const, function or class.
    """
    entry = entry.resolve()
    order: dict[Path, str] = {}
    exports: dict[Path, list[str]] = {}

    def visit(path: Path, importers: tuple[Path, ...]) -> None:
        if path in importers:
            circle = " -> ".join(each.name for each in (*importers[importers.index(path) :], path))
            raise ModuleError(f"modules import each other in a circle: {circle}")
        if path in order:
            return
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ModuleError(
                f"{importers[-1].name if importers else 'the entry'} imports {path}, which is not there"
            ) from error
        taken = []
        for names, address in _IMPORT.findall(text):
            source = (path.parent / address).resolve()
            visit(source, (*importers, path))
            wanted = [name for name in (part.strip() for part in names.split(",")) if name]
            for name in wanted:
                if name not in exports[source]:
                    raise ModuleError(f"{path.name} imports {name!r}, which {source.name} does not export")
            taken.append(f"const {{ {', '.join(wanted)} }} = {scope(source)};\n")
        exports[path] = _EXPORTED.findall(text)
        own = "".join(taken) + _plain(text, path, is_entry=path == entry).rstrip("\n") + "\n"
        given = ", ".join(exports[path])
        order[path] = own if path == entry else f"const {scope(path)} = (() => {{\n{own}return {{ {given} }};\n}})();\n"

    def scope(path: Path) -> str:
        """What a module is called in the text. The number tells files of one name apart."""
        numbers.setdefault(path, len(numbers))
        return f"{re.sub(r'[^a-zA-Z0-9]', '_', path.stem)}_module_{numbers[path]}"

    numbers: dict[Path, int] = {}
    visit(entry, ())
    return "\n".join(order.values())


def style(folder: str, entry: str = "") -> str:
    """The style sheets whose names begin with the entry's, in order; empty where there are none."""
    sheets = sorted((HERE / folder).glob(f"{entry or folder}*.css"))
    return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def buttons() -> str:
    """The style sheet of the buttons that look alike in all components; it comes before those of a component."""
    return style("lib", "buttons")


def _plain(text: str, path: Path, *, is_entry: bool) -> str:
    """The text without its imports, the word ``export``, and comments on lines of their own."""
    plain = _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", text)))
    if not is_entry:
        plain = _DEFAULT.sub("const component = ", plain)
    for line in _OTHER.findall(plain):
        if not (is_entry and line.startswith("export default ")):
            raise ModuleError(f"{path.name}: {line!r} is a form that cannot be joined")
    return plain
