"""What mkdocs calls while it builds the site: files of the repository's root become pages, and links between the two fit.

python -m mkdocs build --strict
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {"README.md": "index.md"} | {name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}
"""File in the root -> page of the site."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages of the root."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are in the repository -> links within the site; to what is no page, the words alone."""
    here = page.file.src_uri
    written_in = ROOT if here in ROOT_PAGES.values() else (Path(config.docs_dir) / here).parent

    def within(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return match[0]
        found = (written_in / path).resolve()
        name = found.relative_to(ROOT).as_posix() if found.is_relative_to(ROOT) else path
        inside = ROOT_PAGES.get(name) or name.removeprefix("docs/")
        if files.get_file_from_path(inside) is None:
            return words
        up = "../" * here.count("/")
        return f"{mark}[{words}]({up}{inside}{hash_}{anchor})"

    return _LINK.sub(within, markdown)
