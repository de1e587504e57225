"""Weights of networks of others from where their library keeps them, fetched into the library's own cache.

The libraries would download by themselves, but tell no page how far they are, cannot be stopped, and say in many words that
there is no network. So what they will look for is fetched first, and then they find it.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import socket
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all, 0 where that is not known); whatever it raises stops the download."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_CHUNK = 2**20
_SECONDS, _SECONDS_TO_ANSWER = 20, 5
_DIGEST = re.compile(r"-([a-f0-9]{8,})\.")
"""The start of the SHA-256 of a file, in its name."""


class Unreachable(Exception):
    """The place of the weights cannot be reached, and they are not in the library's cache; the message names the place."""


def fetch_weights(library: str, name: str, progress: Progress) -> None:
    """Puts the weights of a network where its library finds them. What is there already is not downloaded again.

    Args:
        library: one of `attnlab.adapters.networks.LIBRARIES`.
        name: as the library calls the network; of transformers, as its hub does.

    Raises:
        Unreachable: without a network.
        Exception: of the library, for a network that has no weights.
    """
    if library == "transformers":
        for file in (CONFIG, WEIGHTS):
            _from_hub(name, file, progress)
        return
    module: Any = importlib.import_module(library)
    if library == "torchvision":
        fetch_url(module.models.get_model_weights(name).DEFAULT.url, progress)
        return
    config = module.models.get_pretrained_cfg(name)
    if config is not None and config.hf_hub_id:
        _from_hub(config.hf_hub_id, config.hf_hub_filename or WEIGHTS, progress)
    elif config is not None and config.url:
        fetch_url(config.url, progress)


def fetch_url(url: str, progress: Progress) -> Path:
    """A file in the cache of `torch.hub`, where torchvision and timm look for it. Nothing stays of a download that is stopped.

    Raises:
        Unreachable: without a network.
        ValueError: when what came has not the digest that its name gives.
    """
    import torch.hub

    target = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, expected = hashlib.sha256(), _DIGEST.search(target.name)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        draft = Path(folder) / target.name
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS) as answer, draft.open("wb") as out:
                total, done = int(answer.headers.get("Content-Length") or 0), 0
                while chunk := answer.read(_CHUNK):
                    out.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    progress(done, total)
        except HTTPError:  # it was reached, and says no
            raise
        except OSError as error:
            raise Unreachable(urlparse(url).netloc) from error
        if expected is not None and not digest.hexdigest().startswith(expected[1]):
            raise ValueError(f"what {urlparse(url).netloc} sent is not {target.name}: its digest is another")
        draft.replace(target)
    return target


def _from_hub(repository: str, file: str, progress: Progress) -> None:
    """A file of a repository of the Hugging Face hub, in its cache. A download that is stopped goes on there the next time."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from tqdm import tqdm

    class Told(tqdm):  # type: ignore[misc]
        """Tells its progress, and draws nothing."""

        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **(options | {"disable": False, "file": _Nowhere()}))

        def update(self, n: float | None = 1) -> bool | None:
            drawn = super().update(n)
            progress(int(self.n), int(self.total or 0))
            return drawn

    try:
        hf_hub_download(repository, file, tqdm_class=Told, local_files_only=not _answers(constants.ENDPOINT))
    except LocalEntryNotFoundError as error:
        raise Unreachable(urlparse(constants.ENDPOINT).netloc) from error


def _answers(address: str) -> bool:
    """Whether somebody answers there, by a direct connection; the hub's own library tries for half a minute to find out."""
    place = urlparse(address)
    if place.scheme in urllib.request.getproxies():
        return True  # the library asks the proxy
    try:
        socket.create_connection((place.hostname or "", place.port or 443), timeout=_SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True


class _Nowhere:
    """A stream that forgets what it is given."""

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...
