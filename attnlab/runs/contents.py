"""What the JSON files of a run folder hold: a file with anything else is refused with the field that is wrong.

Files may come from another version, another machine, or a person with an editor, so every reader gets values of the right
kinds or a `FolderError`. Fields that are not named here are kept as they are.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from attnlab.config import explain
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, short

_MOST = 2**53
"""Larger whole numbers are damage, and neither SQLite nor a browser can hold them."""

Count = Annotated[int, Field(ge=0, lt=_MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=1 << 14)]
_MOST_VALUES = 1 << 24
"""Of a picture. A network for a larger one would take all memory of the machine."""


class Content(BaseModel):
    """What a JSON file, or a part of one, must hold. Values are not converted, and further fields are left alone."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Meta(Content):
    """`meta.json`. The year is below 5138, which every calendar can show."""

    title: str = ""
    note: str = ""
    owner: str = ""
    created: float = Field(0.0, ge=0, lt=1e11)


class Queued(Content):
    """`queued.json`"""

    order: float


class Process(Content):
    """See `attnlab.runs.ownership.identity`."""

    pid: int = Field(gt=0, lt=2**31)
    start: str
    boot: str


class Owner(Content):
    """`owner.json`"""

    attempt: Count
    process: Process | None


class Test(Content):
    """Further results of the test, see `attnlab.training.metrics.describe_test`."""

    confusion: list[list[Count]] | None = None
    probabilities: list[float] = []
    labels: list[Count] = []
    roc: dict[str, list[float]] | None = None
    precision_recall: dict[str, list[float]] | None = None
    auc_interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None


class Result(Content):
    """The result in `end.json`; empty unless the run has finished."""

    step: Count | None = None
    best_epoch: Annotated[int, Field(ge=0, lt=_MOST)] | None = None
    validation_accuracy: Share | None = None
    test_loss: float | None = None
    test_accuracy: Share | None = None
    test_auc: Share | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None
    images_per_second: Annotated[float, Field(ge=0)] | None = None
    extra: Test = Test()
    imported: str = ""


class End(Content):
    """`end.json`"""

    state: Literal["paused", "finished", "stopped", "failed", "interrupted"]
    reason: str
    attempt: Count
    result: Result


class Progress(Content):
    """`state.json`"""

    attempt: Count = 0
    phase: str = ""
    step: Count = 0
    total_steps: Count = 0
    epoch: Count = 0
    steps_per_epoch: Count = 0
    eta_seconds: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    validation_accuracy: float | None = None
    device: str | None = None
    parameters: Count | None = None
    recovered: str = ""


class LeftOut(Content):
    """Files that were not used, for one reason."""

    reason: str
    count: Count
    names: list[str]


class DatasetReading(Content):
    """How a folder or archive was read."""

    left_out: list[LeftOut]
    warnings: list[str]


class Provenance(Content):
    """Where the images come from."""

    skipped: list[str] = []


class DatasetSummary(Content):
    """`dataset.json`"""

    class_names: list[str]
    shape: Annotated[list[Side], Field(min_length=3, max_length=3)]
    mean: list[Annotated[float, Field(ge=-1e6, le=1e6)]] = []
    std: list[Annotated[float, Field(ge=1e-6, le=1e6)]] = []
    split_digest: dict[str, str] = {}
    provenance: Provenance = Provenance()
    reading: DatasetReading | None = None

    @field_validator("shape")
    @classmethod
    def _limited(cls, shape: list[int]) -> list[int]:
        if prod(shape) > _MOST_VALUES:
            raise ValueError(f"a picture may have at most {_MOST_VALUES:,} values")
        return shape


class ManifestEntry(Content):
    """A file of a checkpoint."""

    size: Count
    sha256: str


class Manifest(Content):
    """`manifest.json` of a checkpoint."""

    files: dict[str, ManifestEntry]


def read_content(path: Path, content: type[Content]) -> dict[str, Any] | None:
    """The object in a JSON file, checked; `None` when there is no such file.

    Raises:
        FolderError: when the file cannot be read or holds something else; the message names the file and the field.
    """
    tree = read_json(path)
    if tree is not None:
        try:
            content.model_validate(tree)
        except ValidationError as error:
            raise FolderError(f"{short(path)} holds a value of the wrong kind: {explain(error)}") from error
    return tree
