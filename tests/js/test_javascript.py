"""The JavaScript of the pages: its own tests, its types, and how its modules become one text."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from attnlab.ui.components import colour_tables
from attnlab.ui.components.modules import HERE, ModuleError, joined

HERE_JS = Path(__file__).parent
ENTRIES = sorted(path for path in HERE.glob("*/*.js") if "\nexport default " in path.read_text(encoding="utf-8"))


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed; it runs the JavaScript")
    return found


def write(folder: Path, **modules: str) -> Path:
    """Modules a.js, b.js ..., of which a.js is the entry."""
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "a.js"


# ---- the modules of the pages -----------------------------------------------------------------------------------------


def test_javascript_tests_pass(node: str) -> None:
    scripts = sorted(str(path) for path in HERE_JS.glob("*.test.js"))
    result = subprocess.run([node, "--test", *scripts], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_types_are_right(node: str) -> None:
    compiler = HERE_JS / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        pytest.skip("TypeScript is not installed; `npm ci --prefix tests/js` does that")
    command = [node, str(compiler), "-p", str(HERE_JS / "tsconfig.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout


def test_every_file_is_type_checked() -> None:
    unchecked = [str(path) for path in HERE.rglob("*.js") if not path.read_text(encoding="utf-8").startswith("// @ts-check\n")]
    assert unchecked == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.stem)
def test_the_joined_text_is_one_module(entry: Path, node: str, tmp_path: Path) -> None:
    """It parses, imports nothing, exports one thing, and holds every module once."""
    text = joined(entry)
    assert "\nimport " not in text and text.count("export ") == 1 == text.count("export default ")
    script = tmp_path / "joined.mjs"
    script.write_text(text + "\n")
    check = "import(process.argv[1]).then(({ default: run }) => process.exit(typeof run === 'function' ? 0 : 1))"
    result = subprocess.run([node, "-e", check, str(script)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_the_colour_tables_of_the_browser_are_those_of_python() -> None:
    written = colour_tables.PATH.read_text(encoding="utf-8")
    assert written == colour_tables.text(), "run: python -m attnlab.ui.components.colour_tables"


# ---- joining ----------------------------------------------------------------------------------------------------------


def test_modules_follow_those_they_import_and_each_comes_once(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        a='// about a\nimport { b } from "./b.js";\nimport {\n  c,\n  d,\n} from "./c.js";\n\nexport default b + c + d;\n',
        b='import { c } from "./c.js";\nexport const b = c;\n',
        c="/**\n * @type {number}\n */\nexport const c = 1; // stays\n/** here */ let e;\n/** gone */\nexport function d() {}",
    )
    text = joined(entry)
    assert [line for line in text.splitlines() if line] == [
        *("const c_module_0 = (() => {", "const c = 1; // stays", "/** here */ let e;", "function d() {}"),
        *("return { c, d };", "})();"),
        *("const b_module_1 = (() => {", "const { c } = c_module_0;", "const b = c;", "return { b };", "})();"),
        *("const { b } = b_module_1;", "const { c, d } = c_module_0;", "export default b + c + d;"),
    ]


def test_two_modules_may_use_one_name(node: str, tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        a='import { b } from "./b.js";\nconst twice = 2;\nexport default 10 * b() + twice;\n',
        b='import { c } from "./c.js";\nfunction twice() { return c; }\nexport function b() { return twice(); }\n',
        c="const twice = 4;\nexport const c = twice;\n",
    )
    script = tmp_path / "joined.mjs"
    script.write_text(joined(entry))
    shown = "import(process.argv[1]).then(({ default: value }) => console.log(value))"
    result = subprocess.run([node, "-e", shown, str(script)], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "42", result.stderr


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        ({"a": "export let a = 1;\n"}, r"a\.js: 'export let a = 1;' .* cannot be joined"),
        (
            {"a": 'import { b, other } from "./b.js";\n', "b": "export const b = 1;\nconst other = 2;\n"},
            r"a\.js imports 'other', which b\.js does not export",
        ),
        (
            {
                "a": 'import { b } from "./b.js";\nexport const a = b;\n',
                "b": 'import { c } from "./c.js";\nexport const b = c;\n',
                "c": 'import { b } from "./b.js";\nexport const c = b;\n',
            },
            r"circle: b\.js -> c\.js -> b\.js",
        ),
        ({"a": 'import { b } from "./b.js";\n'}, r"a\.js imports .*b\.js, which is not there"),
        ({"a": 'import * as b from "./b.js";\n'}, r"a\.js: 'import \* as b .* cannot be joined"),
        ({"a": 'import { b as c } from "./b.js";\n', "b": "export const b = 1;\n"}, r"a\.js imports 'b as c'"),
        ({"a": 'import { b } from "react";\n'}, r"a\.js: .* cannot be joined"),
        ({"a": "const b = 1;\nexport { b };\n"}, r"a\.js: 'export \{ b \};' .* cannot be joined"),
        (
            {"a": 'import { b } from "./b.js";\n', "b": "export const b = 1;\nexport default b;\n"},
            r"b\.js: 'export default b;' .* cannot be joined",
        ),
    ],
    ids=[
        "changing",
        "not exported",
        "circle",
        "missing",
        "star",
        "renamed",
        "package",
        "list",
        "inner default",
    ],
)
def test_modules_that_cannot_be_joined_are_refused_by_name(tmp_path: Path, modules: dict[str, str], complaint: str) -> None:
    with pytest.raises(ModuleError, match=complaint):
        joined(write(tmp_path, **modules))
