"""The files of a run folder, as another version, another machine or a person with an editor leaves them; and titles of runs."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from attnlab.config import RunConfig
from attnlab.explain import OpenError, open_run
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.naming import group_names, run_name, run_names
from attnlab.runs.records import RunRecord
from attnlab.runs.store import Store
from attnlab.ui.format import plain
from benchmarks.fuzz.judge import NASTY_TEXTS, Kind, Known, Place, Refused, change_tree, changed, nasty_text, unclear
from tests import damage
from tests.example_runs import finished_run


@cache
def good_files() -> dict[str, bytes]:
    """The files of a finished run."""
    with TemporaryDirectory() as home:
        folder = finished_run(Path(home), RunConfig(seed=5), 0.9)
        return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def packed(files: dict[str, bytes]) -> bytes:
    """An input: the changed files, by name."""
    return json.dumps({name: content.decode("latin-1") for name, content in files.items()}).encode()


@cache
def known() -> dict[str, Known]:
    contents = damage.WRONG_CONTENTS
    return {f"{file} with {kind}": packed({file: content}) for file in damage.JSON_FILES for kind, content in contents.items()}


def make(rng: random.Random) -> bytes:
    files = {}
    for name in rng.sample(sorted(good_files()), rng.choice((1, 1, 2))):
        content = good_files()[name]
        if name.endswith(".json") and rng.random() < 0.7:
            tree = json.loads(content)
            for _ in range(rng.choice((1, 1, 2, 4))):
                tree = change_tree(tree, rng)
            content = json.dumps(tree).encode()
        else:
            content = changed(content, rng, tuple(good_files().values()))
        files[name] = content
    return packed(files)


def give(content: bytes, place: Place) -> None:
    """The run is listed, or left out with its reason, and another run is listed beside it; to open it says what is wrong."""
    runs = place.home / "runs"
    for name in ("bad", "good"):
        (runs / name).mkdir(parents=True)
        for file, data in good_files().items():
            (runs / name / file).write_bytes(data)
    for file, text in json.loads(content).items():
        (runs / "bad" / file).write_bytes(text.encode("latin-1"))
    records, broken = listed(place.home)
    assert "good" in records
    assert ("bad" in records) != ("bad" in broken)
    reasons = [broken["bad"]] if "bad" in broken else []
    if "bad" in records:
        history(records["bad"])
        group_names({record.group: record.config for record in records.values()})
        try:
            open_run(runs / "bad")
        except (OpenError, FolderError) as error:
            reasons.append(str(error))
    for reason in reasons:
        assert str(place.root) not in reason, "where the home lies is nobody's business"
        if trouble := unclear(reason):
            raise AssertionError(f"{trouble} in {reason!r}")
    if "bad" in broken:
        raise Refused(broken["bad"])


def listed(home: Path) -> tuple[dict[str, RunRecord], dict[str, str]]:
    """The runs of a home without the shipped ones, and those that are left out, with the reasons."""
    store = Store(home, write=True)
    try:
        store.sync()
        return {record.run_id: record for record in store.runs() if not record.demo}, store.broken()
    finally:
        store.close()


@cache
def known_titles() -> dict[str, Known]:
    return {repr(text)[:40]: text.encode("utf-8", "surrogatepass") for text in NASTY_TEXTS}


def make_title(rng: random.Random) -> bytes:
    return nasty_text(rng).encode("utf-8", "surrogatepass")


def give_title(content: bytes, place: Place) -> None:
    """A run with this title is listed under it, or the title is refused; it is shown as it is."""
    title = content.decode("utf-8", "surrogatepass")
    shutil.rmtree(place.home / "runs", ignore_errors=True)
    folder = finished_run(place.home, RunConfig(seed=5), 0.9)
    folder.describe(title=title, note=title)
    records, broken = listed(place.home)
    assert not broken, broken
    (record,) = records.values()
    title = title.encode("utf-8", "replace").decode()
    assert record.title == (title or record.run_id)
    assert run_name(record) in run_names([record]).values()
    plain(title).encode()
    assert RunFolder(record.folder).meta()["title"] == title


KIND = Kind("run folder", known, make, give, (Refused, FolderError), share=10)
TITLES = Kind("title", known_titles, make_title, give_title, (FolderError, ValueError), share=6)
