"""The house's one-way imports, read from the source: a wrong arrow fails here, with its file and line."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVEL = {
    "config": 0,
    "paths": 0,
    "options": 0,
    "attention": 1,
    "models": 2,
    "data": 2,
    "interop": 3,
    "training": 3,
    "stats": 0,
    "runs": 4,
    "worker": 5,
    "queue": 6,
    "experiments": 7,
    "explain": 5,
    "viz": 4,
    "ui": 8,
    "cli": 9,
    "__main__": 10,
}
ONLY_IN = {"streamlit": {"ui"}, "plotly": {"viz", "ui"}}
TORCH_FREE = (
    "attnlab/config.py",
    "attnlab/options.py",
    "attnlab/paths.py",
    "attnlab/runs",
    "attnlab/queue",
    "attnlab/experiments",
    "attnlab/worker",
    "attnlab/viz",
    "app.py",
    "pages/home.py",
)
SOURCES = sorted([*ROOT.glob("attnlab/**/*.py"), ROOT / "app.py", *ROOT.glob("pages/*.py")])


def room(path: Path) -> str:
    """The top-level part of the house a file belongs to; pages and the entry script are 'page'."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "attnlab" and len(parts) > 1 else "page"


def imports(path: Path, *, top_level_only: bool = False) -> list[tuple[int, str]]:
    """(line, dotted module) of every import; the names of ``from package import module`` count as modules."""
    tree = ast.parse(path.read_text(), str(path))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: list[tuple[int, str]] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    wrong = []
    for line, module in imports(path):
        top, *rest = module.split(".")
        if top == "attnlab" and here != "page" and rest and rest[0] in LEVEL and here in LEVEL and LEVEL[rest[0]] > LEVEL[here]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} {here} imports {module}")
        if top in ONLY_IN and here != "page" and here not in ONLY_IN[top]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} {here} imports {top}")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_level() -> None:
    rooms = {room(path) for path in SOURCES} - {"page", "__init__"}
    assert rooms <= set(LEVEL), f"rooms without a level: {rooms - set(LEVEL)}"


def test_first_paint_is_free_of_torch() -> None:
    heavy = {"torch", "torchvision", "attention", "models", "training", "explain"}
    wrong = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if not name.startswith(TORCH_FREE):
            continue
        for line, module in imports(path, top_level_only=True):
            parts = module.split(".")
            if parts[0] in heavy or (parts[0] == "attnlab" and len(parts) > 1 and parts[1] in heavy):
                wrong.append(f"{name}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)
