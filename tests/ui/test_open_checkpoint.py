"""A checkpoint of the original repositories, from the file to its maps: on the page, on the command line, and as a folder."""

import argparse
import io
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.attention import MapScale
from attnlab.cli.app import main
from attnlab.config import DatasetConfig
from attnlab.experiments.managers import get_manager
from attnlab.explain import open_run
from attnlab.interop import open_reference
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.imported import NO_PICTURES, NORMALISATION, import_checkpoint
from attnlab.runs.records import RunState
from attnlab.ui.format import plain
from tests.interop.reference import random_state_dict
from tests.pages import open_page, texts

PAGE = "pages/open_checkpoint.py"
L2PA = {"pooling": "before", "normalize": "sigmoid"}


def narrow(weights: dict[str, torch.Tensor], part: int) -> dict[str, torch.Tensor]:
    """The same network with every width divided, so that a test need not hold 80 MB."""
    kept = {"classify.weight": 0, "classify.bias": 0, "cls.weight": 0, "cls.bias": 0}

    def cut(name: str, value: torch.Tensor) -> torch.Tensor:
        for axis in range(min(value.dim(), 2)):
            size = value.shape[axis]
            if size > 3 and kept.get(name) != axis:
                value = value.narrow(axis, 0, size // part)
        return value.clone()

    return {name: cut(name, value) for name, value in weights.items()}


@pytest.fixture(scope="module")
def l2pa() -> dict[str, torch.Tensor]:
    return narrow(random_state_dict("l2pa/before-sigmoid"), 16)


def torch_file(weights: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    half = {name: value / 2 if value.is_floating_point() else value for name, value in weights.items()}
    state = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"state_dict": state, "ema": half, "args": argparse.Namespace(lr=0.1)}, buffer)
    return buffer.getvalue()


def test_an_imported_run_gives_the_logits_of_the_reference_and_its_maps(private_home: Path, l2pa: dict) -> None:
    folder = import_checkpoint(
        private_home / "runs", l2pa, source="weights/net.pth", dataset=DatasetConfig(name="cifar10"), choices=L2PA
    )
    assert folder.observe().state is RunState.FINISHED
    assert (folder.meta()["title"], folder.config.model.width) == ("net.pth", 4)
    run = open_run(folder.path)
    assert run.class_names[0] == "airplane" and len(run.class_names) == 10
    assert (run.mean, run.std) == NORMALISATION["l2pa"]
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in NORMALISATION["l2pa"])
    expected = open_reference(l2pa, **L2PA)((image / 255 - mean) / std).softmax(dim=1)
    seen = run.inspect(image)
    torch.testing.assert_close(torch.from_numpy(seen.probabilities), expected.detach(), rtol=1e-4, atol=1e-5)
    assert [found.scale for found in seen.maps] == [MapScale.GATE] * 3


def test_a_single_output_tells_two_classes_apart(private_home: Path) -> None:
    weights = narrow(random_state_dict("attnmel/softmax"), 16)
    weights["cls.weight"], weights["cls.bias"] = weights["cls.weight"][:1], weights["cls.bias"][:1]
    folder = import_checkpoint(
        private_home / "runs", weights, source="x", dataset=DatasetConfig(name="lesions"), choices={"normalize": "softmax"}
    )
    run = open_run(folder.path)
    assert run.shape == (3, 224, 224) and len(run.class_names) == 2
    probabilities = run.inspect(torch.zeros(1, 3, 224, 224, dtype=torch.uint8)).probabilities
    assert probabilities.shape == (1, 2) and probabilities.sum() == pytest.approx(1)


def test_another_number_of_classes_is_refused(private_home: Path, l2pa: dict) -> None:
    with pytest.raises(ValueError, match="has 10 classes, but lesions has 2"):
        import_checkpoint(private_home / "runs", l2pa, source="x", dataset=DatasetConfig(name="lesions"), choices=L2PA)
    assert run_folders(private_home / "runs") == []


@pytest.mark.slow
def test_the_command_line_opens_a_pickled_file(private_home: Path, tmp_path: Path, l2pa: dict, capsys) -> None:
    file = tmp_path / "net.pth"
    file.write_bytes(torch_file(l2pa))
    assert main(["open", str(file), "--dataset", NO_PICTURES, "--choice", "pooling=before", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["reference"] == "l2pa" and told["config"]["model"]["options"]["pooling"] == "before"
    assert (told["weights"], told["sets"]) == ("state_dict.module", ["state_dict.module", "ema"])
    assert told["left_out"] == ["ema (another set of weights)", "args (argparse.Namespace)"]
    assert "Left out: ema (another set of weights), args (argparse.Namespace)." in err
    assert "Left out: ema" in RunFolder(Path(told["folder"])).meta()["note"]
    assert "assuming normalize='softmax'" in err and "pooling" not in err
    assert open_run(Path(told["folder"])).class_names[:2] == ("class 0", "class 1")

    assert main(["open", str(file), "--choice", "pooling"]) == 2
    assert "expected name=value" in capsys.readouterr().err
    save_file({"some.weight": torch.zeros(2)}, file)
    assert main(["open", str(file)]) == 2
    assert "belong to no known reference implementation" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_recognises_asks_and_leads_to_the_maps(app: AppTest, tmp_path: Path, l2pa: dict) -> None:
    file = tmp_path / "checkpoint.pth"
    file.write_bytes(torch_file(l2pa))
    page = open_page(app, PAGE)
    assert "IPMI2019-AttnMel" in texts(page), "what is recognised is listed"
    page.text_input("checkpoint.path").input(str(file)).run()
    assert not page.exception
    assert "Learn To Pay Attention" in page.success[0].value
    assert {metric.label: metric.value for metric in page.metric}["Images"] == "3 × 32 × 32"

    assert plain("args (argparse.Namespace)") in texts(page)
    page.segmented_control("checkpoint.weights.state_dict.module|ema").set_value("ema").run()
    assert plain("Read: ema.") in texts(page)
    page.segmented_control("checkpoint.l2pa.pooling").set_value("before").run()
    page.segmented_control("checkpoint.l2pa.normalize").set_value("sigmoid").run()
    page.selectbox("checkpoint.dataset.3.10").select(NO_PICTURES).run()
    page.button("checkpoint.open").click().run()
    assert not page.exception, page.exception
    (folder,) = run_folders(RunFolder(get_manager().runs()[0].folder).path.parent)
    assert folder.config.model.options == {"depths": 3, **L2PA}
    assert page.title[0].value == "Inspect"
    assert page.selectbox("inspect.run").value == folder.run_id
    assert "opened from checkpoint.pth; it was not trained here" in page.text[0].value
    assert page.file_uploader("inspect.upload") is not None, "without pictures of its own it looks at the person's"


def test_the_page_says_what_a_block_is_and_refuses_other_files(app: AppTest, tmp_path: Path) -> None:
    block, other = tmp_path / "block.safetensors", tmp_path / "other.safetensors"
    save_file(random_state_dict("cbam/64"), block)
    save_file({"some.weight": torch.zeros(2)}, other)
    page = open_page(app, PAGE)
    page.text_input("checkpoint.path").input(str(block)).run()
    assert "This is a block, CBAM, not a network" in texts(page)
    page.text_input("checkpoint.path").input(str(other)).run()
    assert "Not recognised" in texts(page)
    page.text_input("checkpoint.path").input(str(tmp_path / "nowhere.pt")).run()
    assert plain("there is no file nowhere.pt") in texts(page)


def test_a_network_of_timm_opens_by_its_name_and_is_shown_with_what_was_found(app: AppTest) -> None:
    page = open_page(app, PAGE)
    page.segmented_control("open.kind").set_value("A network by its name").run()
    page.segmented_control("named.weights").set_value("random numbers").run()
    page.selectbox("named.name.timm").set_value("test_vit").run()
    assert not page.exception and not page.error
    assert [metric.value for metric in page.metric] == ["371,240", "3 × 160 × 160", "1000"]
    page.button("named.open").click().run()
    assert not page.exception
    assert "attnlab has found its attention by watching one forward pass" in texts(page)
    run = open_run(paths.runs_dir() / page.selectbox("inspect.run").value)
    assert run.config.model.backbone == "timm/test_vit"
    assert {each.head for each in run.inspect(torch.zeros(1, *run.shape, dtype=torch.uint8)).maps} == {0, 1}
