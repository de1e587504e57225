"""Every setting of a configuration as an option of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated

from cyclopts import Group, Parameter

from attnlab.config import RunConfig
from attnlab.experiments.overrides import settings


def with_settings(command: Callable[..., int], sections: Collection[str] = ()) -> inspect.Signature:
    """The signature of a command, with the settings of the configuration in place of its ``**values``.

    Args:
        sections: of the configuration; empty: all.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    groups = {section: Group.create_ordered(section) for section in RunConfig.model_fields}
    for setting in settings():
        if sections and setting.section not in sections:
            continue
        kind = list[str] if setting.mapping else setting.annotation
        option = Parameter(
            name=f"--{setting.name}",
            help=f"{setting.help}, as {setting.syntax}" if setting.mapping else setting.help,
            group=groups[setting.section],
            negative=() if setting.mapping else None,
        )
        annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(setting.keyword, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return inspect.Signature(parameters, return_annotation=int)
