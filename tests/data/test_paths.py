"""Folders and archives of images: every layout, what is skipped, what is refused, and nothing read twice."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attnlab.config import DatasetConfig
from attnlab.data import DataError, ImageDataset, _decoded, _splits, hold_out, load_dataset
from attnlab.data._source import Limits
from attnlab.data.archive import TarSource, ZipSource, open_archive
from attnlab.data.decode import decode_image
from tests.data.packing import Tree, as_folder, as_zip


def picture(level: int, size: tuple[int, int] = (12, 12), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, kind)
    return buffer.getvalue()


def half_mask(size: tuple[int, int] = (12, 12)) -> bytes:
    mask = np.zeros(size[::-1], np.uint8)
    mask[: size[1] // 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def two_classes(prefix: str = "", images: int = 10, first: int = 0) -> Tree:
    return {
        f"{prefix}{name}/{i}.png": picture(20 * (first + i) % 256 // 2 + 128 * label)
        for label, name in enumerate(("cat", "dog"))
        for i in range(images)
    }


def as_tar(packing: str) -> Callable[[Tree, Path], Path]:
    def write(tree: Tree, at: Path) -> Path:
        file = at / f"data.{packing}"  # the name says nothing: the content does
        with tarfile.open(file, f"w:{packing}") as archive:
            for name, content in tree.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return file

    return write


FORMS = {"folder": as_folder, "zip": as_zip, "tar": as_tar(""), "tar.gz": as_tar("gz"), "tar.xz": as_tar("xz")}


def load(path: Path, **config) -> ImageDataset:
    return load_dataset(DatasetConfig(name=str(path), **config))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_data_set(form: str, tmp_path: Path) -> None:
    tree = two_classes("train/") | two_classes("test/", 3, first=10)
    data = load(FORMS[form](tree, tmp_path))
    assert data.class_names == ("cat", "dog")
    assert data.shape == (3, 12, 12)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 6)
    at = data.test.names.index("test/dog/1.png")
    assert (data.test.images[at] == 220 // 2 + 128).all()
    assert data.test.labels[at] == 1
    assert data.provenance.digest == load(as_zip(tree, tmp_path)).provenance.digest, "content, not packing"


@pytest.mark.parametrize(
    ("tree", "counts"),
    [
        pytest.param(two_classes(), (14, 2, 4), id="no split: a stratified fifth for the test"),
        pytest.param(two_classes("wrapped/twice/"), (14, 2, 4), id="wrapped"),
        pytest.param(two_classes("train/"), (14, 2, 4), id="train alone"),
        pytest.param(two_classes("Train/") | two_classes("val/", 4), (18, 2, 8), id="val is the test without test"),
        pytest.param(
            two_classes("train/") | two_classes("valid/", 4) | two_classes("test/", 3), (20, 8, 6), id="all three given"
        ),
        pytest.param(two_classes() | {"cat/deep/er/x.png": picture(1)}, (15, 2, 4), id="deeper belongs to its class"),
        pytest.param(two_classes() | {"README.md": b"x", ".DS_Store": b"x", "cat/.x.png": b"x"}, (14, 2, 4), id="clutter"),
    ],
)
def test_layouts(tree: Tree, counts: tuple[int, int, int], tmp_path: Path) -> None:
    data = load(as_folder(tree, tmp_path))
    assert (len(data.train), len(data.validation), len(data.test)) == counts
    assert set(data.test.labels.tolist()) == {0, 1}


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    tree = {f"{name}/{i}.png": picture(i) for name in ("10", "9", "b", "1") for i in range(4)}
    assert load(as_folder(tree, tmp_path)).class_names == ("1", "9", "10", "b")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        pytest.param("{c}/{i}.jpg", "masks/{c}/{i}.png", id="mirrored tree"),
        pytest.param("{c}/{i}.jpg", "masks/{c}/{i}_segmentation.png", id="mirrored tree with an ending"),
        pytest.param("images/{c}/{i}.jpg", "masks/{c}/{i}.png", id="mirrored tree beside images"),
        pytest.param("{c}/{i}.jpg", "{c}/{i}_mask.png", id="beside the image"),
        pytest.param("{c}/{i}.jpg", "{c}/{i}_mask_1.png", id="beside the image, numbered"),
        pytest.param("{c}/images/{i}.jpg", "{c}/masks/{i}.png", id="in each class"),
        pytest.param("images/{c}/{i}.jpg", "annotations/{c}/{i}.png", id="annotations"),
        pytest.param("{c}/{i}.jpg", "Ground Truth/{c}/{i}.png", id="ground truth"),
        pytest.param("{c}/{c}{i}.jpg", "GT/{c}{i}.png", id="GT, by name"),
        pytest.param("{c}/{c}{i}.jpg", "Part1_Truth/{c}{i}_segmentation.png", id="any folder of names with the ending"),
        pytest.param("train/images/{c}/{i}.jpg", "train/labels/{c}/{i}.png", id="labels inside a part"),
        pytest.param("{c}/{c}{i}.jpg", "masks/{c}{i}.png", id="by name, where it is unique"),
        pytest.param("wrapped/{c}/{i}.jpg", "wrapped/masks/{c}/{i}.bmp", id="wrapped, another suffix"),
    ],
)
def test_masks_are_found_and_fitted_like_images(image: str, mask: str, tmp_path: Path) -> None:
    tree = {}
    for c in ("cat", "dog"):
        for i in range(6):
            tree[image.format(c=c, i=i)] = picture(90, (20, 40), "JPEG")
            tree[mask.format(c=c, i=i)] = half_mask((20, 40))
    data = load(as_folder(tree, tmp_path), image_size=10)
    assert len(data.train) + len(data.validation) + len(data.test) == 12
    assert data.train.masks is not None
    assert data.train.masks[:, :5].all()
    assert not data.train.masks[:, 5:].any()


def test_further_masks_of_a_picture_are_no_pictures(tmp_path: Path) -> None:
    more = {f"{name.removesuffix('.png')}_mask{end}.png": half_mask() for name in two_classes() for end in ("", "_1", "_2")}
    data = load(as_folder(two_classes() | more, tmp_path))
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == len(two_classes())
    assert "cat/0_mask_2.png: a further mask of a picture; the first one is used" in data.provenance.skipped
    assert data.train.masks is not None
    assert (data.train.masks.float().mean((1, 2)) == 0.5).all()


def test_masks_of_zeros_and_ones_count_as_masks(tmp_path: Path) -> None:
    ones = np.array(Image.open(io.BytesIO(half_mask()))) // 255
    buffer = io.BytesIO()
    Image.fromarray(ones).save(buffer, "PNG")
    data = load(as_folder(two_classes() | {f"masks/{name}": buffer.getvalue() for name in two_classes()}, tmp_path))
    assert (data.train.masks.float().mean((1, 2)) == 0.5).all()


def test_mask_of_another_shape_is_left_out_and_told(tmp_path: Path) -> None:
    tree = two_classes() | {"masks/cat/0.png": half_mask((30, 12)), "masks/dog/1.png": half_mask()}
    data = load(as_folder(tree, tmp_path))
    masks = {name: mask for s in (data.train, data.validation, data.test) for name, mask in zip(s.names, s.masks, strict=True)}
    assert not masks["cat/0.png"].any()
    assert masks["dog/1.png"].float().mean() == 0.5
    assert "another shape" in data.extra["masks left out"]


def test_broken_images_are_skipped_by_name(tmp_path: Path) -> None:
    tree = two_classes() | {"cat/cut.png": picture(3, (64, 64))[:60], "dog/text.jpg": b"hello", "dog/notes.txt": b"hi"}
    data = load(as_zip(tree, tmp_path))
    skipped = "\n".join(data.provenance.skipped)
    assert len(data.provenance.skipped) == 3
    assert "cat/cut.png: the image is incomplete" in skipped
    assert "dog/text.jpg: not a picture" in skipped
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    assert load(as_zip(tree, tmp_path)).provenance == data.provenance, "told again from the cache"
    json.dumps(data.summary())


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        pytest.param({"cat/1.png": picture(1), "cat/2.png": picture(2)}, "only one class, cat", id="one class"),
        pytest.param({"a.txt": b"x"}, "no image in a class folder", id="no image"),
        pytest.param({"1.png": picture(1), "2.png": picture(2)}, "no image in a class folder", id="no class folders"),
        pytest.param({"cat/1.png": picture(1), "dog/1.png": picture(9)}, "2 images are too few", id="too few to hold out"),
        pytest.param(dict.fromkeys(two_classes(), b"no image"), "none of the 10 pictures of class cat", id="nothing readable"),
        pytest.param(two_classes("train/") | two_classes("training/"), "mean the same split", id="two trains"),
    ],
)
def test_unusable_sources_are_refused_with_the_reason(tree: Tree, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        load(as_folder(tree, tmp_path))


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*known: .*digits.*give a path"):
        load(tmp_path / "nowhere")
    (tmp_path / "notes.zip").write_text("not a zip")
    with pytest.raises(DataError, match=r"notes.zip is neither a folder nor a supported archive"):
        load(tmp_path / "notes.zip")
    whole = as_tar("gz")(two_classes(), tmp_path)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(DataError, match="damaged"):
        load(cut)
    with pytest.raises(DataError, match="blance: there is no such setting"):
        load(whole, options={"blance": "equal"})


def test_names_that_lead_outside_links_and_doubles_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(255))
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        for name, content in [*two_classes().items(), ("cat/0.png", picture(77)), ("../cat/up.png", picture(1))]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    data = load(tmp_path / "evil.tar")
    skipped = "\n".join(data.provenance.skipped)
    assert "../cat/up.png: leads out" in skipped
    assert "cat/link.png: a link" in skipped
    assert "cat/0.png: a second entry" in skipped
    assert not any((image == 77).all() for split in (data.train, data.validation, data.test) for image in split.images)
    folder = as_folder(two_classes(), tmp_path)
    (folder / "cat" / "link.png").symlink_to(secret)
    assert load(folder).provenance.skipped == ("cat/link.png: a link",)


@pytest.mark.parametrize("packing", ["gz", "xz", "zip"])
def test_bombs_are_stopped_while_they_are_read(packing: str, tmp_path: Path) -> None:
    tree = {f"cat/{i}.png": bytes(1_000_000) for i in range(40)}
    if packing == "zip":
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in tree.items():
                archive.writestr(name, content)
    else:
        path = as_tar(packing)(tree, tmp_path)
    limits = Limits(free_bytes=5_000_000)
    source = open_archive(path, limits)
    with pytest.raises(DataError, match="unpacks to more than"):
        list(source.read(list(tree)))


def test_entries_are_counted_and_large_files_skipped(tmp_path: Path) -> None:
    tree = two_classes()
    for source_type, path in ((ZipSource, as_zip(tree, tmp_path)), (TarSource, as_tar("gz")(tree, tmp_path))):
        with pytest.raises(DataError, match="more than 5 entries"):
            source_type(path, Limits(entries=5)).index()
        read = dict(source_type(path, Limits(file_bytes=10)).read(["cat/0.png"]))
        assert "the file has" in str(read["cat/0.png"])


def test_second_load_decodes_nothing_and_a_subset_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = decode_image

    def count(data: bytes, **options):
        decoded.append(len(data))
        return decode(data, **options)

    monkeypatch.setattr(_decoded, "decode_image", count)
    path = as_zip(two_classes("train/", 50) | two_classes("test/", 20), tmp_path)
    small = load(path, subset=10, test_subset=4)
    assert len(decoded) == 14
    assert (len(small.train), len(small.validation), len(small.test)) == (9, 1, 4)
    assert torch.bincount(small.test.labels).tolist() == [2, 2]
    load(path, subset=10, test_subset=4)
    assert len(decoded) == 14
    whole = load(path)
    assert len(decoded) == 140
    again = load(path)
    assert len(decoded) == 140
    assert torch.equal(whole.train.images, again.train.images)
    assert whole.summary() == again.summary()


def test_changed_folder_is_read_again(tmp_path: Path) -> None:
    folder = as_folder(two_classes(), tmp_path)
    before = load(folder)
    (folder / "cat" / "0.png").write_bytes(picture(201, (13, 13)))
    after = load(folder)
    assert before.provenance.digest != after.provenance.digest
    pixels = torch.cat([split.images for split in (after.train, after.validation, after.test)])
    assert (pixels == 201).all(dim=(1, 2, 3)).any()


def test_own_size_is_the_median_short_side_and_wide_images_lose_their_sides(tmp_path: Path) -> None:
    tree = {f"{name}/{i}.png": picture(10, (60, 30)) for name in ("a", "b") for i in range(5)}
    assert load(as_folder(tree, tmp_path)).shape == (3, 30, 30)
    assert load(as_folder(tree, tmp_path), image_size=16, options={"grey": True}).shape == (1, 16, 16)


def test_large_splits_are_mapped_from_disk(tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_zip(two_classes("train/") | two_classes("test/", 3) | {"masks/train/cat/0.png": half_mask()}, tmp_path)
    plain = load(path)
    monkeypatch.setattr(_splits, "MEMORY_LIMIT", 100)
    mapped = load(path)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(plain, part).images, getattr(mapped, part).images)
        assert torch.equal(getattr(plain, part).masks, getattr(mapped, part).masks)
    assert len(list((private_home / "cache" / "splits").glob("*.npy"))) == 6


def test_normalisation_is_measured_on_the_training_images(tmp_path: Path) -> None:
    data = load(as_folder(two_classes("train/") | two_classes("test/", 2), tmp_path))
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-5)
    imagenet = load(as_folder(two_classes(), tmp_path), options={"normalisation": "imagenet"})
    assert imagenet.mean == (0.485, 0.456, 0.406)


def test_balance_draws_large_classes_down(tmp_path: Path) -> None:
    tree = {f"train/{name}/{i}.png": picture(i) for name, n in (("a", 30), ("b", 8)) for i in range(n)}
    path = as_folder(
        tree | two_classes("test/", 0) | {f"test/{c}/{i}.png": picture(i) for c in "ab" for i in range(5)}, tmp_path
    )
    data = load(path, options={"balance": "equal"})
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert torch.bincount(labels).tolist() == [8, 8]
    assert len(data.test) == 10
    assert "8 of 30" in data.extra["balance"]


def test_hold_out_is_torchs_random_split() -> None:
    labels = torch.zeros(1003, dtype=torch.long)
    kept, held = hold_out(labels, 0.1, 42)
    train, validation = torch.utils.data.random_split(range(1003), [903, 100], torch.Generator().manual_seed(42))
    assert kept.tolist() == sorted(train.indices)
    assert held.tolist() == sorted(validation.indices)


def test_a_subset_holds_every_class(tmp_path: Path) -> None:
    path = as_zip({f"{c}/{i}.png": picture(i) for c in "abcd" for i in range(6)}, tmp_path)
    data = load(path, subset=4, validation=0.25)
    assert set(torch.cat([data.train.labels, data.validation.labels]).tolist()) == {0, 1, 2, 3}
    with pytest.raises(DataError, match="a subset of 3 is too small for 4 classes"):
        load(path, subset=3)


def test_stratified_draw_keeps_proportions_and_every_class() -> None:
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    for count, expected in ((100, [90, 9, 1]), (10, [8, 1, 1]), (3, [1, 1, 1])):
        chosen = _splits.stratified(labels, count, 0)
        assert np.bincount(labels[chosen], minlength=3).tolist() == expected
        assert len(set(chosen.tolist())) == count
    assert not np.array_equal(_splits.stratified(labels, 100, 0), _splits.stratified(labels, 100, 1))


@pytest.mark.data
def test_real_archive(shared_data: Path) -> None:
    told: list[tuple[str, float]] = []
    config = DatasetConfig(name=str(shared_data / "cifar10-mini.tar.gz"))
    data = load_dataset(config, progress=lambda what, done: told.append((what, done)))
    assert data.shape == (3, 32, 32)
    assert data.class_names[:2] == ("airplane", "automobile")
    assert (len(data.train), len(data.validation), len(data.test)) == (900, 100, 200)
    assert told[-1] == ("decoding 1,200 of 1,200 files", 1.0)
