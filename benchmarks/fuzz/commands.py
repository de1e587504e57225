"""Command lines, and the configuration files that they name."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
from collections.abc import Iterator
from functools import cache

from attnlab.cli.app import main
from attnlab.config import RunConfig
from attnlab.experiments.overrides import settings
from benchmarks.fuzz.archives import classes
from benchmarks.fuzz.judge import Kind, Known, Place, Refused, change_tree, changed, nasty_text, nasty_value

BRIEF = ["--epochs", "1", "--subset", "8", "--test-subset", "8", "--batch-size", "8", "--width", "2", "--device", "cpu"]
CPU_SECONDS = 1.5
"""A training is then stopped as by Ctrl-C; that it began is all there is to see."""
ALONE = [
    *("list", "read", "resume", "runs", "stop", "pause", "rename", "delete", "restore", "compare", "reindex", "honesty"),
    *("open", "tensorboard", "reproduce", "grid"),
]
NUMBERS = ("0", "-1", "1e400", "nan", "inf", str(2**31), str(2**40), str(2**64), "1.5", "", "x", "0x10", "1_000", "9" * 5000)


def packed(arguments: list[str], files: dict[str, bytes] | None = None) -> bytes:
    """An input: the arguments, and the files that lie in the current folder."""
    tree = {name: content.decode("latin-1") for name, content in (files or {}).items()}
    return json.dumps({"arguments": arguments, "files": tree}).encode()


def configured(content: bytes, *more: str) -> bytes:
    return packed(["train", "--config", "run.json", *more], {"run.json": content})


@cache
def known() -> dict[str, Known]:
    inputs: dict[str, Known] = {
        "a seed of 2^40": packed(["train", "--dataset", "data", "--dataset-option", f"test_seed={2**40}", *BRIEF]),
        "a seed of the run of 2^40": packed(["train", "--seed", str(2**40)]),
        "a rate that is not finite": packed(["train", "--lr", "nan", *BRIEF]),
        "a rate of 1e400": packed(["train", "--lr", "1e400", *BRIEF]),
        "deep JSON in an option": packed(["train", "--dataset-option", "x=" + "[" * 100_000]),
        "digits in an option": packed(["train", "--dataset-option", "x=" + "9" * 5000]),
        "deep JSON in a file": configured(b"[" * 100_000),
        "deep objects in a file": configured(b'{"a":' * 100_000),
        "a file of no text": configured(b"\xff\xfe\0"),
        "YAML": configured(b"seed: 5\ntraining:\n  epochs: 3\n"),
        "YAML that runs code": configured(b"!!python/object/apply:os.system ['touch /tmp/attnlab-fuzz-canary']"),
        "a list": configured(b"[1, 2]"),
        "null": configured(b"null"),
        "half a character": configured(b'{"model": {"attention": "\\ud800"}}'),
        "a section of another kind": configured(b'{"training": 5}'),
        "a section of another kind, with an option": configured(b'{"training": 5}', "--epochs", "1"),
        "options of another kind": configured(b'{"dataset": {"options": 5}}', "--dataset-option", "x=1"),
        "a folder for a file": packed(["train", "--config", "."]),
        "a device for a file": packed(["train", "--config", "/dev/null"]),
        "a file without end": packed(["open", "/dev/zero"]),
        "a missing checkpoint": packed(["open", "missing.pth"]),
        "a folder for a checkpoint": packed(["open", "."]),
        "a path with NUL": packed(["read", "--dataset", "a\0b"]),
        "a long path": packed(["read", "--dataset", "a" * 5000]),
        "a path of a user that is none": packed(["read", "--dataset", "~nobody-of-this-name/x"]),
        "a file for a data set": packed(["read", "--dataset", "run.json"], {"run.json": b"{}"}),
        "an image size of 2^40": packed(["train", "--image-size", str(2**40)]),
        "a subset of 2^40": packed(["train", "--subset", str(2**40)]),
        "a subset of 1": packed(["train", "--subset", "1"]),
        "a variant of 5,000 letters": packed(["train", "--attention", "+".join(["eca"] * 1500)]),
        "a variant with an absurd option": packed(
            ["train", "--attention", "eca", "--attention-option", f"eca.kernel_size={2**40}", *BRIEF]
        ),
        "a network of absurd depth": packed(["train", "--backbone", "small_cnn", "--option", f"blocks={2**31}", *BRIEF]),
        "a network of negative depth": packed(["train", "--backbone", "resnet_cifar", "--option", "depth=-8", *BRIEF]),
        "an absurd grid": packed(["grid", "new", "x", "--seeds", str(2**40)]),
        "a grid of many rows": packed(
            [
                "grid",
                "new",
                "x",
                "--vary",
                *(f"{name}=1,2,3,4,5,6,7,8,9" for name in ("epochs", "width", "seed", "batch-size", "lr")),
            ]
        ),
        "a grid with a file": packed(["grid", "import", "x.json"], {"x.json": b'{"grid": 5}'}),
        "a grid of another kind": packed(["grid", "new", "x", "--config", "x.json"], {"x.json": b"[" * 100_000}),
        "a budget of nothing": packed(["train", "--time-budget", "0"]),
        "a budget of 1e400": packed(["train", "--time-budget", "1e400"]),
        "a title that is half a character": packed(["train", "--title", "\udcff", *BRIEF]),
        "a run of a title": packed(["rename", "no-such-run", "\udcff"]),
        "a run that leads out": packed(["delete", "../../.."]),
        "a run of NUL": packed(["resume", "a\0b"]),
    }
    return inputs | {f"{command} alone": packed([command]) for command in ALONE}


def make(rng: random.Random) -> bytes:
    match rng.randrange(10):
        case 0 | 1 | 2:
            tree: object = (
                RunConfig()
                .changed(dataset__subset=8, dataset__test_subset=8, training__epochs=1, model__width=2)
                .model_dump(mode="json")
            )
            for _ in range(rng.choice((1, 1, 2, 3))):
                tree = change_tree(tree, rng)
            content = json.dumps(tree).encode()
            content = changed(content, rng) if rng.random() < 0.2 else content
            if rng.random() < 0.5:
                return packed(["grid", "new", nasty_text(rng), "--config", "run.json"], {"run.json": content})
            return configured(content, *(_settings(rng, 1) if rng.random() < 0.4 else []))
        case 3 | 4 | 5:
            return packed(
                [
                    rng.choice(("train", "train", "read")),
                    "--dataset",
                    rng.choice(("data", "missing", "digits")),
                    *BRIEF,
                    *_settings(rng, rng.choice((1, 1, 2, 3))),
                ]
            )
        case 6:
            vary = [f"{setting.name}={_value(rng)},{_value(rng)}" for setting in rng.sample(settings(), rng.choice((1, 2)))]
            return packed(["grid", "new", nasty_text(rng), "--seeds", rng.choice(("1", "2", *NUMBERS)), "--vary", *vary])
        case 7:
            command = rng.choice(("stop", "pause", "rename", "delete", "restore", "resume", "honesty", "open", "tensorboard"))
            return packed([command, nasty_text(rng), *([nasty_text(rng)] if rng.random() < 0.5 else [])])
        case 8:
            options = (
                "--dataset",
                "--baseline",
                "--format",
                "--to",
                "--json",
                "--help",
                "--weights",
                "--choice",
                nasty_text(rng),
            )
            command = rng.choice(("compare", "runs", "list", "read", "grid", "reproduce", "restore"))
            return packed([command, rng.choice(options), nasty_text(rng)])
        case _:
            return packed([nasty_text(rng) for _ in range(rng.randrange(4))])


def _settings(rng: random.Random, count: int) -> list[str]:
    """Settings of a run with values that are often wrong."""
    arguments = []
    for setting in rng.sample(settings(), count):
        key = {"": "", "option=value": f"{rng.choice(('blocks', 'test_seed', 'train_images', 'x'))}="}.get(
            setting.syntax, "eca.kernel_size="
        )
        arguments += [f"--{setting.name}", key + _value(rng)]
    return arguments


def _value(rng: random.Random) -> str:
    match rng.randrange(3):
        case 0:
            return rng.choice(NUMBERS)
        case 1:
            return json.dumps(nasty_value(rng))
    return nasty_text(rng)


def give(content: bytes, place: Place) -> None:
    """Runs a command in this process; what it prints to standard error is its one message."""
    tree = json.loads(content)
    for name, text in tree["files"].items():
        (place.work / name).write_bytes(text.encode("latin-1"))
    if "data" in tree["arguments"]:
        for name, picture in classes():
            path = place.work / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)
    out, errors = io.StringIO(), io.StringIO()
    executor = os.environ.pop("ATTNLAB_EXECUTOR", None)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), interrupted():
        try:
            code = main(tree["arguments"])
        except KeyboardInterrupt:
            code = 130
        except SystemExit as left:  # as Ctrl-C ends a command
            code = left.code if isinstance(left.code, int) else -1
    os.environ.pop("ATTNLAB_EXECUTOR", None)
    if executor is not None:
        os.environ["ATTNLAB_EXECUTOR"] = executor
    text = errors.getvalue()
    assert code in (0, 2, 130), f"exit code {code}"
    assert "Traceback" not in text + out.getvalue(), text + out.getvalue()
    if code == 2:
        said = text.rsplit("error: ", 1)
        assert len(said) == 2, f"no message: {text!r}"
        raise Refused(said[1].strip())


@contextlib.contextmanager
def interrupted() -> Iterator[None]:
    """Presses Ctrl-C after some seconds of CPU, again and again."""

    def press(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGPROF, press)
    interrupt = signal.getsignal(signal.SIGINT)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS, 3.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        signal.signal(signal.SIGINT, interrupt)


KIND = Kind("command", known, make, give, (Refused,), share=4, seconds=30.0, megabytes=1500)
