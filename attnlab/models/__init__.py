"""Networks that return logits (B, classes). As in `attnlab.attention`, every module here registers what it defines."""

from importlib import import_module
from pkgutil import iter_modules

from attnlab.models._registry import (
    BlockFactory,
    ImageShape,
    Network,
    build_model,
    check_placement,
    get_model,
    list_models,
    register_model,
)
from attnlab.models._tokens import TokenParts, token_parts

for _module in iter_modules(__path__):
    if not _module.name.startswith("_"):
        import_module(f"{__name__}.{_module.name}")

from attnlab.models.report import REPORT_ROWS, report_config, report_network  # noqa: E402  (needs the registry above)

__all__ = [
    "REPORT_ROWS",
    "report_config",
    "report_network",
    "BlockFactory",
    "ImageShape",
    "Network",
    "TokenParts",
    "build_model",
    "check_placement",
    "get_model",
    "list_models",
    "register_model",
    "token_parts",
]
