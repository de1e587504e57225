"""``attnlab.show``: the working viewer in a notebook or as a file, of a run or of any network with attention taps.

The page is the one that the app saves: the viewer, the pictures and the maps in one text. A notebook shows it in a frame of
its own, so it needs no server and no network, and goes on working when the kernel has ended.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from attnlab import paths
from attnlab.attention import attention_taps
from attnlab.data.given import Seen, fitted, images_for, pictures
from attnlab.explain.inspection import OpenNetwork, inspect_images
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.files import write_file
from attnlab.runs.errors import UnknownRun
from attnlab.runs.folder import RunFolder
from attnlab.ui.components.offline import offline_page
from attnlab.ui.network_panel import network_panel
from attnlab.viz.panels import Panel
from attnlab.viz.snapshots import snapshot_panel

MOST_IMAGES = 16
"""Each image is a panel with all its maps, and a page beyond this is slow."""
_HEIGHT, _MORE_HEIGHT, _BESIDE = 900, 500, 3
"""Height of the frame in a notebook, in pixels: of the first row of panels, and of each further one of so many panels."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The viewer as a page. As the last line of a notebook's cell it appears below it.

    Attributes:
        page: the whole page, as HTML.
        title: of the page.
        about: what is in it, in a few words.
        height: of the frame in a notebook, in pixels; the page scrolls in it.
    """

    page: str
    title: str
    about: str
    height: int

    def save(self, path: str | Path) -> Path:
        """Writes the page as a file that any browser opens, without a network. Returns its path.

        Raises:
            OSError: when it cannot be written; a file that was there stays as it was.
        """
        target = Path(path)
        write_file(target, lambda stream: stream.write(self.page.encode()))
        return target

    def _repr_html_(self) -> str:
        """A frame that holds the page. It may run scripts and save files, and reaches nothing of the notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="{html.escape(self.title)}" '
            f'sandbox="allow-scripts allow-downloads" '
            f'style="width: 100%; height: {self.height}px; border: 0; border-radius: 6px"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<attnlab viewer: {self.about}, {len(self.page) / 1e6:.1f} MB; .save(path) writes it as a file>"


def show(
    what: Any,
    images: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    size: int | tuple[int, int] | None = None,
    labels: Sequence[int] | None = None,
    title: str = "",
    height: int | None = None,
) -> Shown:
    """The attention maps of some images in the working viewer, for a notebook or as a file.

    Args:
        what: a run (its id, the path of its folder, or what `attnlab.open_run` returns), or any network with attention taps:
            one of attnlab, your own with blocks of `attnlab.build_attention`, or what `attnlab.adopt` makes of a network of
            timm, torchvision or transformers. It is used in evaluation mode, where it is, and left as it was.
        images: tensors (B, C, H, W) or (C, H, W), arrays (H, W, 3), Pillow images, paths of image files, or a list of these;
            numbers are uint8 from 0 to 255, or from 0 to 1, or normalised by ``mean`` and ``std``. Without images a run shows
            those it kept, over its training.
        class_names: in the order of the outputs. Without them the classes are numbered; with ``[]`` no prediction is shown.
        mean, std: what the network's images are normalised by, per channel, on images in [0, 1]; needed for a network that
            does not say it itself, as those of timm do. ``mean=0, std=1`` leaves them as they are. A run knows its own.
        size: height and width that files, arrays and Pillow images are made to fit; the shorter side is made as long, and the
            centre cut out. Tensors are shown to a network as they are.
        labels: the true class of each image.
        title: of the page.
        height: of the frame in a notebook, in pixels.

    Raises:
        ValueError: when something is missing or does not fit; the message says what to do.
        OpenError: when the network of a run cannot be opened.

    Example:
        >>> import torch, attnlab
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), attnlab.build_attention("cbam", 8, (16, 16)))
        >>> attnlab.show(model, torch.rand(1, 3, 16, 16), mean=0.5, std=0.25).about
        '1 image, 2 maps'
    """
    given = {"class_names": class_names, "mean": mean, "std": std, "size": size}
    if isinstance(what, str | Path) or (isinstance(what, OpenRun) and images is None):
        folder = RunFolder(what.folder) if isinstance(what, OpenRun) else _run_folder(what)
        if images is None:
            _refuse_for_a_run(given | {"labels": labels})
            kept = folder.probes()
            panels = [
                _numbered(snapshot_panel(folder, at, title=""), at) for at in range(0 if kept is None else len(kept.labels))
            ]
            return _shown(panels, title or folder.run_id, "The images that the run kept, over its training.", height)
        what = open_run(folder.path, folder.best_or_last)
    if images is None:
        raise ValueError("show() needs images: tensors, arrays, Pillow images or paths of image files")
    if isinstance(what, OpenRun):
        _refuse_for_a_run(given)
        network, seen = _of_run(what, images)
    else:
        network, seen = _of_network(what, images, class_names, mean, std, size)
    if len(seen) > MOST_IMAGES:
        raise ValueError(f"show() takes at most {MOST_IMAGES} images at a time, not {len(seen)}")
    truths: Sequence[int | None] = [None] * len(seen) if labels is None else [int(label) for label in labels]
    if len(truths) != len(seen):
        raise ValueError(f"{len(seen)} images need as many labels, not {len(truths)}")
    for truth in truths:
        if truth is not None and network.class_names and not 0 <= truth < len(network.class_names):
            raise ValueError(f"label {truth} is none of {len(network.class_names)} classes")
    panels = _panels(network, seen, truths)
    return _shown(panels, title or network.name, _how_seen(network), height)


def _of_run(run: OpenRun, images: Any) -> tuple[OpenNetwork, list[Seen]]:
    return run, [fitted(pixels, run.shape) for pixels in pictures(images, run.mean, run.std)]


def _of_network(
    what: Any,
    images: Any,
    class_names: Sequence[str] | None,
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    size: int | tuple[int, int] | None,
) -> tuple[OpenNetwork, list[Seen]]:
    model = what if isinstance(what, nn.Module) else getattr(what, "model", None)
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"show() takes a run (its id or folder) or a network (a torch.nn.Module), and not {type(what).__name__}"
        )
    if not attention_taps(model):
        raise ValueError(
            f"{type(model).__name__} has no attention that attnlab can show. For a network of timm, torchvision or "
            "transformers pass attnlab.adopt(model, example) instead; in your own, put blocks of attnlab.build_attention, or "
            "pass the weights of your own block through an attnlab.attention.AttentionTap"
        )
    seen, mean, std = images_for(model, images, mean, std, size)
    shape = seen[0].shape
    name = str(getattr(what, "name", "") or type(model).__name__)
    network = OpenNetwork(model=model, class_names=(), mean=mean, std=std, shape=shape, name=name)
    classes = inspect_images(model, seen[0].image[None], mean, std, probabilities=network.probabilities).probabilities.shape[1]
    names = tuple(f"class {number}" for number in range(classes)) if class_names is None else tuple(map(str, class_names))
    if names and len(names) != classes:
        found = f"{classes} classes" if classes else "something else than scores of classes"
        raise ValueError(f"{len(names)} class names were given, but the network returns {found}")
    return replace(network, class_names=names), seen


def _panels(network: OpenNetwork, seen: Sequence[Seen], truths: Sequence[int | None]) -> list[Panel]:
    """A panel for each image. Where maps lie depends on the size of the image, so each size has its own places."""
    of_shape: dict[tuple[int, int, int], OpenNetwork] = {}
    panels = []
    for at, (each, truth) in enumerate(zip(seen, truths, strict=True)):
        shape = each.shape
        sized = of_shape.setdefault(shape, network if shape == network.shape else replace(network, shape=shape))
        panel = network_panel(sized, each.image, title="", truth=truth, picture=each.picture)
        panels.append(_numbered(panel, at))
    return panels


def _numbered(panel: Panel, at: int) -> Panel:
    return replace(panel, title=f"image {at + 1}")


def _how_seen(network: OpenNetwork) -> str:
    """How the images reach the network, in a sentence."""
    _, height, width = network.shape
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (network.mean, network.std))
    numbered = " The classes have no names." if network.class_names[:1] == ("class 0",) else ""
    return (
        f"Attention maps of {network.name}, made with attnlab. It sees {height} × {width} pixels, normalised by the mean "
        f"{mean} and the standard deviation {std}.{numbered}"
    )


def _shown(panels: Sequence[Panel], title: str, note: str, height: int | None) -> Shown:
    maps = max((len(panel.layers) for panel in panels), default=0)
    about = f"{len(panels)} image{'' if len(panels) == 1 else 's'}, {maps} map{'' if maps == 1 else 's'}"
    rows = -(-len(panels) // _BESIDE)
    return Shown(offline_page(panels, title=title, note=note), title, about, height or _HEIGHT + _MORE_HEIGHT * (rows - 1))


def _run_folder(run: str | Path) -> RunFolder:
    """The files of a run, by the path of its folder or its id.

    Raises:
        UnknownRun: when there is no such run.
    """
    places = [Path(run), paths.runs_dir() / run, paths.DEMO_RUNS / run]
    for place in places:
        with suppress(OSError):
            if (place / "config.json").is_file():
                return RunFolder(place.resolve())
    raise UnknownRun(str(run))


def _refuse_for_a_run(given: dict[str, Any]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ValueError(f"a run knows its classes and its images; leave out {', '.join(named)}")
