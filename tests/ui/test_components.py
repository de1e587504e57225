"""What travels between Python and the browser's components arrives as it is, in both directions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attnlab.ui.components.large_maps import encode_weights
from attnlab.ui.components.mask_editor import Canvas, cells_from_link, cells_to_link, decode_cells
from attnlab.ui.components.offline import offline_page
from attnlab.viz.panels import Panel, pack
from tests.viz.test_panels import IMAGE, panels

JAVASCRIPT = Path(__file__).parents[1] / "js"


def test_browser_reads_what_python_packed_and_python_what_the_browser_sends(tmp_path: Path) -> None:
    """Panels and the answer about a large map in one direction, painted cells in the other."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; it runs the JavaScript")
    packed = panels()
    meta, content = pack(packed)
    weights = np.array([[0.25, 1.5, 4.0], [0.0, 0.125, 2.0]], np.float32)
    files = {name: tmp_path / name.lower() for name in ("META", "BYTES", "ANSWER", "READ")}
    files["META"].write_text(json.dumps(meta))
    files["BYTES"].write_bytes(content.tobytes())
    files["ANSWER"].write_text(json.dumps(encode_weights(weights)))
    environment = os.environ | {name: str(path) for name, path in files.items()}
    script = JAVASCRIPT / "payload.test.js"
    result = subprocess.run([node, "--test", str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr

    read = json.loads(files["READ"].read_text())
    first, second = read["panels"]
    assert first["pixels"] == IMAGE.ravel().tolist()
    assert second["pixels"] == np.repeat(IMAGE[:, :, :1], 3, axis=2).ravel().tolist()
    assert np.array(first["mask"]).sum() == 4
    assert first["probabilities"][1] == [0.75, 0.25]
    for values, source in zip(first["layers"], packed[0].layers, strict=True):
        np.testing.assert_allclose(np.array(values), [source.weights(moment) for moment in range(source.moments)], atol=1e-6)
    np.testing.assert_allclose(read["weights"], weights.ravel(), rtol=5e-4)

    canvas = Canvas("a map", np.zeros((4, 5), np.float32))  # the second row is painted from its second to its fourth cell
    cells = decode_cells({"id": canvas.identity, "cells": read["cells"]}, canvas)
    assert cells is not None and cells_to_link(cells) == "0x6.1x3"
    assert (cells_from_link("0x6.1x3", canvas) == cells).all()


def test_page_sends_bytes_that_streamlit_does_not_turn_into_text() -> None:
    """A value Streamlit cannot serialise silently becomes a string; the maps must arrive as an array."""

    def page() -> None:
        import numpy as np

        from attnlab.ui.components.viewer import viewer
        from attnlab.viz.panels import Panel, layer

        shown = Panel("run <b>", np.zeros((4, 4, 3), np.uint8), [layer("a", "spatial", np.eye(4))])
        viewer([shown], key="v")

    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    proto = at.get("bidi_component")[0].proto
    data = json.loads(proto.mixed.json)
    assert data["meta"]["panels"][0]["layers"][0]["grid"] == [4, 4]
    assert list(data["bytes"]) != [] and len(proto.mixed.arrow_blobs) == 1


def test_the_offline_page_needs_no_network_and_cannot_be_broken_out_of() -> None:
    text = offline_page([Panel("</script><b>", IMAGE)], title="a < b")
    assert "a &lt; b" in text
    assert text.count("</script>") == 1
    assert "src=" not in text and "@import" not in text and "fetch(" not in text
