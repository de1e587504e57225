"""Every setting of a configuration as an option of a command."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection
from functools import reduce
from typing import Annotated

from cyclopts import Group, Parameter

from attnlab.config import RunConfig
from attnlab.experiments.overrides import Setting, settings

_HELP = frozenset(("--help", "-h"))


def with_settings(
    command: Callable[..., int], sections: Collection[str] = (), start: Callable[[], RunConfig] | None = None
) -> inspect.Signature:
    """The signature of a command, with the settings of the configuration in place of its ``**values``.

    Args:
        sections: of the configuration; empty: all.
        start: makes the configuration that a command begins with, where that is another one than `RunConfig()`. It is made for
            the help alone, since it needs torch.
    """
    shown = start() if start is not None and command.__name__ in sys.argv[1:2] and _HELP.intersection(sys.argv) else None
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    groups = {section: Group.create_ordered(section) for section in RunConfig.model_fields}
    for setting in settings():
        if sections and setting.section not in sections:
            continue
        kind = list[str] if setting.mapping else setting.annotation
        option = Parameter(
            name=f"--{setting.name}",
            help=f"{setting.help}, as {setting.syntax}" if setting.mapping else _with_default(setting, shown),
            group=groups[setting.section],
            negative=() if setting.mapping else None,
        )
        annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(setting.keyword, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return inspect.Signature(parameters, return_annotation=int)


def _with_default(setting: Setting, shown: RunConfig | None) -> str:
    value = setting.default if shown is None else reduce(getattr, setting.path.split("."), shown)
    return setting.help if value is None else f"{setting.help} (default: {value})".strip()
