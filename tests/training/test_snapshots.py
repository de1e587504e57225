"""Snapshots: which steps, which images, how small, and that what is read is what was seen."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attnlab.attention import AttentionMap, list_attention, record_attention, to_spatial
from attnlab.config import ModelConfig, RunConfig
from attnlab.data import ImageDataset, Provenance, Split
from attnlab.geometry import picture_cells
from attnlab.maps import MapKind, MapScale
from attnlab.models import ImageShape, build_model
from attnlab.paths import DEMO_RUNS
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.training.losses import Objective
from attnlab.training.snapshots import PROBES, RUN_BYTES, Snapshots, choose_probes, snapshot_steps
from attnlab.training.snapshots_io import read_probes, read_snapshot, write_probes, write_snapshot

CPU = torch.device("cpu")
OBJECTIVE = Objective(RunConfig())


def make_dataset(labels: list[int], classes: int, side: int = 32, masks: bool = True) -> ImageDataset:
    count = len(labels)
    images = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mask = torch.rand(count, side, side, generator=torch.Generator().manual_seed(1)) > 0.5
    split = Split(images, torch.tensor(labels), mask if masks else None, tuple(f"image {i}" for i in range(count)))
    return ImageDataset(
        name="noise",
        class_names=tuple(str(i) for i in range(classes)),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        train=split,
        validation=split,
        test=split,
        provenance=Provenance("drawn in a test", "0"),
    )


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 10, [0, 1, 2, 3, 4, 5, 6, 7]),  # one of each of the first eight classes
        ([0] * 20 + [1, 1], 3, [0, 1, 0, 1, 0, 0, 0, 0]),  # in turn while there are any; a class can be missing
        ([1, 0, 1], 2, [0, 1, 1]),  # fewer images than probes
    ],
)
def test_probes_take_the_classes_in_turn(labels: list[int], classes: int, expected: list[int]) -> None:
    probes = choose_probes(make_dataset(labels, classes))
    assert probes.labels.tolist() == expected
    assert len(set(probes.names)) == len(expected) <= PROBES


def test_of_many_branches_what_each_gets_on_average_is_kept() -> None:
    data = make_dataset(list(range(10)), 10, side=16)
    model = build_model(ModelConfig(attention="dual", width=24, options={"blocks": 1}), ImageShape(*data.shape), 10)
    event = Snapshots(choose_probes(data), data, 100).take(model, OBJECTIVE, 0, CPU)
    stored = next(stored for stored in event.maps if stored.kind is MapKind.BRANCH)
    assert (stored.grid, stored.kept) == ((24, 24), (24, 1))
    np.testing.assert_allclose((stored.codes[..., 0] / 255 * stored.peaks[:, None]).sum(axis=1), 1, atol=0.05)
    file = io.BytesIO()
    write_snapshot(file, event)
    read = read_snapshot(file.getvalue())
    assert [(each.name, each.kind, each.kept) for each in read.maps] == [
        (each.name, each.kind, each.kept) for each in event.maps
    ]


def test_steps_are_dense_early_and_end_with_the_last() -> None:
    steps = snapshot_steps(5000)
    assert 30 <= len(steps) <= 40
    assert steps[:4] == (0, 1, 2, 3) and steps[-1] == 5000
    gaps = np.diff(steps)
    assert (np.diff(gaps) >= -1).all()
    assert snapshot_steps(1) == (0, 1) and snapshot_steps(5) == (0, 1, 2, 3, 4, 5)


def test_reductions_to_positions_by_hand() -> None:
    values = torch.arange(8.0).view(1, 2, 2, 2)
    element = AttentionMap("t", MapKind.ELEMENT, MapScale.GATE, values, (2, 2))
    assert to_spatial(element).tolist() == [[[2, 3], [4, 5]]]
    rows = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0, 0]]])
    received = to_spatial(AttentionMap("t", MapKind.PAIRWISE, MapScale.SOFTMAX, rows, (2, 2)))
    torch.testing.assert_close(received, torch.tensor([[[0.3, 0.35], [0.15, 0.2]]]))
    assert received.sum().item() == pytest.approx(1)
    channel = AttentionMap("t", MapKind.CHANNEL, MapScale.GATE, torch.tensor([0.2, 0.4]).view(1, 2, 1, 1), (1, 1))
    assert to_spatial(channel).tolist() == [[[pytest.approx(0.3)]]]


@pytest.mark.parametrize("attention", ["cbam", "selective_kernel"])
def test_a_snapshot_shows_what_the_network_does_to_the_probes(attention: str) -> None:
    data = make_dataset(list(range(10)), 10, side=16)
    torch.manual_seed(0)
    model = build_model(ModelConfig(attention=attention, width=8, options={"blocks": 1}), ImageShape(*data.shape), 10)
    probes = choose_probes(data)
    model.train()
    snapshot = Snapshots(probes, data, 100).take(model, OBJECTIVE, 7, CPU)
    assert model.training and snapshot.step == 7
    model.eval()
    with record_attention(model) as maps, torch.inference_mode():
        logits = model(data.normalise(torch.from_numpy(probes.images)))
    np.testing.assert_allclose(snapshot.probabilities, logits.softmax(1), atol=1e-3)
    assert [stored.name for stored in snapshot.maps] == [seen.name for seen in maps]
    for stored, seen in zip(snapshot.maps, maps, strict=True):
        shown = stored.codes / 255 * stored.peaks.reshape(-1, *[1] * (stored.codes.ndim - 1))
        true = seen.values[:, 0] if seen.kind is MapKind.SPATIAL else seen.values[..., 0, 0]
        np.testing.assert_allclose(shown, true, atol=0.003)
        assert stored.branches == seen.branches
        grid = {MapKind.CHANNEL: (1, 8), MapKind.BRANCH: (2, 8)}.get(seen.kind, seen.grid)
        assert stored.kind is seen.kind and stored.grid == stored.kept == grid


@pytest.mark.parametrize("attention", ["none", *list_attention()])
def test_all_snapshots_of_a_run_stay_under_half_a_megabyte_whatever_the_variant(attention: str) -> None:
    data = make_dataset(list(range(10)), 10)
    config = ModelConfig(attention=attention, width=32, options={"blocks": 3})
    model = build_model(config, ImageShape(*data.shape), 10)
    snapshots = Snapshots(choose_probes(data), data, 10_000)
    file = io.BytesIO()
    write_snapshot(file, snapshots.take(model, OBJECTIVE, 0, CPU))
    assert len(file.getvalue()) * len(snapshots.steps) < RUN_BYTES < 500_000


@pytest.mark.parametrize(
    ("model", "side"),
    [
        (ModelConfig(backbone="pay_attention_vgg", width=4), 64),
        (ModelConfig(backbone="pay_attention_vgg", width=4), 96),
        (ModelConfig(backbone="small_cnn", width=4, attention="self_attention", placement="every_conv"), 32),
    ],
)
def test_softmax_weights_still_sum_to_one_on_a_smaller_grid(model: ModelConfig, side: int) -> None:
    """The viewer shows N x weight, where 1 is uniform: N counts the positions that were kept."""
    data = make_dataset(list(range(8)), 8, side)
    torch.manual_seed(0)
    network = build_model(model, ImageShape(3, side, side), 8)
    snapshot = Snapshots(choose_probes(data), data, 1000).take(network, OBJECTIVE, 0, CPU)
    assert any(stored.kept != stored.grid for stored in snapshot.maps)
    for stored in snapshot.maps:
        if stored.scale is not MapScale.SOFTMAX:  # what the block adds
            continue
        sums = (stored.codes / 255 * stored.peaks[:, None, None]).sum(axis=(1, 2))
        rounding = stored.codes[0].size * stored.peaks / 510  # half a level each
        assert (np.abs(sums - 1) <= rounding).all(), stored.name


def test_files_give_back_what_was_written() -> None:
    data = make_dataset(list(range(10)), 10, side=18)
    model = build_model(ModelConfig(attention="cbam+conv_autoencoder+gct", width=4), ImageShape(*data.shape), 10)
    for name, parameter in model.named_parameters():
        if "gct" in name:
            torch.nn.init.normal_(parameter)  # factors on both sides of 1
    probes = choose_probes(data)
    snapshot = Snapshots(probes, data, 100).take(model, OBJECTIVE, 3, CPU)
    stored = io.BytesIO()
    write_snapshot(stored, snapshot)
    again = read_snapshot(stored.getvalue())
    assert again.step == 3
    for back, written in zip(again.maps, snapshot.maps, strict=True):
        assert (back.name, back.kind, back.scale, back.grid) == (written.name, written.kind, written.scale, written.grid)
        np.testing.assert_array_equal(back.codes, written.codes)
        np.testing.assert_array_equal(back.peaks, written.peaks)
        assert (back.neutral, back.floors is None) == (written.neutral, written.floors is None)
        np.testing.assert_array_equal(back.spans, written.spans)
    factors = next(back for back in again.maps if back.scale is MapScale.FACTOR)
    assert factors.floors is not None and (factors.floors < 1).all() and (factors.peaks > 1).all()
    np.testing.assert_array_equal(again.probabilities, snapshot.probabilities)
    for masks in (True, False):
        probes = choose_probes(make_dataset(list(range(10)), 10, side=18, masks=masks))
        stored = io.BytesIO()
        write_probes(stored, probes)
        kept = read_probes(stored.getvalue())
        np.testing.assert_array_equal(kept.images, probes.images)
        np.testing.assert_array_equal(kept.labels, probes.labels)
        assert kept.names == probes.names
        assert (kept.masks is None) == (probes.masks is None)
        if masks:
            np.testing.assert_array_equal(kept.masks, probes.masks)


@pytest.mark.parametrize(
    "folder", [folder for folder in run_folders(DEMO_RUNS) if folder.has_weights], ids=lambda folder: folder.run_id
)
def test_snapshots_of_shipped_runs_open_and_are_written_back_to_the_same_bytes(folder: RunFolder) -> None:
    """The format on disk is older than the records: what earlier versions wrote must stay readable."""
    step = folder.snapshot_steps()[-1]
    snapshot = folder.snapshot(step)
    assert snapshot.step == step
    assert all(isinstance(stored.kind, MapKind) and isinstance(stored.scale, MapScale) for stored in snapshot.maps)
    again = io.BytesIO()
    write_snapshot(again, snapshot)
    shipped = np.load(folder.snapshots_path / f"{step:06d}.npz")
    for name, array in np.load(io.BytesIO(again.getvalue())).items():
        assert array.tobytes() == shipped[name].tobytes(), name


def bytes_of(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"not an archive",
        b"",
        bytes_of(maps=np.zeros(3)),
        bytes_of(header=np.array([{"step": 1}], dtype=object)),  # a pickle inside
        bytes_of(header=np.frombuffer(b"{}", np.uint8), maps=np.zeros(3, np.uint8), peaks=np.zeros(1), probabilities=np.eye(2)),
    ],
)
def test_what_is_no_snapshot_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a snapshot of attnlab") as refused:
        read_snapshot(content)
    assert "Error" not in str(refused.value)


def test_events_and_snapshot_files_are_read_without_torch() -> None:
    code = "import sys, attnlab.training, attnlab.training.snapshots_io; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_where_the_maps_lie_is_kept_with_the_probe_images(tmp_path: Path) -> None:
    probes = choose_probes(make_dataset([0, 1], 2))
    write_probes(tmp_path / "old.npz", probes)
    assert read_probes(tmp_path / "old.npz").cells == {}
    cells = {"a.tap": picture_cells().after(3).after(2, 2), "b.tap": picture_cells()}
    write_probes(tmp_path / "new.npz", replace(probes, cells=cells))
    assert read_probes(tmp_path / "new.npz").cells == cells
