"""ES modules as one text, because Streamlit's components and the offline page take one text each.

The modules are ordinary ones: Node and the type checker read them as they lie. `joined` puts a module behind those it
imports, and drops the import lines, the word ``export``, and comments on lines of their own. That is right as long as no
top-level name occurs twice, so it refuses that, as it refuses an import of a name that is not exported and modules that
import each other in a circle.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]*)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|let|function|class) )", re.MULTILINE)
_DECLARATION = re.compile(r"^(export )?(?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^ *(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.MULTILINE | re.DOTALL)
_OTHER = re.compile(r"^(?:import\b|export\b|var |(?:const|let) [^\w]).*", re.MULTILINE)


class ModuleError(ValueError):
    """Modules that cannot be joined; the message names the file and what is wrong with it."""


def joined(entry: Path) -> str:
    """The module ``entry`` with all it imports, as the text of one module. Only the entry's default export remains.

    Raises:
        ModuleError: for a top-level name in two files, an imported name that its file does not export, a circle, and any
            form of import or export but ``import { a, b } from "./file.js";`` and ``export`` before a declaration.
    """
    order: dict[Path, str] = {}
    exports: dict[Path, set[str]] = {}
    owners: dict[str, Path] = {}

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
        for names, address in _IMPORT.findall(text):
            source = (path.parent / address).resolve()
            visit(source, (*importers, path))
            for name in filter(None, (part.strip() for part in names.split(","))):
                if name not in exports[source]:
                    raise ModuleError(f"{path.name} imports {name!r}, which {source.name} does not export")
        declarations = _DECLARATION.findall(text)
        for _, name in declarations:
            if name in owners:
                raise ModuleError(f"the name {name!r} is defined at the top of {owners[name].name} and of {path.name}")
            owners[name] = path
        exports[path] = {name for exported, name in declarations if exported}
        order[path] = _plain(text, path, is_entry=not importers)

    visit(entry.resolve(), ())
    return "\n".join(order.values())


def style(folder: str, entry: str = "") -> str:
    """The style sheets whose names begin with the entry's, in order; empty where there are none."""
    sheets = sorted((HERE / folder).glob(f"{entry or folder}*.css"))
    return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def _plain(text: str, path: Path, *, is_entry: bool) -> str:
    """The text without its imports, the word ``export``, and comments on lines of their own."""
    plain = _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", text)))
    for line in _OTHER.findall(plain):
        if not (is_entry and line.startswith("export default ")):
            raise ModuleError(f"{path.name}: {line!r} is a form that cannot be joined")
    return plain
