"""What networks cost and what their maps find, measured side by side on one machine: the records and their file. No torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from attnlab.files import write_file
from attnlab.runs.showcase import Confirmed, NotMeasured, Record, Showcase


class NetworkCost(Record):
    """What one image costs a network, see `attnlab.explain.cost.measure_networks`.

    Attributes:
        parameters: all of the network's.
        flops: operations of a forward.
        forward, backward: milliseconds, medians over the rounds. The backward pass is that of training.
        memory: bytes of activations that a training step keeps for the backward pass.
    """

    parameters: int
    flops: int
    forward: float
    backward: float
    memory: int


class Measured(Record):
    """What was measured together.

    Attributes:
        machine: on which the times were measured; empty when nothing was.
        batch: images at once.
        costs: group of runs -> what its network costs.
        maps: what was found of the maps; `None` where nothing was measured, or the images have no outlines.
    """

    machine: str = ""
    batch: int = 0
    costs: dict[str, NetworkCost] = Field(default_factory=dict)
    maps: Showcase | None = None

    def map_of(self, group: str) -> Confirmed | NotMeasured | None:
        """What was found of the maps of a group of runs, or why nothing was."""
        if self.maps is None:
            return None
        return self.maps.of(group) or next((each for each in self.maps.not_measured if each.group == group), None)

    def with_older(self, older: Measured) -> Measured:
        """These figures, and the maps of groups that only ``older`` has.

        Costs are not mixed: they can be compared only where they were measured together. Without any of these, all are the
        older ones.
        """
        costs = self if self.costs else older
        maps = self.maps or older.maps
        if self.maps is not None and older.maps is not None:
            mine = {each.group for each in self.maps.confirmed} | {each.group for each in self.maps.not_measured}
            confirmed = [each for each in older.maps.confirmed if each.group not in mine]
            others = [each for each in older.maps.not_measured if each.group not in mine]
            maps = self.maps.model_copy(
                update={
                    "confirmed": [*self.maps.confirmed, *confirmed],
                    "not_measured": [*self.maps.not_measured, *others],
                }
            )
        return Measured(machine=costs.machine, batch=costs.batch, costs=costs.costs, maps=maps)


def read_measured(path: Path) -> Measured:
    """The file, or nothing measured where there is none, or one of another version."""
    try:
        return Measured.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Measured()


def write_measured(path: Path, measured: Measured) -> None:
    """Writes the file as a whole.

    Raises:
        OSError: when it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda stream: stream.write(measured.model_dump_json(indent=1).encode()))
