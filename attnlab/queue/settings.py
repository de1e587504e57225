"""Which executor a home uses, and its settings. Saved in ``settings.json`` of the home; environment variables override it.

The address of a cluster comes from the environment alone, like the token that is sent there: nobody who reaches the app, and
no file that it wrote, can have the token sent elsewhere.

ATTNLAB_EXECUTOR       process, thread or ray
ATTNLAB_RAY_ADDRESS    URL of the cluster's Jobs server; also RAY_API_SERVER_ADDRESS, Ray's own name for it
ATTNLAB_RAY_CPUS       CPUs that one run, or one stack of seeds, needs
ATTNLAB_RAY_GPUS       GPUs that it needs when it trains on a GPU; with 0.5 two runs share one

The token of a cluster is set as for Ray itself: by RAY_AUTH_TOKEN, or a file that RAY_AUTH_TOKEN_PATH names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attnlab.config import explain
from attnlab.runs.files import read_json, write_json

EXECUTOR = "ATTNLAB_EXECUTOR"
_FILE = "settings.json"
_NEVER_SAVED = "ray_address"
_VARIABLES = {
    "executor": (EXECUTOR,),
    "ray_address": ("ATTNLAB_RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"),
    "ray_cpus": ("ATTNLAB_RAY_CPUS",),
    "ray_gpus": ("ATTNLAB_RAY_GPUS",),
}


class ExecutorSettings(BaseModel):
    """Where runs are trained, and what one run needs there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Literal["process", "thread", "ray"] = "process"
    ray_address: str = Field("http://127.0.0.1:8265", pattern=r"^https?://[^\s/]+$")
    ray_cpus: int = Field(1, ge=1, le=1024)
    ray_gpus: float = Field(1.0, gt=0, le=64)


def load_settings(home: Path) -> ExecutorSettings:
    """The settings of the home, overridden by the environment.

    Raises:
        ValueError: when a value is invalid; the message names it.
    """
    saved = {name: value for name, value in (read_json(home / _FILE) or {}).items() if name != _NEVER_SAVED}
    values: dict[str, Any] = saved | _from_environment()
    try:
        return ExecutorSettings.model_validate(values)
    except ValidationError as error:
        where = f"{', '.join(variable for variables in _VARIABLES.values() for variable in variables)} or {home / _FILE}"
        raise ValueError(f"executor settings ({where}): {explain(error)}") from None


def save_settings(home: Path, settings: ExecutorSettings) -> None:
    """Saves the settings of the home, without the address of a cluster."""
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / _FILE, settings.model_dump(exclude={_NEVER_SAVED}))


def overridden() -> list[str]:
    """The names of the settings that the environment overrides."""
    return list(_from_environment())


def _from_environment() -> dict[str, str]:
    """Setting -> value of the first of its variables that is set and not empty."""
    values = {}
    for name, variables in _VARIABLES.items():
        value = next((os.environ[variable] for variable in variables if os.environ.get(variable)), None)
        if value is not None:
            values[name] = value
    return values
