"""Pages as a person finds them: opened from app.py, which the fixture `app` starts."""

from __future__ import annotations

import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
INSPECT = "pages/inspect_attention.py"


def open_page(app: AppTest, file: str) -> AppTest:
    """Goes to a page by its file, as ``pages/train.py``."""
    app.run()
    app.switch_page(file).run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    """Everything on the page outside of widgets, as Markdown."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def seen(app: AppTest) -> str:
    """`texts` as a person reads it, without the marks that keep text from being read as Markdown."""
    return re.sub(r"\\([\W_])", r"\1", texts(app)).replace("\u2060", "")
