"""attnlab: a visual laboratory for attention in image classification.

The names below are the way in from Python. Each is imported when it is first used, so that ``import attnlab`` stays free
of torch. To see what the attention of a network does, record it:

>>> import torch
>>> from attnlab import build_attention, record_attention
>>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), build_attention("eca", 8, (16, 16)))
>>> with record_attention(model) as maps:
...     _ = model(torch.zeros(2, 3, 16, 16))
>>> [(attention.kind.value, tuple(attention.values.shape)) for attention in maps]
[('channel', (2, 8, 1, 1))]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.adapters import adopt
    from attnlab.attention import build_attention, edit_attention, record_attention
    from attnlab.config import RunConfig
    from attnlab.explain.open_run import open_run
    from attnlab.notebook import show
    from attnlab.recording import Recorder
    from attnlab.training import train

__version__ = "0.1.0"

__all__ = [
    "Recorder",
    "RunConfig",
    "adopt",
    "build_attention",
    "edit_attention",
    "open_run",
    "record_attention",
    "show",
    "train",
]

_MODULES = {
    "Recorder": "attnlab.recording",
    "RunConfig": "attnlab.config",
    "adopt": "attnlab.adapters",
    "build_attention": "attnlab.attention",
    "edit_attention": "attnlab.attention",
    "open_run": "attnlab.explain.open_run",
    "record_attention": "attnlab.attention",
    "show": "attnlab.notebook",
    "train": "attnlab.training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
