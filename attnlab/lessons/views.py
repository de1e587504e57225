"""What a lesson can open and point at: the pages, what their links understand, and their controls by name.

A parameter holds a choice, a number, or a text; a control is a place in the page, by CSS selectors that are also looked for
inside components. The browser tests of the lessons hold this table to the pages. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FLAG = ("true", "false")
DIGIT = ("0", "1")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
WHOLE = re.compile(r"\d{1,9}")
PLACES = re.compile(r"[01](\.\d+)?_[01](\.\d+)?(~[01](\.\d+)?_[01](\.\d+)?)*")
ANY = re.compile(r".+", re.DOTALL)
OPERATIONS = (
    *("Off", "Uniform", "Shuffled", "Sharper or flatter", "Inverted", "Painted", "Gamma"),
    *("Channel attention only", "Spatial attention only"),
)
"""Titles of `attnlab.explain.surgery.operations.OPERATIONS`, said here because that file needs torch; a test compares them."""

Values = tuple[str, ...] | re.Pattern[str]


@dataclass(frozen=True)
class Control:
    """A control, or a part of a page.

    Attributes:
        words: what it is called in a sentence.
        selectors: the first that is found in the page is it.
    """

    words: str
    selectors: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A page of the app.

    Attributes:
        file: as `st.switch_page` takes it.
        parameters: what its link understands beside the run: name -> values.
        controls: by name.
        takes_run, takes_beside: whether its link names a run, and runs beside it.
    """

    file: str
    parameters: Mapping[str, Values] = field(default_factory=dict)
    controls: Mapping[str, Control] = field(default_factory=dict)
    takes_run: bool = False
    takes_beside: bool = False


_VIEWER: dict[str, Values] = {
    "ly": WHOLE,
    "al": DIGIT,
    "st": WHOLE,
    "op": NUMBER,
    "th": NUMBER,
    "ct": ("value", "percentile"),
    "ga": NUMBER,
    "sm": DIGIT,
    "bl": ("heat", "reveal", "contour"),
    "sc": ("absolute", "map", "image", "layer"),
    "pr": ("row", "column", "entropy", "token"),
    "nx": WHOLE,
    "ch": WHOLE,
    "so": DIGIT,
    "mk": DIGIT,
    "px": PLACES,
}
"""Of the viewer, see `attnlab/ui/components/viewer/view.js`."""

PAGES: dict[str, Page] = {
    "": Page(
        "pages/home.py",
        {"picture": WHOLE},
        {
            "image": Control("the choice of an image", (".st-key-picture",)),
            "finding": Control("the maps that find the object", (".st-key-home-viewer-0",)),
            "failing": Control("a map that does not find the object", (".st-key-home-viewer-2",)),
            "play": Control("the time-lapse of the training", (".st-key-home-viewer-0 .time", ".time")),
        },
    ),
    "inspect": Page(
        "pages/inspect_attention.py",
        {
            "from": ("test", "learned", "own"),
            "img": WHOLE,
            "probe": WHOLE,
            "class": ANY,
            "outcome": ("all", "right", "wrong"),
            "surgery": FLAG,
            "honesty": FLAG,
            "operation": OPERATIONS,
            "where": ANY,
            "strength": NUMBER,
            "temperature": NUMBER,
            "gamma": NUMBER,
            "draw": WHOLE,
            "strokes": ANY,
            **_VIEWER,
        },
        {
            "run": Control("the choice of a run", (".st-key-inspect-run",)),
            "source": Control("the choice of images", ("[class*=st-key-inspect-from]",)),
            "images": Control("the strip of images", (".picker",)),
            "map": Control("the map", (".attention-viewer .stage",)),
            "prediction": Control("the prediction", (".attention-viewer .odds",)),
            "maps": Control("the buttons that choose a map", (".attention-viewer .layers",)),
            "steps": Control("the slider of training steps", (".attention-viewer .time",)),
            "channels": Control("the bars of the channels", (".attention-viewer .strip",)),
            "scale": Control("the colour bar", (".attention-viewer .legend-box",)),
            "gamma": Control("the curve of gamma", ("[class*=st-key-inspect-scalars]",)),
            "surgery": Control("the section Surgery", (".st-key-surgery",)),
            "operation": Control("the choice of an operation", (".surgery .operations", ".st-key-operation")),
            "where": Control("the choice of the map it acts on", (".surgery .where", ".st-key-where")),
            "after": Control("the prediction before and after", (".surgery .before-after", "[class*=st-key-surgery-shift]")),
            "honesty": Control("the section Honesty", (".st-key-honesty",)),
        },
        takes_run=True,
        takes_beside=True,
    ),
    "compare": Page(
        "pages/compare.py",
        {"compare.dataset": ANY},
        {
            "baseline": Control("the baseline", (".st-key-compare-baseline",)),
            "table": Control("the table", ("[data-testid=stDataFrame]",)),
            "every-run": Control("the chart of every run", (".st-key-compare-strip",)),
            "curves": Control("the curves", (".st-key-compare-curves",)),
        },
    ),
    "melanoma": Page(
        "pages/melanoma.py",
        {"melanoma.threshold": NUMBER},
        {
            "run": Control("the choice of a run", (".st-key-melanoma-run",)),
            "roc": Control("the ROC curves", (".st-key-melanoma-roc",)),
            "threshold": Control("the decision threshold", (".st-key-melanoma-threshold",)),
            "gates": Control("the pictures of the gates", (".st-key-melanoma-colours",)),
            "claim": Control("the test of the article's claim", (".st-key-melanoma-claim",)),
        },
        takes_run=True,
    ),
    "reproduce": Page(
        "pages/reproduce.py",
        {},
        {
            "grid": Control("the choice of a table", (".st-key-reproduce-grid",)),
            "table": Control("the table", ("[data-testid=stDataFrame]",)),
        },
    ),
}
"""By address; the empty one is Home."""

PARTS: dict[str, Control] = {
    "menu": Control("the menu", ("[data-testid=stTopNavSection]", "[data-testid=stTopNavLink]")),
    "run": Control("the choice of runs, on Inspect", (".st-key-inspect-run", "[class*=st-key-inspect-beside]")),
    "source": PAGES["inspect"].controls["source"],
    "surgery": PAGES["inspect"].controls["surgery"],
    "honesty": PAGES["inspect"].controls["honesty"],
    "data": Control("the data, on Train", (".st-key-train-data",)),
    "attention": Control("the attention, on Train", (".st-key-train-attention",)),
    "network": Control("the network, on Train", (".st-key-train-network",)),
    "training": Control("the settings of the training and the seeds, on Train", (".st-key-train-training",)),
    "protocol": Control("the protocol switches, on Train", (".st-key-form-protocol_expander",)),
    "downloads": Control("the download buttons", ("[data-testid=stDownloadButton]",)),
}
"""What a link can hide and lock; unlike of a control, all that the selectors find is meant. `attnlab.ui.hidden` does it."""
