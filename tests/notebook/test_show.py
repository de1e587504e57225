"""`attnlab.show`: any network and any form of images give the page with the viewer, or a sentence on what is missing."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import attnlab
from attnlab import paths

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 36, 3), np.uint8)
HALF = {"mean": 0.5, "std": 0.25}


def network(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    block = attnlab.build_attention("cbam", 4, (16, 16))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), block, *more)


def classifier(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return network(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def panels(shown: attnlab.notebook.Shown) -> list[dict[str, Any]]:
    """What the viewer in the page is given."""
    found = re.search(r'getElementById\("viewer"\), (\{.*\}), "[^"]*"\);', shown.page)
    assert found
    described = json.loads(found.group(1))["meta"]["panels"]
    assert isinstance(described, list)
    return described


@pytest.mark.parametrize(
    "given",
    [
        torch.from_numpy(PICTURE).permute(2, 0, 1),
        torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() / 255,
        (torch.from_numpy(PICTURE).permute(2, 0, 1).float() / 255 - 0.5) / 0.25,
        PICTURE,
        PICTURE[None].astype(np.float64) / 255,
        Image.fromarray(PICTURE),
        [PICTURE],
        "picture.png",
    ],
    ids=["bytes", "batch", "normalised", "array", "arrays", "pillow", "list", "path"],
)
def test_the_same_picture_in_every_form_gives_the_same_page(given: Any, tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    given = tmp_path / given if isinstance(given, str) else given
    model = classifier()
    assert attnlab.show(model, given, **HALF).page == attnlab.show(model, PICTURE, **HALF).page


def test_pictures_of_several_sizes_and_their_labels() -> None:
    model = classifier().train()
    images = [torch.rand(3, 16, 16), torch.rand(2, 3, 20, 24), Image.fromarray(PICTURE)]
    shown = attnlab.show(model, images, labels=[0, 1, 2, 0], class_names=["a", "b", "c"], **HALF)
    assert [panel["truth"] for panel in panels(shown)] == [0, 1, 2, 0]
    assert [(panel["image"]["height"], panel["image"]["width"]) for panel in panels(shown)] == [
        *[(16, 16), (20, 24), (20, 24), (24, 36)]
    ]
    assert shown.about == "4 images, 2 maps" and model.training


class _Answer(nn.Module):
    """Wraps what a network returns, as other libraries do."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.net, self.wrap = classifier(), wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.net(x))


@pytest.mark.parametrize(
    ("wrap", "classes"),
    [
        (lambda logits: logits, 3),
        (lambda logits: logits.softmax(1), 3),
        (lambda logits: OrderedDict(logits=logits, other=None), 3),
        (lambda logits: (logits, "more"), 3),
        (lambda logits: logits[:, :1], 2),
        (lambda logits: logits[:, :, None, None], 0),
        (lambda logits: {"features": logits[..., None]}, 0),
        (lambda logits: None, 0),
    ],
    ids=["logits", "probabilities", "named", "tuple", "one logit", "a map", "features", "nothing"],
)
def test_predictions_are_shown_where_the_output_tells_classes_apart(wrap: Any, classes: int) -> None:
    (panel,) = panels(attnlab.show(_Answer(wrap), torch.rand(3, 16, 16), **HALF))
    assert len(panel["classes"]) == classes
    assert ("probabilities" in panel) == (classes > 0)
    assert len(panel["layers"]) == 2


@pytest.mark.parametrize(
    ("what", "images", "options", "said"),
    [
        (classifier(), PICTURE, {}, "pass mean= and std= as in its training"),
        (classifier(), PICTURE, {"mean": 0}, "pass std= as in its training"),
        (nn.Conv2d(3, 4, 3), PICTURE, HALF, "attnlab.adopt(model, example)"),
        (classifier(), None, HALF, "needs images"),
        (classifier(), [], HALF, "at least one image is needed"),
        (classifier(), 5, HALF, "int is not a picture"),
        (classifier(), torch.full((3, 16, 16), 3.0), {"mean": 0, "std": 1}, "the picture would go from 3 to 3"),
        (classifier(), torch.zeros(3, 16, 16, dtype=torch.int64), HALF, "these are int64"),
        (classifier(), torch.full((3, 16, 16), torch.nan), HALF, "not finite"),
        (classifier(), torch.rand(5, 16, 16), HALF, "C being 1 or 3"),
        (classifier(), np.zeros((3, 16, 17)), HALF, "a tensor may be (C, H, W)"),
        (classifier(), np.zeros((900, 20, 3)), HALF, "pass size="),
        (classifier(), torch.rand(17, 3, 8, 8), HALF, "at most 16 images"),
        (classifier(), PICTURE, {**HALF, "class_names": ["a"]}, "1 class names were given, but the network returns 3 classes"),
        (classifier(), PICTURE, {**HALF, "labels": [3]}, "label 3 is none of 3 classes"),
        (classifier(), PICTURE, {**HALF, "labels": [0, 1]}, "1 images need as many labels, not 2"),
        (classifier(), PICTURE, {"mean": [0, 0], "std": 1}, "3 numbers, one for each channel"),
        (3, PICTURE, HALF, "not int"),
        ("no-such-run", PICTURE, {}, "no-such-run"),
    ],
)
def test_what_is_missing_is_said(what: Any, images: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as refused:
        attnlab.show(what, images, **options)
    assert said in str(refused.value)


def test_a_run_shows_any_image_and_over_its_training_those_it_kept(tmp_path: Path) -> None:
    folder = min(paths.DEMO_RUNS.glob("*-cbam-*"))
    kept = attnlab.show(folder.name)
    first = panels(kept)[0]
    assert len(first["steps"]) > 10 and first["layers"][0]["moments"] == len(first["steps"])
    shown = attnlab.show(folder, [PICTURE, Image.fromarray(PICTURE[..., 0])])
    assert shown.about == "2 images, 6 maps"
    assert attnlab.show(attnlab.open_run(folder), PICTURE[None]).about == "1 image, 6 maps"
    with pytest.raises(ValueError, match="a run knows"):
        attnlab.show(folder, PICTURE, mean=0)
    file = shown.save(tmp_path / "page.html")
    assert file.read_text(encoding="utf-8") == shown.page
    with pytest.raises(OSError):
        shown.save(tmp_path / "none" / "page.html")


def test_names_from_outside_stay_text() -> None:
    shown = attnlab.show(classifier(), PICTURE, class_names=['"><script>', "b", "c"], title="</iframe><b>", **HALF)
    frame = shown._repr_html_()
    assert frame.count("<") == 2 and "allow-same-origin" not in frame
