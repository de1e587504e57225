"""Which executor a home uses, and what it needs to know. Kept in ``settings.json`` of the home; the environment wins.

ATTNLAB_EXECUTOR       process, thread or ray
ATTNLAB_RAY_ADDRESS    the cluster's Jobs server; also RAY_API_SERVER_ADDRESS, as Ray itself calls it
ATTNLAB_RAY_CPUS       what one run, or one group of stacked seeds, demands of the cluster
ATTNLAB_RAY_GPUS       the same of GPUs, where a run trains on one; a half lets two share it

The token of a cluster is Ray's own matter: RAY_AUTH_TOKEN, or the file that RAY_AUTH_TOKEN_PATH names.
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
_VARIABLES = {
    "executor": (EXECUTOR,),
    "ray_address": ("ATTNLAB_RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"),
    "ray_cpus": ("ATTNLAB_RAY_CPUS",),
    "ray_gpus": ("ATTNLAB_RAY_GPUS",),
}


class ExecutorSettings(BaseModel):
    """Where runs are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Literal["process", "thread", "ray"] = "process"
    ray_address: str = Field("http://127.0.0.1:8265", pattern=r"^https?://[^\s/]+$")
    ray_cpus: int = Field(1, ge=1, le=1024)
    ray_gpus: float = Field(1.0, gt=0, le=64)


def load_settings(home: Path) -> ExecutorSettings:
    """What the home says, overruled by the environment.

    Raises:
        ValueError: naming the value that cannot be.
    """
    chosen: dict[str, Any] = read_json(home / _FILE) or {}
    for name, variables in _VARIABLES.items():
        given = next((os.environ[variable] for variable in variables if os.environ.get(variable)), None)
        if given is not None:
            chosen[name] = given
    try:
        return ExecutorSettings.model_validate(chosen)
    except ValidationError as error:
        where = f"{', '.join(variable for variables in _VARIABLES.values() for variable in variables)} or {home / _FILE}"
        raise ValueError(f"settings of the executor ({where}): {explain(error)}") from None


def save_settings(home: Path, settings: ExecutorSettings) -> None:
    """Keeps the settings for the next start."""
    home.mkdir(parents=True, exist_ok=True)
    write_json(home / _FILE, settings.model_dump())


def overruled() -> list[str]:
    """The names of settings that the environment decides here."""
    return [name for name, variables in _VARIABLES.items() if any(os.environ.get(variable) for variable in variables)]
