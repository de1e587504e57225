"""A fuzzer for what people bring: images, archives, tables, checkpoints, run folders, titles, command lines, links to pages.

    python -m benchmarks.fuzz --inputs 10000 --seed 0
    python -m benchmarks.fuzz --kinds image archive --inputs 2000
    python -m benchmarks.fuzz --again findings/image-0-17.bin

Every input is accepted, or refused with one plain message (`benchmarks.fuzz.judge`). Inputs known to be dangerous come first.
Processes of their own give the inputs to the package, with a limit on memory; one that dies or hangs is charged to its last
input, and the next goes on after it. An input follows from kind, seed and number. Each finding is kept as a file, which
``--again`` tries once more. Prints a table of the inputs tried, and ends with 1 where something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import torch

from benchmarks.fuzz.judge import Kind, Place, Verdict, judge, limit_memory, quiet
from benchmarks.fuzz.kinds import NAMES, kind_of

HANGS = 180.0
"""Seconds on the clock without a verdict after which an input is a hang. A verdict has its own limit, in seconds of CPU."""
GIGABYTES = 3
"""Of memory for a process that meets the inputs, beyond its libraries."""


@dataclass
class Tally:
    """What came of the inputs of a kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    most: tuple[float, str] = (0.0, "")
    findings: list[str] = field(default_factory=list)

    def add(self, name: str, verdict: Verdict) -> None:
        self.outcomes[verdict.outcome] += 1
        self.slowest, self.most = max(self.slowest, (verdict.seconds, name)), max(self.most, (verdict.megabytes, name))


def content_of(kind: Kind, seed: int, number: int) -> tuple[str, bytes]:
    """The name and the content of an input: the known ones first, then such as follow from the seed."""
    corpus = list(kind.known().items())
    if number < len(corpus):
        name, content = corpus[number]
        return name, content if isinstance(content, bytes) else content()
    return f"number {number}", kind.make(random.Random(f"{kind.name} {seed} {number}"))


def meet(kind: Kind, seed: int, numbers: range, place: Place) -> None:
    """The process that gives inputs to the package: a line before each input, and a line with its verdict."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the package prints is no verdict
    place.enter()
    quiet()
    (torch.ones(64, 64) @ torch.ones(64, 64)).sum()  # loads what torch loads late, which a limit would forbid
    limit_memory(GIGABYTES)
    for number in numbers:
        name, content = content_of(kind, seed, number)
        print(json.dumps({"begins": number, "name": name}), file=answers)
        print(json.dumps({"number": number, **asdict(judge(kind, content, place))}), file=answers)


def verdicts(name: str, seed: int, count: int) -> Iterator[tuple[int, str, Verdict]]:
    """(number, name, verdict) of every input of a kind; the processes are started anew where one ends."""
    number = 0
    while number < count:
        with tempfile.TemporaryDirectory(prefix="attnlab-fuzz-") as root, tempfile.TemporaryFile() as log:
            command = [sys.executable, "-m", "benchmarks.fuzz", "--meet", name, str(seed), str(number), str(count), root]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
            lines: Queue[bytes] = Queue()
            threading.Thread(target=pour, args=(child.stdout, lines), daemon=True).start()
            begun, ended = "", ""
            while not ended:
                try:
                    line = lines.get(timeout=HANGS)
                except Empty:
                    ended = f"no verdict within {HANGS:.0f} s"
                    break
                if not line:
                    ended = f"the process ended with {child.wait()}"
                    break
                answer = json.loads(line)
                if "begins" in answer:
                    begun = answer["name"]
                else:
                    verdict = Verdict(**{key: answer[key] for key in ("outcome", "said", "seconds", "megabytes")})
                    yield number, begun, verdict
                    number += 1
            child.kill()
            child.wait()
            if number < count:
                log.seek(0)
                said = log.read().decode(errors="replace")[-3000:]
                yield number, begun, Verdict("broken", f"{ended}\n{said}", 0.0, 0.0)
                number += 1


def pour(stream: IO[bytes] | None, lines: Queue[bytes]) -> None:
    """Hands on the lines of a stream, and an empty one at its end."""
    for line in stream or ():
        lines.put(line)
    lines.put(b"")


def hunt(names: list[str], seed: int, total: int, to: Path) -> dict[str, Tally]:
    """Tries ``total`` inputs, shared among the kinds; writes the findings below ``to``."""
    kinds = {name: kind_of(name) for name in names}
    shares = sum(kind.share for kind in kinds.values())
    tallies = {}
    for name, kind in kinds.items():
        tally = tallies[name] = Tally()
        for number, called, verdict in verdicts(name, seed, max(1, round(total * kind.share / shares))):
            tally.add(called, verdict)
            if verdict.outcome == "broken":
                file = to / f"{name.replace(' ', '_')}-{seed}-{number}.bin"
                to.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content_of(kind, seed, number)[1])
                tally.findings.append(f"{file} ({called}): {verdict.said}")
                print(tally.findings[-1], "\n", file=sys.stderr, flush=True)
        report(name, tally)
    return tallies


def again(file: Path) -> None:
    """Tries one finding once more, in this process."""
    kind = kind_of(file.name.split("-")[0].replace("_", " "))
    content = file.read_bytes()
    with tempfile.TemporaryDirectory(prefix="attnlab-fuzz-") as root:
        place = Place(Path(root))
        place.enter()
        print(judge(kind, content, place))
        os.chdir("/")


def report(name: str, tally: Tally) -> None:
    """A row of the table of `docs/reliability.md`."""
    counts = [tally.outcomes[outcome] for outcome in ("accepted", "refused", "broken")]
    numbers = " | ".join(f"{count:,}" for count in (sum(counts), *counts))
    slowest, most = (f"{number:.1f} ({called})" for number, called in (tally.slowest, tally.most))
    print(f"| {name} | {numbers} | {slowest} | {most} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--to", type=Path, default=Path("findings"))
    parser.add_argument("--again", type=Path)
    parser.add_argument("--meet", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.meet:
        name, seed, start, stop, root = options.meet
        meet(kind_of(name), int(seed), range(int(start), int(stop)), Place(Path(root)))
        return 0
    if options.again:
        again(options.again)
        return 0
    began = time.perf_counter()
    print("| input | tried | accepted | refused | broken | slowest, s of CPU | most memory, MB |\n|---" + "|---:" * 6 + "|")
    tallies = hunt(options.kinds, options.seed, options.inputs, options.to)
    print(f"\nPython {platform.python_version()}, {platform.machine()}, {time.perf_counter() - began:.0f} s")
    return 1 if any(tally.findings for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
