"""How a map fares against its baselines: figures by hand and by the libraries, the job as a person drives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import auc, jaccard_score
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.cli import app as cli
from attnlab.data import Split, load_dataset
from attnlab.experiments.managers import get_manager
from attnlab.explain.baselines import BASELINES, PlacedMaps, spatial_taps
from attnlab.explain.honesty.comparison import CEILING, MAP, compare, corrected
from attnlab.explain.honesty.depth import depth_table
from attnlab.explain.honesty.measure import (
    Honesty,
    MeasurementStopped,
    choose_images,
    measure_honesty,
    measure_maps,
    rank_correlations,
)
from attnlab.explain.honesty.process import Measurement, MeasurementState, finished_measurements
from attnlab.explain.open_run import open_run
from attnlab.explain.token_maps import TOKEN_MAPS
from attnlab.runs.folder import RunFolder
from attnlab.ui.run_cache import run_dataset
from tests.example_runs import SMALL_MAPS, trained_run
from tests.example_showcase import SURE, confirmed, write_showcase
from tests.explain.examples import FirstPixels, opened
from tests.pages import INSPECT, open_page, texts
from tests.waiting import wait_until

ON_OBJECT = ("pointing", "inside", "overlap")
"""The measures that need masks."""


def test_measures_of_an_image_by_hand_and_by_the_libraries() -> None:
    net = opened(FirstPixels())
    generator = torch.Generator().manual_seed(1)
    images = torch.full((2, 3, 14, 12), 255, dtype=torch.uint8)
    maps = torch.rand(2, 14, 12, generator=generator)
    maps[0, :4, :4] += 1  # the first map knows what counts, the second does not
    masks = torch.zeros(2, 14, 12, dtype=torch.bool)
    masks[:, :4, :4] = True
    found = measure_maps(net, images, PlacedMaps(maps, None), torch.ones(2, dtype=torch.long), masks, steps=14)
    assert found["inside"] == pytest.approx([float((m * k).sum() / m.sum()) for m, k in zip(maps, masks, strict=True)])
    assert found["pointing"].tolist() == [1.0, float(masks[1].flatten()[maps[1].argmax()])]
    best = [
        max(jaccard_score(mask.flatten(), (one >= cut).flatten()) for cut in one.flatten())
        for one, mask in zip(maps, masks, strict=True)
    ]
    assert found["overlap"] == pytest.approx(best) and best[0] == 1.0
    # Deleted in twelve-pixel steps: after two of them all 16 pixels that count are grey, after one of them a quarter is left.
    score = float(((torch.ones(3) - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.3, 0.25])).sum())
    curve = [1 / (1 + np.exp(-score * left)) for left in [1, 0.25] + [0] * 13]
    assert found["deletion"][0] == pytest.approx(auc(np.linspace(0, 1, 15), curve), rel=1e-5)
    assert found["deletion"][0] < found["deletion"][1]


def test_an_image_without_an_object_has_no_figure_for_it() -> None:
    net = opened(FirstPixels())
    masks = torch.zeros(1, 14, 12, dtype=torch.bool)
    image, labels = torch.zeros(1, 3, 14, 12, dtype=torch.uint8), torch.tensor([0])
    found = measure_maps(net, image, PlacedMaps(torch.rand(1, 14, 12), None), labels, masks)
    assert np.isnan([found[name][0] for name in ("pointing", "inside", "overlap")]).all()
    assert np.isfinite([found[name][0] for name in ("deletion", "insertion")]).all()
    flat = measure_maps(net, image, PlacedMaps(torch.zeros(1, 14, 12), None), labels, ~masks)
    assert np.isnan([figures[0] for figures in flat.values()]).all()  # it says of no pixel that it comes before another
    assert np.isfinite(found["deletion"]).all()


def test_rank_correlation_is_scipys_and_none_for_a_constant_map() -> None:
    one, other = torch.rand(3, 5, 4), torch.rand(3, 5, 4)
    one[1], other[2] = one[1] * 0 + 0.5, one[2] ** 3
    found = rank_correlations(one, other)
    assert found[0] == pytest.approx(stats.spearmanr(one[0].flatten(), other[0].flatten()).statistic)
    assert np.isnan(found[1]) and found[2] == pytest.approx(1)


def test_images_are_drawn_from_the_classes_alike_and_by_the_seed() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 5)
    chosen = choose_images(labels, 21, 4)
    assert torch.bincount(labels[chosen]).tolist() == [8, 8, 5]
    assert torch.equal(chosen, choose_images(labels, 21, 4)) and not torch.equal(chosen, choose_images(labels, 21, 5))
    assert len(choose_images(labels, 1000, 0).unique()) == 75
    with pytest.raises(ValueError, match="at least one"):
        choose_images(labels, 0, 0)


def test_the_sentence_says_it_both_ways_round_and_when_it_cannot_be_told() -> None:
    ours, theirs = np.zeros(200), np.full(200, 0.1)
    ours[:122] = 0.2
    [found] = corrected([compare("centre_prior", "overlap", ours, theirs)])
    assert found.sentence() == (
        "This map locates the object better than the centre prior on 61% of 200 images "
        f"(95% interval 54% to 67%, p = {stats.binomtest(122, 200).pvalue:.3f})."
    )
    [back] = corrected([compare("centre_prior", "overlap", theirs, ours)])
    assert back.verdict is False and "less well than the centre prior" in back.sentence() and "39% of 200" in back.sentence()
    lower_is_better = compare("centre_prior", "deletion", ours, theirs)
    assert lower_is_better.share.value == pytest.approx(0.39)
    assert (
        corrected([lower_is_better])[0]
        .sentence()
        .startswith("Deletion: worse than the centre prior, better on only 39% of 200 images (95% interval")
    )
    tied = ours.copy()
    tied[:118] = theirs[:118]
    unsure = compare("edges", "overlap", np.r_[tied[:122], theirs[:78]], theirs)
    [unsure] = corrected([unsure])
    assert unsure.ties == 196 and unsure.share.count == 4
    assert unsure.sentence().startswith("Inconclusive: this map locates the object better than the edges on")
    assert "4 images on which they differ (196 ties;" in unsure.sentence()
    [never] = corrected([compare("grad_cam", "overlap", np.zeros(200), theirs)])
    assert never.sentence() == (
        "This map locates the object less well than Grad-CAM: it is better on none of 200 images "
        "(95% interval 0% to 2%, p < 0.001)."
    )
    [same] = corrected([compare("edges", "overlap", ours, ours)])
    assert same.sentence() == "This map locates the object exactly as well as the edges on all 200 images."


def test_holm_makes_the_smallest_p_count_for_all_baselines() -> None:
    ours, theirs = np.r_[np.ones(9), np.zeros(1)], np.full(10, 0.5)
    found = corrected([compare(name, "overlap", ours, theirs) for name in ("edges", "centre_prior", "grad_cam")])
    assert [each.p_holm for each in found] == pytest.approx([3 * stats.binomtest(9, 10).pvalue] * 3)
    assert found[0].p_wilcoxon == pytest.approx(stats.wilcoxon(ours - theirs).pvalue)


def test_a_measurement_is_the_same_again_survives_json_and_stops(small_maps_run: Path) -> None:
    net, quick = open_run(small_maps_run), ("untrained", "centre_prior")
    split = run_dataset_of(small_maps_run)
    measured = measure_honesty(net, split, count=12, baselines=quick)
    repeated = measure_honesty(net, split, count=12, baselines=quick)
    for one, other in zip(measured, repeated, strict=True):
        again = Honesty.from_tree(json.loads(json.dumps(other.to_tree())))
        for measure, row in one.values.items():
            assert set(row) == {MAP, *quick} | ({CEILING} if measure in ON_OBJECT else set())
            for name, figures in row.items():
                assert np.array_equal(figures, again.values[measure][name], equal_nan=True), (measure, name)
        assert one.sentences() == again.sentences() and "centre prior" in " ".join(one.sentences())
    with pytest.raises(MeasurementStopped):
        measure_honesty(net, split, count=12, baselines=quick, should_stop=lambda: True)
    with pytest.raises(ValueError, match="unknown baselines luck"):
        measure_honesty(net, split, baselines=["luck"])
    with pytest.raises(ValueError, match="no map with positions at 'x'"):
        measure_honesty(net, split, taps=["x"])


def test_all_maps_of_a_network_are_measured_together_as_each_is_alone(small_maps_run: Path) -> None:
    net, split = open_run(small_maps_run), run_dataset_of(small_maps_run)
    names = ("random", "centre_prior", "untrained")
    together = measure_honesty(net, split, count=6, baselines=names)
    assert [each.tap for each in together] == spatial_taps(net) and len(together) > 1
    for each in together:
        (alone,) = measure_honesty(net, split, taps=[each.tap], count=6, baselines=names)
        assert alone.to_tree() == each.to_tree()
        assert {comparison.baseline for comparison in each.comparisons("overlap")} <= set(names)  # the ceiling is no competitor
        for measure in ON_OBJECT:
            for name in (MAP, "untrained", "random"):
                best, of_map = each.values[measure][CEILING], each.values[measure][name]
                assert (np.isnan(of_map) | np.isnan(best) | (of_map <= best + 1e-9)).all(), (each.tap, measure, name)
    random = [each.values["overlap"]["random"] for each in together]
    assert not np.array_equal(random[0], random[-1])


def test_the_table_by_depth_has_a_row_for_each_map_and_says_what_it_beats() -> None:
    good, poor, random, best = np.full(30, 0.6), np.full(30, 0.1), np.full(30, 0.2), np.full(30, 0.9)
    found = [
        Honesty("run", tap, 0, np.arange(30), {"overlap": {MAP: ours, "random": random, CEILING: best}}, np.zeros(30))
        for tap, ours in (("a.tap", good), ("b.tap", poor))
    ]
    [(heading, rows)] = depth_table(found, {"a.tap": "block 1", "b.tap": "block 2"})
    assert heading.startswith("Overlap (IoU)")
    assert rows == [
        ["", "This map", "Random map", "Best map of this grid", "better than"],
        ["block 1", "0.600", "0.200", "0.900", "a random map"],
        ["block 2", "0.100", "0.200", "0.900", "none of the baselines"],
    ]


def run_dataset_of(path: Path) -> Split:
    return load_dataset(RunFolder(path).config.dataset).test


@pytest.mark.slow
def test_killed_started_again_stopped_and_kept(run_id: str, private_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(private_home / "runs" / run_id)
    taps = spatial_taps(open_run(folder.path))
    asked = Measurement(folder, 60)
    assert asked.status().state is MeasurementState.NONE
    child = asked.start()
    assert child is not None and asked.start() is None  # one is enough
    wait_until(lambda: asked.status().total == 60, "it does not begin to measure")
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: asked.status().state is MeasurementState.FAILED, "its death is not seen")
    assert "ended unexpectedly" in asked.status().reason and asked.result() is None
    assert asked.start() is not None
    wait_until(lambda: asked.status().total == 60, "it does not begin again")
    asked.stop()
    wait_until(lambda: asked.status().state is not MeasurementState.RUNNING, "it does not stop")
    assert asked.status().state is MeasurementState.STOPPED and asked.result() is None

    assert cli.main(["honesty", run_id, "--images", "8", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [each["tap"] for each in first["maps"]] == taps and Path(first["kept"]).is_file()
    assert {each["images"] for each in first["maps"]} == {8}
    made = set(BASELINES) - set(TOKEN_MAPS)
    assert set(first["maps"][0]["means"]["deletion"]) == {MAP, *made}
    assert set(first["maps"][0]["means"]["overlap"]) == {MAP, *made, CEILING}
    kept = Measurement(folder, 8)
    assert kept.status().state is MeasurementState.DONE and [each.path for each in finished_measurements(folder)] == [kept.path]
    assert cli.main(["honesty", run_id, "--images", "8", "--layer", taps[0]]) == 0  # of the maps that are measured already
    told = capsys.readouterr().out
    assert taps[0] in told and "Best map of this grid" in told and taps[-1] not in told
    assert cli.main(["honesty", run_id, "--images", "8", "--layer", "no.such"]) == 2
    assert "no map over positions there" in capsys.readouterr().err
    os.utime(folder.best_path, (1, 1))  # other weights
    assert kept.result() is None and kept.status().state is MeasurementState.NONE


def test_a_shipped_run_is_not_written_to(small_maps_run: Path, private_home: Path) -> None:
    below = private_home.resolve() / "honesty" / small_maps_run.name
    assert Measurement(RunFolder(small_maps_run), 5).path == below / "5-0"
    assert Measurement(RunFolder(small_maps_run), 5, tap="a.tap").path == below / "a.tap-5-0"


def test_the_page_shows_the_strip_the_kept_result_and_the_reason_of_a_failure(
    app: AppTest, listed_run_id: str, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(private_home / "runs" / listed_run_id)
    split = run_dataset(get_manager().get(listed_run_id)).test
    net = open_run(folder.path)
    found = measure_honesty(net, split, count=10, baselines=("untrained", "centre_prior"))
    app.query_params["run"] = listed_run_id
    open_page(app, INSPECT)
    assert "Grad-CAM" not in texts(app)  # folded
    app.query_params["honesty"] = "true"
    open_page(app, INSPECT)
    assert "**This map**" in texts(app) and "**Untrained network**" in texts(app) and "**Occlusion**" not in texts(app)
    app.toggle("honesty.slow").set_value(True).run()
    assert not app.exception and "**Occlusion**" in texts(app) and "Jain and Wallace" in texts(app)
    assert app.button("honesty.start").label == "Measure all maps on 200 test images"
    assert "points at the object" in texts(app), "why the section begins with this map"

    asked = Measurement(folder, 200)
    asked.path.mkdir(parents=True)
    asked.write_progress("failed", failed="the disk is full")
    app.run()
    assert "The last measurement failed: the disk is full" in texts(app)
    asked.save([each.to_tree() for each in found], asked.weights)
    app.run()
    assert not app.exception
    for each in found:
        app.selectbox(f"honesty.tap.{listed_run_id}").set_value(each.tap).run()
        for sentence in each.sentences():
            assert sentence in texts(app), each.tap
        charts = [chart.proto.spec for chart in app.get("plotly_chart")]
        (depth,) = [json.loads(chart) for chart in charts if "The network's maps" in chart]
        assert len(depth["layout"]["xaxis"]["ticktext"]) == len(found)

    tested = confirmed(SURE, group=folder.config.group, tap=found[0].tap)
    monkeypatch.setattr(paths, "SHOWCASE", tmp_path / "showcase.json")
    write_showcase(paths.SHOWCASE, tested)
    app.selectbox(f"honesty.tap.{listed_run_id}").set_value(found[0].tap).run()
    assert tested.sentence() in texts(app) and tested.verdict() in texts(app), "what several trainings have shown of this map"


def test_channel_gates_have_nothing_to_lay_beside(tmp_path: Path) -> None:
    folder = trained_run(SMALL_MAPS.changed(model__attention="eca", model__width=4, dataset__subset=64), tmp_path)
    with pytest.raises(ValueError, match="channel gates have none"):
        measure_honesty(open_run(folder.path), run_dataset_of(folder.path), count=4)
    shutil.rmtree(folder.path)
