"""Gives browsers the networks that they run, see `attnlab.explain.in_browser.kept_export`. No torch.

The name of a file is a digest of the weights, which nobody can guess, and what a name stands for never changes. So whoever was
shown a run by a page may load its network, and a browser keeps it for good.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit import config

from attnlab import paths

_NAME = re.compile(r"[0-9a-f]{32}\.net")
_FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}


def routes() -> list[Route]:
    """For `streamlit.App`."""
    base = str(config.get_option("server.baseUrlPath")).strip("/")
    return [Route(f"{f'/{base}' if base else ''}/networks/{{name}}", _give)]


async def _give(request: Request) -> Response:
    name = request.path_params["name"]
    file = paths.cache_dir() / "networks" / name
    if not _NAME.fullmatch(name) or not file.is_file():
        return PlainTextResponse("There is no such network.", 404)
    return FileResponse(file, media_type="application/octet-stream", headers=_FOR_GOOD)
