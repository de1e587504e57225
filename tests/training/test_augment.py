"""Augmentations against what they say they do to an image."""

import math

import pytest
import torch

from attnlab.training.augment import augment, crop, flip, rotate


def images(count: int, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_flip_mirrors_half_of_the_images_and_no_other() -> None:
    torch.manual_seed(0)
    before = images(400)
    after = flip(before)
    mirrored = (after == before.flip(-1)).flatten(1).all(dim=1)
    kept = (after == before).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_crop_is_a_window_of_the_padded_image_and_every_window_occurs() -> None:
    torch.manual_seed(0)
    before = images(1).repeat(300, 1, 1, 1)
    padded = torch.nn.functional.pad(before[0], (1, 1, 1, 1))
    windows = [padded[:, top : top + 16, left : left + 16] for top in range(3) for left in range(3)]
    found = {next(i for i, window in enumerate(windows) if torch.equal(window, cropped)) for cropped in crop(before, 1)}
    assert found == set(range(9))


@pytest.mark.parametrize(("height", "width"), [(33, 33), (25, 45), (45, 25)])
def test_rotation_turns_anticlockwise_by_its_angle_also_when_not_square(height: int, width: int) -> None:
    """A dot 10 pixels right of the centre comes to lie at (10 cos a, -10 sin a) from it."""
    image = torch.zeros(1, 1, height, width)
    middle_y, middle_x = height // 2, width // 2
    image[0, 0, middle_y, middle_x + 10] = 255
    angle = math.radians(20)
    turned = rotate(image, torch.tensor([angle]))[0, 0]
    mass = turned / turned.sum()
    x = (mass.sum(dim=0) * torch.arange(width)).sum() - middle_x
    y = (mass.sum(dim=1) * torch.arange(height)).sum() - middle_y
    assert x.item() == pytest.approx(10 * math.cos(angle), abs=0.3)
    assert y.item() == pytest.approx(-10 * math.sin(angle), abs=0.3)


def test_rotation_leaves_corners_black_and_by_zero_changes_nothing() -> None:
    before = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)
    assert rotate(before, torch.tensor([math.radians(10)]))[0, :, 0, 0].max() == 0
    torch.testing.assert_close(rotate(images(2), torch.zeros(2)), images(2).float(), atol=0.02, rtol=0)


@pytest.mark.parametrize("how", ["none", "flip", "crop_flip", "rotate_flip"])
def test_augmented_batches_repeat_with_the_seed_and_keep_their_range(how: str) -> None:
    batches = []
    for _ in range(2):
        torch.manual_seed(7)
        batches.append(augment(images(8), how))
    assert torch.equal(*batches)
    assert batches[0].shape == (8, 3, 16, 16)
    assert batches[0].min() >= 0 and batches[0].max() <= 255
    assert torch.equal(batches[0].float(), images(8).float()) == (how == "none")


def test_an_unknown_augmentation_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="crop_flip"):
        augment(images(1), "mixup")


def test_rotation_with_the_nearest_pixel_invents_no_colour() -> None:
    """A bilinear rotation of black and white has greys; the article's has not."""
    board = (torch.arange(32)[:, None] // 4 + torch.arange(32) // 4) % 2 * 255
    before = board.to(torch.uint8).expand(3, 1, 32, 32)
    angles = torch.tensor([0.1, -0.15, 0.0])
    nearest, bilinear = rotate(before, angles, mode="nearest"), rotate(before, angles)
    assert set(nearest.unique().tolist()) == {0.0, 255.0} and len(bilinear.unique()) > 20
    assert torch.equal(nearest[2], before[2].float())
    torch.manual_seed(0)
    assert set(augment(before, "rotate_nearest_flip").unique().tolist()) == {0.0, 255.0}
